from __future__ import annotations

import csv
import hashlib
import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from click.testing import CliRunner
from duckdb_engine import Dialect
from sqlalchemy.schema import CreateTable

from pipelines.district_memory import AS_OF, SIGNER, small_district
from pipelines.site_templates import write_templates
from wellbridge.etl.crosswalk import VaultCrosswalk
from wellbridge.etl.store import Store
from wellbridge.etl.vault import CROSSWALK
from wellbridge.pipelines.cli.group import cli
from wellbridge.pipelines.extract_definitions import ExtractDefinition
from wellbridge.pipelines.extracts import Release, build, list_releases, load_definitions, verify_release
from wellbridge.privacy import release_verifier
from wellbridge.privacy.agreements import Agreement, load_agreement
from wellbridge.privacy.codes import MemoryCrosswalk
from wellbridge.privacy.records.criteria import Sensitive
from wellbridge.privacy.signing import Signer, new_signing_key
from wellbridge.schemas.errors import ConfigurationError, PrivacyError

NOW = datetime(2026, 11, 2, 6, 0, tzinfo=UTC)
TABLES, RECORDS = "district-outcomes", "student-supports"


@pytest.fixture(scope="module")
def district() -> Iterator[Store]:
    with small_district() as store:
        yield store


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The templates of a new site, with days filled in as ``init`` does."""
    return write_templates(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def definitions(site: Path) -> dict[str, ExtractDefinition]:
    return load_definitions(site / "extracts")


@pytest.fixture(scope="module")
def agreement(site: Path) -> Agreement:
    return load_agreement(site / "policy" / "agreements" / "sea-evaluation.toml")


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    return new_signing_key(tmp_path_factory.mktemp("keys") / "key")


@pytest.fixture(scope="module")
def released(
    district: Store, definitions: dict[str, ExtractDefinition], agreement: Agreement, signer: Signer,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Release]:
    out = tmp_path_factory.mktemp("releases")
    return {name: build(definition, agreement, district, MemoryCrosswalk(), out, NOW, as_of=AS_OF, signer=signer)
            for name, definition in definitions.items()}


@pytest.fixture
def copied(released: dict[str, Release], tmp_path: Path) -> Callable[[str], Path]:
    def copy(name: str) -> Path:
        return Path(shutil.copytree(released[name].path, tmp_path / released[name].path.name))

    return copy


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as source:
        return list(csv.DictReader(source))


def rewrite(path: Path, changed: list[dict[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as target:
        writer = csv.DictWriter(target, list(changed[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(changed)


def resealed(release: Path, change: Callable[[dict[str, Any]], None] = lambda manifest: None) -> Path:
    """Do what a careful forger does: make certificates, hashes and the folder's name agree, and sign with a key."""
    manifest = json.loads((release / "manifest.json").read_text(encoding="utf-8"))
    for path in release.glob("*.certificate.json"):
        certificate = json.loads(path.read_text(encoding="utf-8"))
        certificate["sha256"] = hashlib.sha256((release / certificate["file"]).read_bytes()).hexdigest()
        certificate["min_cell"] = manifest["min_cell"]
        path.write_text(json.dumps(certificate), encoding="utf-8")
    change(manifest)
    for name, facts in manifest["files"].items():
        facts["sha256"] = hashlib.sha256((release / name).read_bytes()).hexdigest()
    content = json.dumps(manifest).encode()
    (release / "manifest.json").write_bytes(content)
    forger = new_signing_key(release.parent / f"forger-{len(list(release.parent.iterdir()))}")
    (release / "manifest.json.sig").write_bytes(forger.sign("manifest.json", content))
    return release.rename(release.with_name(f"{release.name[:-12]}{hashlib.sha256(content).hexdigest()[:12]}"))


# -- what a release holds ----------------------------------------------------------------------------------


def test_the_site_template_gives_one_extract_of_each_kind(definitions: dict[str, ExtractDefinition]):
    assert {name: d.kind for name, d in definitions.items()} == {TABLES: "aggregate", RECORDS: "record"}


@pytest.mark.parametrize(("name", "data"), [(TABLES, {"students.csv", "measures.csv"}), (RECORDS, {"records.csv"})])
def test_a_release_is_sound_and_has_every_part(released: dict[str, Release], name: str, data: set[str]):
    path = released[name].path
    assert verify_release(path) == []
    parts = {"manifest.json", "manifest.json.sig", "data_dictionary.csv", "suppressed.csv", "README.txt"}
    parts |= {f"{file.removesuffix('.csv')}.certificate.json" for file in data if file != "records.csv"}
    assert {file.name for file in path.iterdir()} == data | parts
    assert "99.33" in (path / "README.txt").read_text(encoding="utf-8")
    assert set(released[name].rows) == data


def test_released_folders_are_private(released: dict[str, Release]):
    for release in released.values():
        assert release.path.stat().st_mode & 0o077 == 0
        assert all(file.stat().st_mode & 0o077 == 0 for file in release.path.iterdir())


def test_counts_that_are_shown_are_true_and_none_is_small(released: dict[str, Release], district: Store):
    true = district.frame("SELECT school_id, race_ethnicity, count(*) AS n FROM student WHERE is_current GROUP BY ALL")
    found = rows(released[TABLES].path / "students.csv")
    inner = {(row["school"], row["race_ethnicity"]): row["n"] for row in found
             if "all" not in (row["school"], row["race_ethnicity"])}
    hidden = 0
    for school, race, n in true.iter_rows():
        assert inner[school, race] in ("", str(n))
        hidden += inner[school, race] == ""
        if n < 10:
            assert inner[school, race] == ""
    assert hidden > 0


def test_no_row_of_the_measures_rests_on_fewer_than_the_minimum(released: dict[str, Release], district: Store):
    true = {tuple(row[:4]): row[4:] for row in district.frame(
        "SELECT measure_id, period, dimension, member, denominator, persons, value FROM measure_value").iter_rows()}
    found = rows(released[TABLES].path / "measures.csv")
    assert Counter(row["shown"] for row in found).keys() == {"exact", "coded", "hidden"}
    for row in found:
        size, persons, value = true[row["measure_id"], row["period"], row["dimension"], row["member"]]
        if min(size, persons) < 10:
            assert (row["denominator"], row["shown"]) == ("", "hidden")
        if row["value"]:
            assert float(row["value"]) == pytest.approx(value, abs=1e-4)


def test_p10_every_child_of_the_record_file_is_one_of_ten_alike(released: dict[str, Release]):
    path = released[RECORDS].path
    manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
    quasi = manifest["tables"][0]["quasi"]
    assert {"race_ethnicity", "sex", "grade_band", "english_learner", "disability", "school_level"} == set(quasi)
    found = rows(path / "records.csv")
    assert min(Counter(tuple(row[name] for name in quasi) for row in found).values()) >= 10
    assert len({row["code"] for row in found}) == len(found) == 2400 - released[RECORDS].hidden["records.csv"]["hidden"]


def test_every_class_of_a_record_file_keeps_what_is_asked_of_a_sensitive_column(
    district: Store, agreement: Agreement, definitions: dict[str, ExtractDefinition], tmp_path: Path
):
    rule = Sensitive("tier", distinct=2, t=0.3)
    asked = replace(definitions[RECORDS], columns=("grade_band", "sex", "tier"), sensitive=(rule,))
    release = build(asked, agreement, district, MemoryCrosswalk(), tmp_path, NOW, as_of=AS_OF, signer=SIGNER)
    assert verify_release(release.path) == []
    found: dict[tuple[str, ...], set[str]] = {}
    for row in rows(release.path / "records.csv"):
        found.setdefault((row["grade_band"], row["sex"]), set()).add(row["tier"])
    assert min(len(tiers) for tiers in found.values()) >= 2
    table = json.loads((release.path / "manifest.json").read_text(encoding="utf-8"))["tables"][0]
    assert table["sensitive"] == {"tier": {"distinct": 2, "entropy": 1.0, "t": 0.3, "distance": "equal"}}
    strict = {**table, "sensitive": {"tier": {"distinct": 9, "entropy": 1.0, "t": 0.0, "distance": "equal"}}}
    said = release_verifier._records(release.path, rows(release.path / "records.csv"), strict, {"k": 10})
    assert [problem.split(" class(es) ")[1] for problem in said] == [
        "have fewer than 9 values of tier", "are farther than 0.0 from all in tier"]


def test_children_are_coarsened_further_instead_of_left_out_where_the_agreement_allows_it(
    district: Store, agreement: Agreement, definitions: dict[str, ExtractDefinition], tmp_path: Path
):
    asked = definitions[RECORDS]
    left_out = {}
    for allowed in (False, True):
        held = replace(agreement, local_recoding=allowed)
        release = build(asked, held, district, MemoryCrosswalk(), tmp_path / str(allowed), NOW, as_of=AS_OF,
                        signer=SIGNER)
        assert verify_release(release.path) == []
        left_out[allowed] = release.hidden["records.csv"]["hidden"]
        dictionary = (release.path / "data_dictionary.csv").read_text(encoding="utf-8")
        assert ("of some children further" in dictionary) == allowed
    assert left_out[True] < left_out[False]


def test_flags_of_the_record_file_are_the_measures_own_counts(
    district: Store, agreement: Agreement, definitions: dict[str, ExtractDefinition], tmp_path: Path
):
    few = replace(definitions[RECORDS], columns=("sex", "chronic_absence", "tier", "screened"), quasi={})
    release = build(few, agreement, district, MemoryCrosswalk(), tmp_path, NOW, as_of=AS_OF, signer=SIGNER)
    found = rows(release.path / "records.csv")
    whole = {name: (hits, size) for name, hits, size in district.frame(
        "SELECT measure_id, numerator, denominator FROM measure_value WHERE dimension = 'all'").iter_rows()}
    left_out = release.hidden["records.csv"]["hidden"]
    chronic = Counter(row["chronic_absence"] for row in found)
    assert 0 <= whole["chronic_absence"][0] - chronic["yes"] <= left_out
    assert 0 <= whole["positive_screen_rate"][1] - Counter(row["screened"] for row in found)["yes"] <= left_out
    assert 0 <= whole["tier_students"][0] - sum(row["tier"] in "23" for row in found) <= left_out


def test_no_key_of_the_warehouse_is_in_any_file(released: dict[str, Release], district: Store):
    keys = set(district.frame("SELECT person_key FROM student")["person_key"])
    for release in released.values():
        for file in release.path.glob("*.csv"):
            with file.open(encoding="utf-8", newline="") as source:
                assert not keys & {cell for line in csv.reader(source) for cell in line}


def test_the_list_of_what_was_suppressed_names_cells_without_telling_which_is_small(released: dict[str, Release]):
    listed = rows(released[TABLES].path / "suppressed.csv")
    cells = [row for row in listed if row["what"] == "cell"]
    students = [row for row in rows(released[TABLES].path / "students.csv") if row["n"] == ""]
    assert sum(row["file"] == "students.csv" for row in cells) == len(students)
    assert len({row["why"] for row in cells}) == 1
    assert all(row["count"] == "" for row in cells)
    assert {"small", "complement"} <= set(released[TABLES].reasons["students.csv"])
    everything = "".join(f.read_text(encoding="utf-8") for f in released[TABLES].path.iterdir())
    assert "complement" not in everything


def test_every_column_is_in_the_dictionary_with_its_class(released: dict[str, Release]):
    for release in released.values():
        words = rows(release.path / "data_dictionary.csv")
        for name in release.rows:
            with (release.path / name).open(encoding="utf-8", newline="") as source:
                header = next(csv.reader(source))
            known = {row["column"]: row["privacy_class"] for row in words if row["file"] == name}
            assert set(header) <= set(known)
            assert not {"direct", "free_text"} & set(known.values())


def test_formulas_in_names_are_made_harmless(agreement: Agreement, tmp_path: Path):
    only_counts = ExtractDefinition("x", "X", "aggregate", agreement.id, counts=load_counts())
    with small_district() as store:
        store.run("UPDATE student SET school_id = '=cmd|x' WHERE school_id = 'S01'")
        release = build(only_counts, agreement, store, MemoryCrosswalk(), tmp_path, NOW, as_of=AS_OF, signer=SIGNER)
    found = {row["school"] for row in rows(release.path / "students.csv")}
    assert "'=cmd|x" in found
    assert "=cmd|x" not in found
    assert json.loads((release.path / "manifest.json").read_text(encoding="utf-8"))["formulas"]["students.csv"]


def load_counts() -> Any:
    from wellbridge.pipelines.extract_definitions import CountSpec

    return (CountSpec("students", "Students", ("school", "sex")),)


# -- no agreement, no file ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("now", "change", "code"), [
    (datetime(2027, 7, 1, tzinfo=UTC), {}, "WB-E-040"),
    (datetime(2026, 6, 30, tzinfo=UTC), {}, "WB-E-040"),
    (NOW, {"debarred_until": date(2031, 1, 1)}, "WB-E-040"),
    (NOW, {"id": "another"}, "WB-E-040"),
    (NOW, {"elements": ("school",)}, "WB-E-041"),
])
@pytest.mark.parametrize("name", [TABLES, RECORDS])
def test_p08_without_an_agreement_that_allows_it_nothing_is_written(
    district: Store, definitions: dict[str, ExtractDefinition], agreement: Agreement, tmp_path: Path, name: str,
    now: datetime, change: dict[str, Any], code: str,
):
    with pytest.raises(PrivacyError) as caught:
        build(definitions[name], replace(agreement, **change), district, MemoryCrosswalk(), tmp_path / "out", now,
              as_of=AS_OF, signer=SIGNER)
    assert (caught.value.code, caught.value.exit) == (code, 14)
    assert list(tmp_path.iterdir()) == []


def test_a_clock_turned_back_behind_the_ledger_does_not_release(
    definitions: dict[str, ExtractDefinition], agreement: Agreement, tmp_path: Path
):
    with small_district() as store:
        store.run("INSERT INTO ledger_event (seq, happened_at) VALUES (99, TIMESTAMP '2027-08-01 00:00:00')")
        with pytest.raises(PrivacyError, match="WB-E-040"):
            build(definitions[TABLES], agreement, store, MemoryCrosswalk(), tmp_path / "out", NOW, as_of=AS_OF,
                  signer=SIGNER)
    assert not (tmp_path / "out").exists()


def test_an_impossible_release_leaves_nothing_behind(
    district: Store, definitions: dict[str, ExtractDefinition], agreement: Agreement, tmp_path: Path
):
    with pytest.raises(PrivacyError, match="WB-E-043"):
        build(definitions[RECORDS], replace(agreement, k=3000), district, MemoryCrosswalk(), tmp_path / "out", NOW,
              as_of=AS_OF, signer=SIGNER)
    assert list(tmp_path.iterdir()) == []


def test_a_release_that_fails_its_own_re_check_is_not_published(
    district: Store, definitions: dict[str, ExtractDefinition], agreement: Agreement, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr("wellbridge.pipelines.extracts.verify", lambda path, keys: ["records.csv: wrong"])
    with pytest.raises(PrivacyError, match="WB-E-042"):
        build(definitions[RECORDS], agreement, district, MemoryCrosswalk(), tmp_path / "out", NOW, as_of=AS_OF,
              signer=SIGNER)
    assert list((tmp_path / "out").iterdir()) == []


# -- codes -------------------------------------------------------------------------------------------------


def test_p11_the_vaults_codes_last_for_an_agreement_and_differ_between_two(
    district: Store, definitions: dict[str, ExtractDefinition], agreement: Agreement, tmp_path: Path
):
    vault = Store(Path("vault"), duckdb.connect())
    vault.run(str(CreateTable(CROSSWALK).compile(dialect=Dialect())))
    other = replace(agreement, id="other")

    def codes(under: Agreement, hour: int) -> set[str]:
        definition = replace(definitions[RECORDS], agreement=under.id)
        release = build(definition, under, district, VaultCrosswalk(vault), tmp_path, NOW.replace(hour=hour),
                        as_of=AS_OF, signer=SIGNER)
        return {row["code"] for row in rows(release.path / "records.csv")}

    first, again, elsewhere = codes(agreement, 1), codes(agreement, 2), codes(other, 3)
    assert first == again
    assert not first & elsewhere
    # Children who are left out never get a code.
    assert vault.value("SELECT count(*) FROM crosswalk") == len(first) + len(elsewhere)


# -- listing and verifying ---------------------------------------------------------------------------------


def test_releases_are_listed_with_their_paths(released: dict[str, Release]):
    found = list_releases(released[TABLES].path.parent)
    assert {release.path for release in found} == {release.path for release in released.values()}
    assert {release.extract for release in found} == {TABLES, RECORDS}
    assert all(json.dumps(release.as_dict()) for release in found)


def test_a_folder_without_releases_lists_none(tmp_path: Path):
    (tmp_path / ".building-1").mkdir()
    (tmp_path / "notes").mkdir()
    assert list_releases(tmp_path) == []
    assert list_releases(tmp_path / "missing") == []


@pytest.mark.parametrize("name", [TABLES, RECORDS])
def test_a_changed_missing_or_added_file_is_named(copied: Callable[[str], Path], name: str, signer: Signer):
    release = copied(name)
    for file in sorted(release.iterdir()):
        before = file.read_bytes()
        file.write_bytes(before[:-2] + b"x\n")
        assert any(file.name in problem for problem in verify_release(release)), file.name
        file.unlink()
        said = verify_release(release, signer.public)
        assert any(file.name in problem for problem in said) or said == ["manifest.json: is not signed"], file.name
        file.write_bytes(before)
        assert verify_release(release, signer.public) == []
    (release / "extra.csv").write_text("a\n1\n", encoding="utf-8")
    assert verify_release(release) == ["extra.csv: is not in the manifest"]


def test_every_changed_fact_of_a_manifest_is_found(copied: Callable[[str], Path]):
    release = copied(TABLES)
    path = release / "manifest.json"
    sound = path.read_text(encoding="utf-8")
    for name in json.loads(sound):
        manifest = json.loads(sound)
        manifest[name] = 5 if isinstance(manifest[name], int) else "5"
        path.write_text(json.dumps(manifest), encoding="utf-8")
        assert verify_release(release), name


def shown_small(found: list[dict[str, str]]) -> None:
    next(row for row in found if row["n"] == "")["n"] = "4"


def wrong_margin(found: list[dict[str, str]]) -> None:
    next(row for row in found if row["n"] and row["school"] != "all")["n"] += "0"


def missing_row(found: list[dict[str, str]]) -> None:
    found[0] = dict(found[1])


@pytest.mark.parametrize("forge", [shown_small, wrong_margin, missing_row])
def test_a_forged_count_is_found_though_all_hashes_agree(
    copied: Callable[[str], Path], forge: Callable[[list[dict[str, str]]], None]
):
    release = copied(TABLES)
    found = rows(release / "students.csv")
    forge(found)
    rewrite(release / "students.csv", found)
    assert verify_release(resealed(release))


def test_a_cell_that_its_margin_gives_back_is_found_though_everything_adds_up(
    copied: Callable[[str], Path], district: Store
):
    true = {row[:2]: row[2] for row in district.frame(
        "SELECT school_id, race_ethnicity, count(*) FROM student WHERE is_current GROUP BY ALL").iter_rows()}
    release = copied(TABLES)
    found = rows(release / "students.csv")
    hidden = [row for row in found if row["n"] == "" and "all" not in (row["school"], row["race_ethnicity"])]
    by_school = Counter(row["school"] for row in hidden)
    large = next(row for row in hidden if by_school[row["school"]] == 2
                 and true.get((row["school"], row["race_ethnicity"]), 0) >= 10)
    large["n"] = str(true[large["school"], large["race_ethnicity"]])
    rewrite(release / "students.csv", found)
    assert verify_release(resealed(release))


@pytest.mark.parametrize(("shown", "change"), [
    ("exact", {"denominator": "9"}),
    ("exact", {"value": "0.0"}),
    ("coded", {"at_most": "0.01", "at_least": "", "denominator": "60"}),
    ("coded", {"value": "0.02"}),
    ("hidden", {"value": "0.5"}),
    ("hidden", {"shown": "secret"}),
])
def test_a_forged_measure_is_found_though_all_hashes_agree(
    copied: Callable[[str], Path], shown: str, change: dict[str, str]
):
    release = copied(TABLES)
    found = rows(release / "measures.csv")
    next(row for row in found if row["shown"] == shown).update(change)
    rewrite(release / "measures.csv", found)
    assert verify_release(resealed(release))


def test_a_child_alone_in_a_class_is_found_though_all_hashes_agree(copied: Callable[[str], Path]):
    release = copied(RECORDS)
    found = rows(release / "records.csv")
    found[0]["race_ethnicity"] = "martian"
    rewrite(release / "records.csv", found)
    assert any("fewer than 10" in problem for problem in verify_release(resealed(release)))


def test_rows_out_of_order_and_codes_that_are_not_random_are_found(copied: Callable[[str], Path]):
    release = copied(RECORDS)
    found = rows(release / "records.csv")
    found[0], found[1] = found[1], found[0]
    found[2]["code"] = "000123456"
    rewrite(release / "records.csv", found)
    problems = " ".join(verify_release(resealed(release)))
    assert "order" in problems
    assert "random form" in problems


def test_an_unknown_column_is_found_though_all_hashes_agree(copied: Callable[[str], Path]):
    release = copied(RECORDS)
    found = [{**row, "zip": "78701"} for row in rows(release / "records.csv")]
    rewrite(release / "records.csv", found)

    def allow(manifest: dict[str, Any]) -> None:
        manifest["tables"][0]["columns"].append("zip")

    problems = verify_release(resealed(release, allow))
    assert problems == ["records.csv: column zip is not in the data dictionary"]


def test_a_file_that_no_table_of_the_manifest_is_about_is_found_though_all_hashes_agree(
    copied: Callable[[str], Path]
):
    release = copied(RECORDS)
    shutil.copy(release / "records.csv", release / "raw.csv")
    forged = resealed(release, lambda manifest: manifest["files"].update({"raw.csv": {"sha256": ""}}))
    assert verify_release(forged) == ["raw.csv: nothing says what it holds"]


@pytest.mark.parametrize("file", ["records.csv", "data_dictionary.csv", "README.txt"])
def test_a_manifest_that_leaves_a_file_out_is_found(copied: Callable[[str], Path], file: str):
    release = copied(RECORDS)
    forged = resealed(release, lambda manifest: manifest["files"].pop(file))
    assert verify_release(forged) == [f"{file}: is not in the manifest"]


@pytest.mark.parametrize("setting", ["min_cell", "k"])
def test_a_manifest_with_a_lowered_floor_is_found(copied: Callable[[str], Path], setting: str):
    release = resealed(copied(TABLES), lambda manifest: manifest.update({setting: 3}))
    assert verify_release(release) == [f"manifest.json: {setting} is below 10"]


def lone_verifier(folder: Path) -> Path:
    """Have the verifier written as an auditor would."""
    folder.mkdir(exist_ok=True)
    path = folder / "verify.pyz"
    done = CliRunner().invoke(cli, ["extract", "verifier", str(path), "--json"])
    assert json.loads(done.stdout)["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    return path


def test_the_verifier_is_one_file_that_runs_with_the_standard_library_alone(
    copied: Callable[[str], Path], tmp_path: Path, signer: Signer
):
    alone = tmp_path / "alone"
    path = lone_verifier(alone)
    release = copied(TABLES)
    (alone / "site.pub").write_text(f"{signer.public}\n", encoding="utf-8")
    new_signing_key(alone / "other")
    command = [sys.executable, "-I", "-S", str(path), str(release)]

    def run(*more: str) -> tuple[int, str]:
        done = subprocess.run([*command, *more], capture_output=True, text=True, check=False)
        assert not done.stderr
        return done.returncode, done.stdout

    assert run() == run("--key", str(alone / "site.pub")) == (0, "sound: minimum cell 10, strong need\n")
    assert run("--key", str(alone / "other.pub")) == (18, "manifest.json: is not signed with a key that was given\n")
    (release / "README.txt").write_text("changed", encoding="utf-8")
    assert run() == (18, "README.txt: its content does not match the manifest\n")


def test_the_readme_says_how_to_check_a_release_without_the_toolkit(copied: Callable[[str], Path]):
    text = (copied(TABLES) / "README.txt").read_text(encoding="utf-8")
    assert "wellbridge extract verifier verify.pyz" in text
    assert "python -I -S verify.pyz DIR --key KEYS.pub" in text


def test_one_version_writes_one_verifier_and_never_over_a_file(tmp_path: Path):
    assert lone_verifier(tmp_path / "a").read_bytes() == lone_verifier(tmp_path / "b").read_bytes()
    done = CliRunner().invoke(cli, ["extract", "verifier", str(tmp_path / "a" / "verify.pyz"), "--json"])
    assert done.exit_code == 10


def test_a_verifier_that_can_look_at_nothing_says_why_and_quotes_nothing(tmp_path: Path):
    path = lone_verifier(tmp_path / "alone")
    (tmp_path / "no.json").write_text("CANARY", encoding="utf-8")

    def run(*words: str) -> tuple[int, str, str]:
        command = [sys.executable, "-I", "-S", str(path), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    folder, unreadable = str(tmp_path), str(tmp_path / "no.json")
    for words in ([], ["none"], [folder, "--key"], [folder, "--keys", "x"], [folder, "--key", "none.pub"],
                  [folder, "--sealed", unreadable]):  # fmt: skip
        code, said, wrong = run(*words)
        assert (code, said) == (2, "")
        assert wrong.startswith("usage: ")
        assert "Traceback" not in wrong
        assert "CANARY" not in wrong


def no_signature(folder: Path, other: Path, signers: list[Signer]) -> None:
    (folder / "manifest.json.sig").unlink()


def signature_of_another_release(folder: Path, other: Path, signers: list[Signer]) -> None:
    shutil.copy(other / "manifest.json.sig", folder)


def signature_of_another_key(folder: Path, other: Path, signers: list[Signer]) -> None:
    content = (folder / "manifest.json").read_bytes()
    (folder / "manifest.json.sig").write_bytes(signers[1].sign("manifest.json", content))


def signature_of_a_certificate(folder: Path, other: Path, signers: list[Signer]) -> None:
    content = (folder / "manifest.json").read_bytes()
    (folder / "manifest.json.sig").write_bytes(signers[0].sign("certificate.json", content))


def bit_of_a_signature(folder: Path, other: Path, signers: list[Signer]) -> None:
    path = folder / "manifest.json.sig"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def bit_of_the_manifest(folder: Path, other: Path, signers: list[Signer]) -> None:
    path = folder / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b"FERPA", b"ferpa").replace(b'"k": 10', b'"k": 11'))


def manifest_of_another_release(folder: Path, other: Path, signers: list[Signer]) -> None:
    for name in ("manifest.json", "manifest.json.sig"):
        shutil.copy(other / name, folder)


@pytest.mark.parametrize("forge", [
    no_signature, signature_of_another_release, signature_of_another_key, signature_of_a_certificate,
    bit_of_a_signature, bit_of_the_manifest, manifest_of_another_release,
])
@pytest.mark.parametrize("name", [TABLES, RECORDS])
def test_a_signature_that_is_missing_foreign_changed_or_swapped_is_refused(
    copied: Callable[[str], Path], released: dict[str, Release], signer: Signer, tmp_path: Path, name: str,
    forge: Callable[[Path, Path, list[Signer]], None],
):
    release, other = copied(name), released[RECORDS if name == TABLES else TABLES].path
    assert verify_release(release, signer.public) == []
    forge(release, other, [signer, new_signing_key(tmp_path / "foreign")])
    assert verify_release(release, signer.public)


def test_the_determination_and_the_notice_are_under_the_signature(copied: Callable[[str], Path], signer: Signer):
    release = copied(RECORDS)
    path = release / "manifest.json"
    sound = json.loads(path.read_text(encoding="utf-8"))
    assert set(sound["determination"]) >= {"made_by", "made_at", "method", "attacker", "thresholds", "results"}
    for name in sound["determination"]:
        path.write_text(json.dumps({**sound, "determination": {**sound["determination"], name: "other"}}))
        assert verify_release(release, signer.public) == ["manifest.json.sig: is no signature of manifest.json"]
    path.write_text(json.dumps({**sound, "notice": sound["notice"].replace("may not", "may")}))
    assert verify_release(release, signer.public) == ["manifest.json.sig: is no signature of manifest.json"]


def test_a_folder_that_is_no_release_is_a_violation(tmp_path: Path):
    assert len(verify_release(tmp_path)) == 1
    (tmp_path / "manifest.json").write_text("[1]", encoding="utf-8")
    assert len(verify_release(tmp_path)) == 1


# -- definitions -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "code"), [
    ('kind = "both"', "WB-E-011"),
    ('kind = "record"\nagreement = "a"\ntitle = "t"\ncolumns = []', "WB-E-011"),
    ('kind = "record"\nagreement = "a"\ntitle = "t"\ncolumns = ["name"]', "WB-E-015"),
    ('kind = "record"\nagreement = "a"\ntitle = "t"\ncolumns = ["sex"]\nsize = 3', "WB-E-011"),
    ('kind = "record"\nagreement = "a"\ntitle = "t"\ncolumns = ["sex"]\nmax_suppressed = 2', "WB-E-011"),
    ('kind = "record"\nagreement = "a"\ntitle = "t"\ncolumns = ["sex"]\n[quasi]\nsex = "*"', "WB-E-047"),
    ('kind = "record"\nagreement = "a"\ncolumns = ["sex"]', "WB-E-011"),
    ('kind = "record"\nagreement = "a"\ntitle = "t"\ncolumns = ["sex"]\n[sensitive.sex]\nt = 0.1', "WB-E-015"),
    ('kind = "record"\nagreement = "a"\ntitle = "t"\ncolumns = ["tier"]\n[sensitive.tier]\nt = 2', "WB-E-011"),
    ('kind = "record"\nagreement = "a"\ntitle = "t"\ncolumns = ["tier"]\n[sensitive.tier]\nl = 2', "WB-E-015"),
    ('kind = "aggregate"\nagreement = "a"\ntitle = "t"', "WB-E-011"),
    ('kind = "aggregate"\nagreement = "a"\ntitle = "t"\n[measures]\nids = ["nothing"]', "WB-E-015"),
    ('kind = "aggregate"\nagreement = "a"\ntitle = "t"\n[[counts]]\nname = "../x"\ndimensions = ["sex"]', "WB-E-011"),
    ('kind = "aggregate"\nagreement = "a"\ntitle = "t"\n[[counts]]\nname = "x"\ndimensions = ["zip"]', "WB-E-015"),
    ('kind = "aggregate"\nagreement = "a"\ntitle = "t"\n[[counts]]\nname = "x"\n'
     'dimensions = ["school", "sex", "tier", "homeless"]', "WB-E-011"),
    ("kind = ", "WB-E-011"),
])
def test_a_definition_that_cannot_be_meant_is_refused(tmp_path: Path, text: str, code: str):
    (tmp_path / "x.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        load_definitions(tmp_path)
    assert caught.value.code == code
    assert "x.toml" in caught.value.where


def test_a_stricter_setting_of_definition_or_agreement_wins(
    district: Store, definitions: dict[str, ExtractDefinition], agreement: Agreement, tmp_path: Path
):
    strict = replace(definitions[TABLES], min_cell=25)
    release = build(strict, agreement, district, MemoryCrosswalk(), tmp_path, NOW, as_of=AS_OF, signer=SIGNER)
    shown = [int(row["n"]) for row in rows(release.path / "students.csv") if row["n"]]
    assert min(n for n in shown if n) >= 25
    assert json.loads((release.path / "manifest.json").read_text(encoding="utf-8"))["min_cell"] == 25


def test_a_quasi_identifier_without_a_hierarchy_is_protected_all_the_same(
    district: Store, definitions: dict[str, ExtractDefinition], agreement: Agreement, tmp_path: Path
):
    plain = replace(definitions[RECORDS], columns=("school_level", "race_ethnicity", "tier"), quasi={}, weights={})
    release = build(plain, agreement, district, MemoryCrosswalk(), tmp_path, NOW, as_of=AS_OF, signer=SIGNER)
    found = pl.read_csv(release.path / "records.csv", infer_schema=False)
    assert found.group_by("school_level", "race_ethnicity").len()["len"].min() >= 10
