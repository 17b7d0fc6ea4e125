"""FERPA's rules, each shown on rows, agreements or releases."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner

from pipelines.district_memory import AS_OF, SIGNER
from privacy.rules.rule_data import P, column, contract, in_record, in_warehouse, released_rows, rows
from wellbridge.etl.store import Store, open_store
from wellbridge.pipelines.cli.group import cli
from wellbridge.pipelines.extract_columns import RECORD_COLUMNS, student_rows
from wellbridge.pipelines.extract_definitions import ExtractDefinition, load_definition, load_definitions
from wellbridge.pipelines.extracts import Release, build, verify_release
from wellbridge.pipelines.policy.release import ATTACKER, STATEMENT
from wellbridge.pipelines.releases import build_release
from wellbridge.pipelines.site import Site
from wellbridge.privacy.agreements import Agreement, check_elements, in_force, load_agreement
from wellbridge.privacy.attestations import write_attestation
from wellbridge.privacy.codes import MemoryCrosswalk, replace_keys
from wellbridge.privacy.parties import check_party
from wellbridge.privacy.rules.book import builtin
from wellbridge.privacy.rules.local import tightened
from wellbridge.privacy.signing import new_signing_key
from wellbridge.schemas.errors import ConfigurationError, PrivacyError, SafeError, SourceError, StoreError
from wellbridge.schemas.warehouse import METADATA

NOW = datetime(2026, 11, 2, 6, 0, tzinfo=UTC)
RECORDS, TABLES = "student-supports", "district-outcomes"
QUASI = [name for name, one in RECORD_COLUMNS.items() if one.privacy is P.QUASI]


def refused(
    definition: ExtractDefinition, agreement: Agreement, district: Store, out: Path, rules: str = ""
) -> SafeError:
    book = tightened(builtin(), rules)
    with pytest.raises(PrivacyError) as caught:
        build(definition, agreement, district, MemoryCrosswalk(), out, NOW, as_of=AS_OF, rules=book, signer=SIGNER)
    assert caught.value.exit == 14
    assert not out.exists() or not list(out.iterdir())
    return caught.value


def manifest(release: Release) -> dict[str, object]:
    found = json.loads((release.path / "manifest.json").read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def smallest_class(found: list[dict[str, str]]) -> int:
    names = [name for name in found[0] if name in QUASI]
    return min(Counter(tuple(row[name] for name in names) for row in found).values())


# -- F-01, F-02 --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("privacy", [P.DIRECT, P.FREE_TEXT])
def test_f01_names_and_free_text_are_in_no_warehouse_and_no_record_file(privacy: P) -> None:
    made = contract(column("remark", privacy), column("grade", P.QUASI))
    frame = rows(made, remark=["Zyxcanary"], grade=["05"])
    assert in_warehouse(made, frame).columns == ["grade"]
    assert in_record(made, frame).columns == ["grade"]


def test_f02_every_child_of_a_record_file_has_nine_others_alike(releases: dict[str, Release]) -> None:
    assert smallest_class(released_rows(releases["record"].path / "records.csv")) >= builtin().number("k") == 10


def test_f02_within_the_school_too_where_the_school_is_released(
    district: Store, folder: Path, agreement: Agreement, tmp_path: Path
) -> None:
    definition = load_definition(folder / "extracts" / f"{RECORDS}.toml")
    definition = replace(definition, columns=("school", "grade_band", "sex", "tier"), quasi={}, max_suppressed=0.9)
    release = build(definition, agreement, district, MemoryCrosswalk(), tmp_path, NOW, as_of=AS_OF, signer=SIGNER)
    found = released_rows(release.path / "records.csv")
    groups = Counter((row["school"], row["grade_band"], row["sex"]) for row in found)
    assert len({row["school"] for row in found}) > 1
    assert min(groups.values()) >= 10


# -- F-03, F-04 --------------------------------------------------------------------------------------------


def test_f03_a_targeted_request_is_refused_although_k_would_pass(
    district: Store, folder: Path, agreement: Agreement, tmp_path: Path
) -> None:
    path = tmp_path / f"{RECORDS}.toml"
    text = (folder / "extracts" / path.name).read_text(encoding="utf-8")
    path.write_text(f"targeted_request = true\n{text}", encoding="utf-8")
    error = refused(load_definition(path), agreement, district, tmp_path / "out")
    assert error.code == "WB-E-071"
    assert "F-03" in error.where


def test_f03_the_flag_must_be_true_or_false(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    text = (folder / "extracts" / f"{RECORDS}.toml").read_text(encoding="utf-8")
    path.write_text(f'targeted_request = "perhaps"\n{text}', encoding="utf-8")
    with pytest.raises(SafeError, match="WB-E-011"):
        load_definition(path)


@pytest.mark.parametrize("kind", ["record", "aggregate"])
def test_f04_a_release_carries_who_when_how_against_whom_and_what_was_found(
    releases: dict[str, Release], kind: str
) -> None:
    found = manifest(releases[kind])["determination"]
    assert isinstance(found, dict)
    assert found["made_at"] == "2026-11-02T06:00:00+00:00"
    assert found["attacker"] == ATTACKER
    assert found["thresholds"] == {"min_cell": 10, "k": 10, "need": "strong"}
    assert {"F-02"} <= set(found["rules"]) if kind == "record" else {"N-01", "T-04"} <= set(found["rules"])
    assert {name: facts["rows"] for name, facts in found["results"].items()} == dict(releases[kind].rows)
    assert found["not_examined"] == ["tables that others publish"]
    assert found["statement"] == (STATEMENT if found["made_by"] else "")


@pytest.mark.parametrize("kind", ["record", "aggregate"])
def test_f04_the_determination_of_a_site_s_release_is_signed(
    district: Store, folder: Path, agreement: Agreement, tmp_path: Path, kind: str
) -> None:
    signer = new_signing_key(tmp_path / "key")
    definition = load_definition(folder / "extracts" / f"{TABLES if kind == 'aggregate' else RECORDS}.toml")
    release = build(definition, agreement, district, MemoryCrosswalk(), tmp_path / "out", NOW, as_of=AS_OF,
                    signer=signer)
    assert verify_release(release.path, signer.public) == []
    path = release.path / "manifest.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["determination"]["made_by"] = "somebody else"
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    assert verify_release(release.path, signer.public) == ["manifest.json.sig: is no signature of manifest.json"]


def test_f04_a_site_can_ask_for_the_name_of_who_determined_it(
    district: Store, folder: Path, agreement: Agreement, tmp_path: Path
) -> None:
    definition = replace(load_definition(folder / "extracts" / f"{TABLES}.toml"), determined_by="")
    error = refused(definition, agreement, district, tmp_path / "out", "[tighten.F-04]\nnamed_person = true")
    assert error.code == "WB-E-074"
    assert "F-04" in error.where
    named = replace(definition, determined_by="Data privacy officer")
    release = build(named, agreement, district, MemoryCrosswalk(), tmp_path / "out", NOW, as_of=AS_OF, signer=SIGNER)
    found = manifest(release)["determination"]
    assert isinstance(found, dict)
    assert (found["made_by"], found["statement"]) == ("Data privacy officer", STATEMENT)


# -- F-05 --------------------------------------------------------------------------------------------------


def test_f05_a_code_is_random_long_enough_and_another_one_for_another_agreement() -> None:
    frame = pl.DataFrame({"person_key": ["p1", "p2", "p1"], "score": [1, 2, 3]})
    crosswalk = MemoryCrosswalk()
    one, other = (replace_keys(frame, crosswalk, name) for name in ("sea", "university"))
    assert "person_key" not in one.columns
    assert one["code"].n_unique() == 2
    assert not set(one["code"]) & set(other["code"])
    assert {len(code) for code in one["code"]} == {2 * builtin().number("code_bytes")}


@pytest.mark.parametrize("digest", ["md5", "sha1", "sha256", "sha512", "blake2b"])
def test_f05_a_code_is_no_digest_of_the_key_and_is_drawn_anew_each_time(digest: str) -> None:
    key = "123-45-6789"
    codes = {MemoryCrosswalk().codes("sea", pl.Series([key]))["code"][0] for _ in range(20)}
    assert len(codes) == 20
    guesses = {hashlib.new(digest, text.encode()).hexdigest() for text in (key, key.replace("-", ""), f"sea{key}")}
    assert not {guess[:32] for guess in guesses} & codes


@pytest.mark.parametrize("rules", [
    "[tighten.F-05]\ncode_bytes = 32", '[tighten.F-05]\neffect = "drop"', '[tighten.H-22]\neffect = "refuse"',
])
def test_f05_where_a_site_asks_for_more_than_codes_are_no_record_file_leaves(
    district: Store, folder: Path, agreement: Agreement, tmp_path: Path, rules: str
) -> None:
    definition = load_definition(folder / "extracts" / f"{RECORDS}.toml")
    error = refused(definition, agreement, district, tmp_path / "out", rules)
    assert error.code == "WB-E-074"
    assert rules[9:13] in error.where


def test_f05_a_key_of_the_vault_is_in_no_record_file(releases: dict[str, Release], district: Store) -> None:
    keys = set(district.frame("SELECT person_key FROM student")["person_key"])
    cells = {cell for row in released_rows(releases["record"].path / "records.csv") for cell in row.values()}
    assert keys
    assert not keys & cells


# -- F-06, F-07 --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", sorted(builtin().rules["F-06"].limits["required_fields"]))  # type: ignore[arg-type]
def test_f06_a_study_without_one_of_its_terms_is_refused(folder: Path, tmp_path: Path, field: str) -> None:
    text = (folder / "policy" / "agreements" / "sea-evaluation.toml").read_text(encoding="utf-8")
    path = tmp_path / "sea-evaluation.toml"
    path.write_text(text.replace("audit_evaluation", "studies").replace(f"\n{field} =", f"\n# {field} =", 1)
                    if field != "elements" else text[: text.index("elements = [")], encoding="utf-8")
    with pytest.raises(PrivacyError) as caught:
        load_agreement(path)
    assert field in caught.value.where


def test_f06_nothing_beyond_the_list_leaves(folder: Path, agreement: Agreement, tmp_path: Path) -> None:
    for definition in load_definitions(folder / "extracts").values():
        check_elements(agreement, definition.elements)
        wanted = sorted(definition.elements)[0]
        without = replace(agreement, elements=tuple(name for name in agreement.elements if name != wanted))
        with pytest.raises(PrivacyError, match="WB-E-041"):
            check_elements(without, definition.elements)


def test_f06_a_site_can_ask_for_the_signed_paper(
    district: Store, folder: Path, agreement: Agreement, tmp_path: Path
) -> None:
    definition = load_definition(folder / "extracts" / f"{TABLES}.toml")
    for rule, basis in (("F-06", "studies"), ("F-07", "audit_evaluation")):
        fields = sorted({*builtin().rules[rule].limits["required_fields"], "signed_sha256"})  # type: ignore[misc]
        rules = f"[tighten.{rule}]\nrequired_fields = {json.dumps(fields)}"
        unsigned = replace(agreement, basis=type(agreement.basis)(basis))
        assert "signed_sha256" in refused(definition, unsigned, district, tmp_path / "out", rules).where


def write_agreement(root: Path, folder: Path, name: str, **changes: str) -> Path:
    text = (folder / "policy" / "agreements" / "sea-evaluation.toml").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not any(line.startswith(f"{key} =") for key in ("id", *changes))]
    given = [f'id = "{name}"', *(f"{key} = {value}" for key, value in changes.items() if value)]
    path = root / f"{name}.toml"
    root.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([*given, *lines]), encoding="utf-8")
    return path


OLD = {"start": "2024-07-01", "end": "2025-06-30", "destruction_date": "2025-12-31"}


def test_f07_who_has_not_destroyed_in_time_receives_nothing_new_until_it_is_attested(
    folder: Path, tmp_path: Path
) -> None:
    agreements = tmp_path / "agreements"
    agreement = load_agreement(write_agreement(agreements, folder, "sea-new"))
    today = in_force(agreement, NOW)
    write_agreement(agreements, folder, "sea-old", **OLD)
    with pytest.raises(PrivacyError) as caught:
        check_party(agreements, agreement, today)
    assert (caught.value.code, caught.value.exit) == ("WB-E-072", 14)
    assert "sea-old" in caught.value.where
    assert "F-07" in caught.value.where
    # A day written into the agreement is no proof; a document is, for as long as it is there and unchanged.
    write_agreement(agreements, folder, "sea-old", **OLD, destroyed_on="2025-12-20")
    with pytest.raises(PrivacyError, match="WB-E-072"):
        check_party(agreements, agreement, today)
    letter = tmp_path / "letter.pdf"
    letter.write_bytes(b"We destroyed it.")
    old = load_agreement(write_agreement(agreements, folder, "sea-old", **OLD))
    made = write_attestation(agreements, old, letter, date(2025, 12, 20), today)
    check_party(agreements, agreement, today)
    kept = tmp_path / "attestations" / made.document
    assert kept.stat().st_mode & 0o077 == 0
    assert write_attestation(agreements, old, letter, date(2025, 12, 20), today) == made
    letter.write_bytes(b"Another letter.")
    with pytest.raises(ConfigurationError, match="WB-E-011"):
        write_attestation(agreements, old, letter, date(2025, 12, 20), today)
    kept.write_bytes(b"changed")
    with pytest.raises(PrivacyError, match="WB-E-072"):
        check_party(agreements, agreement, today)


@pytest.mark.parametrize("day", [date(2024, 6, 30), date(2027, 1, 1)])
def test_f07_no_day_before_the_agreement_and_none_to_come_is_attested(
    folder: Path, tmp_path: Path, day: date
) -> None:
    old = load_agreement(write_agreement(tmp_path / "agreements", folder, "sea-old", **OLD))
    letter = tmp_path / "letter.pdf"
    letter.write_bytes(b"We destroyed it.")
    with pytest.raises(ConfigurationError, match="WB-E-011"):
        write_attestation(tmp_path / "agreements", old, letter, day, date(2026, 11, 2))
    letter.write_bytes(b"")
    with pytest.raises(SourceError, match="WB-E-023"):
        write_attestation(tmp_path / "agreements", old, letter, date(2025, 12, 20), date(2026, 11, 2))
    assert not (tmp_path / "attestations").exists()


def test_f07_an_evaluation_says_how_the_recipient_protects_what_it_gets(
    district: Store, folder: Path, agreement: Agreement, tmp_path: Path
) -> None:
    definition = load_definition(folder / "extracts" / f"{TABLES}.toml")
    assert "safeguards" in refused(definition, replace(agreement, safeguards=""), district, tmp_path / "out", "").where


def test_f07_the_party_is_known_however_its_name_is_written_and_others_are_not_touched(
    folder: Path, tmp_path: Path
) -> None:
    agreement = load_agreement(write_agreement(tmp_path, folder, "sea-new"))
    write_agreement(tmp_path, folder, "old", **OLD, recipient='"state  Education AGENCY"')
    with pytest.raises(PrivacyError, match="WB-E-072"):
        check_party(tmp_path, agreement, date(2026, 11, 2))
    write_agreement(tmp_path, folder, "old", **OLD, recipient='"A university"')
    (tmp_path / "broken.toml").write_text("id = ", encoding="utf-8")
    check_party(tmp_path, agreement, date(2026, 11, 2))


def test_f07_a_site_s_release_is_refused_and_no_event_is_written(night: Site, folder: Path) -> None:
    path = write_agreement(night.root / "policy" / "agreements", folder, "sea-old", **OLD)
    try:
        with pytest.raises(PrivacyError, match="WB-E-072"):
            build_release(night, TABLES)
    finally:
        path.unlink()
    assert events(night, "disclosure") == []


def test_f07_what_was_agreed_changes_the_digest_and_what_was_not_told_before_leaves_it(agreement: Agreement) -> None:
    assert replace(agreement, signed_sha256="0" * 64).digest() != agreement.digest()
    assert replace(agreement, schools=("A",)).digest() != replace(agreement, schools=()).digest()


# -- F-08 to F-11 ------------------------------------------------------------------------------------------


def events(site: Site, action: str) -> list[dict[str, object]]:
    with open_store(site.warehouse, METADATA, read_only=True) as store:
        found = store.frame("SELECT detail FROM ledger_event WHERE action = ? ORDER BY seq", [action])["detail"]
    return [json.loads(detail) for detail in found]


def test_f08_each_release_is_written_down_with_parties_interest_exception_and_agreement(night: Site) -> None:
    before = len(events(night, "disclosure"))
    release = build_release(night, TABLES)
    found = events(night, "disclosure")[before:]
    assert len(found) == 1
    assert found[0] == {
        "agreement": "sea-evaluation", "exception": "34 CFR 99.31(a)(3) and 99.35", "extract": TABLES,
        "group": "All students of the district in the current school year",
        "interest": "Evaluate whether school and community partners' supports reach students",
        "parties": ["State Education Agency", "Director of Student Supports"], "release": release.digest,
    }


def test_f08_one_command_prints_the_record_for_any_parent(night: Site) -> None:
    release = build_release(night, TABLES)
    done = CliRunner().invoke(cli, ["policy", "disclosures", "--project", str(night.root), "--json"])
    assert done.exit_code == 0
    found = [one for one in json.loads(done.stdout)["disclosures"] if one["release"] == release.digest]
    assert found
    assert {"day", "agreement", "exception", "group", "interest", "parties"} <= set(found[0])
    later = ["policy", "disclosures", "--project", str(night.root), "--from", "2999-01-01"]
    assert "Nothing was disclosed." in CliRunner().invoke(cli, later).stdout


def test_f07_a_command_records_the_document_and_tells_the_ledger(night: Site, folder: Path, tmp_path: Path) -> None:
    path = write_agreement(night.root / "policy" / "agreements", folder, "sea-old", **OLD)
    letter = tmp_path / "letter.pdf"
    letter.write_bytes(b"We destroyed it.")
    try:
        with pytest.raises(PrivacyError, match="WB-E-072"):
            build_release(night, TABLES)
        words = ["policy", "attest", "sea-old", str(letter), "--on", "2025-12-20", "--project", str(night.root)]
        for _ in range(2):  # the same again changes nothing
            assert CliRunner().invoke(cli, words).exit_code == 0
        assert CliRunner().invoke(cli, ["policy", "attest", "none", *words[3:]]).exit_code == 14
        build_release(night, TABLES)
    finally:
        path.unlink()
    with open_store(night.warehouse, METADATA, read_only=True) as store:
        told = store.frame("SELECT detail FROM ledger_event WHERE action = 'agreement.destroyed'")["detail"].to_list()
    assert len(told) == 1
    assert hashlib.sha256(letter.read_bytes()).hexdigest() in told[0]


def test_f09_a_barred_party_receives_nothing_under_any_agreement_and_is_told_why(
    folder: Path, tmp_path: Path, releases: dict[str, Release]
) -> None:
    agreement = load_agreement(write_agreement(tmp_path, folder, "sea-new"))
    write_agreement(tmp_path, folder, "sea-other", debarred_until="2027-02-01")
    with pytest.raises(PrivacyError) as caught:
        check_party(tmp_path, agreement, date(2026, 11, 2))
    assert "F-09" in caught.value.where
    check_party(tmp_path, agreement, date(2027, 2, 1))
    for release in releases.values():
        notice = (release.path / "README.txt").read_text(encoding="utf-8")
        assert "34 CFR 99.33" in notice
        assert "five years" in notice


def test_f10_a_store_that_other_accounts_may_read_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "warehouse.duckdb"
    with open_store(path, METADATA):
        pass
    assert path.stat().st_mode & 0o077 == 0
    path.chmod(0o640)
    with pytest.raises(StoreError, match="WB-E-051"), open_store(path, METADATA, read_only=True):
        pass


def test_f10_under_an_agreement_about_one_school_no_other_school_s_rows_leave(
    district: Store, folder: Path, agreement: Agreement, tmp_path: Path
) -> None:
    sizes = student_rows(district, AS_OF, ["school"]).group_by("school").len().sort("len", descending=True)
    largest, other = sizes["school"][0], sizes["school"][1]
    scoped = replace(agreement, schools=(largest,))
    tables = replace(load_definition(folder / "extracts" / f"{TABLES}.toml"), measures=(), dimensions=())
    counts = tuple(replace(spec, schools=(largest,)) for spec in tables.counts)
    within = replace(tables, counts=counts, schools=(largest,))
    for wrong in (tables, replace(tables, schools=(other,)), replace(within, schools=(largest, other))):
        assert "F-10" in refused(wrong, scoped, district, tmp_path / "out").where
    measured = load_definition(folder / "extracts" / f"{TABLES}.toml")
    assert "measures" in refused(replace(measured, schools=(largest,)), scoped, district, tmp_path / "out").where
    release = build(within, scoped, district, MemoryCrosswalk(), tmp_path / "out", NOW, as_of=AS_OF, signer=SIGNER)
    found = released_rows(release.path / "students.csv")
    assert {row["school"] for row in found} == {largest, "all"}
    records = replace(load_definition(folder / "extracts" / f"{RECORDS}.toml"), schools=(largest,))
    alone = build(records, scoped, district, MemoryCrosswalk(), tmp_path / "out", NOW, as_of=AS_OF, signer=SIGNER)
    assert 0 < len(released_rows(alone.path / "records.csv")) <= sizes["len"][0]


def test_f11_no_small_group_is_in_a_student_level_file_though_codes_stand_for_the_students(
    releases: dict[str, Release], district: Store
) -> None:
    found = released_rows(releases["record"].path / "records.csv")
    names = [name for name in found[0] if name in QUASI]
    before = student_rows(district, AS_OF, names).group_by(names).len()["len"]
    assert before.min() < 10  # type: ignore[operator]  # a count
    assert all(row["code"] for row in found)
    assert smallest_class(found) >= 10
