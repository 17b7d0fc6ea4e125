"""``privacy attack`` on releases of a site, alone, together, and beside tables that were protected elsewhere."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipelines.district_memory import AS_OF, small_district
from pipelines.site_templates import write_templates
from wellbridge.pipelines.cli import main
from wellbridge.pipelines.extracts import build, load_definitions
from wellbridge.privacy.agreements import load_agreement
from wellbridge.privacy.codes import MemoryCrosswalk
from wellbridge.privacy.signing import new_signing_key

CANARY = "Zebra-Elementary-7731"
NOW = datetime(2026, 11, 2, 6, 0, tzinfo=UTC)
DAY = "2026-10-01"


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """What a new site's extracts release."""
    root = write_templates(tmp_path_factory.mktemp("site"))
    agreement = load_agreement(root / "policy" / "agreements" / "sea-evaluation.toml")
    signer = new_signing_key(root / "key")
    with small_district() as store:
        return [
            build(one, agreement, store, MemoryCrosswalk(), root / "releases", NOW, as_of=AS_OF, signer=signer).path
            for one in load_definitions(root / "extracts").values()
        ]


def attack(*words: str | Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any], str]:
    capsys.readouterr()
    with pytest.raises(SystemExit) as done:
        main(["privacy", "attack", *(str(word) for word in words), "--json"])
    text = capsys.readouterr().out
    assert isinstance(done.value.code, int)
    return done.value.code, json.loads(text), text


def release(folder: Path, axes: list[list[str]], rows: pl.DataFrame) -> Path:
    """A site's release of one table of all students of a day."""
    folder.mkdir()
    rows.write_csv(folder / "students.csv")
    table = {"file": "students.csv", "kind": "counts", "axes": axes, "count": "n", "on": DAY}
    manifest = {"extract": "one", "min_cell": 10, "need": "strong", "tables": [table]}
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def by_school(last: int | None) -> pl.DataFrame:
    counts: list[int | None] = [40, 50, last, None if last is None else 90 + last]
    return pl.DataFrame({"school": [CANARY, "S1", "S2", "all"], "n": counts})


def test_releases_of_a_site_withstand_the_attack_alone_and_together(
    releases: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(releases) > 1
    hidden = []
    for some in (*([one] for one in releases), releases):
        for more in ([], ["--zeros-known"]):
            code, told, _ = attack(*some, *more, capsys=capsys)
            assert (code, told["rates"], told["errors"]) == (0, [], [])
            assert told["tables"]["given_away"] == told["tables"]["narrowed"] == 0
            hidden.append(told["tables"]["hidden"])
            names = {name.partition("/")[0] for name in told["tables"]["releases"]}
            assert names <= {one.name for one in some}
    assert max(hidden) > 0


def test_a_small_count_that_a_release_gives_away_is_found_and_explained_without_it(
    releases: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = by_school(7).with_columns(n=pl.when(pl.col("school") == "S2").then(None).otherwise(pl.col("n")))
    leak = release(tmp_path / "leak", [["school"]], table)
    for others in ([], releases):
        code, told, text = attack(leak, *others, capsys=capsys)
        assert code == 18
        assert told["errors"][0]["code"] == "WB-E-077"
        assert told["tables"]["given_away"] == 1 or others
        assert told["tables"]["explained"][0]["cell"] == {"school": "S2"}
        assert '"leak/students.csv"' in text


def test_two_releases_that_are_safe_alone_give_a_count_away_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = release(tmp_path / "first", [["school"]], pl.DataFrame(
        {"school": [CANARY, "S1", "S2", "all"], "n": [40, None, None, 70]}))
    second = release(tmp_path / "second", [["school"]], pl.DataFrame(
        {"school": [CANARY, "S1", "S2", "all"], "n": [None, 23, None, 70]}))
    assert attack(first, capsys=capsys)[0] == attack(second, capsys=capsys)[0] == 0
    code, told, _ = attack(first, second, capsys=capsys)
    assert (code, told["tables"]["given_away"]) == (18, 1)
    assert {part["release"] for part in told["tables"]["explained"][0]["because"]} == {
        "first/students.csv", "second/students.csv"}


def test_a_release_and_a_protected_table_give_a_count_away_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs, true = tmp_path / "theirs", {CANARY: 40, "S1": 23, "S2": 7}
    pl.DataFrame({"school": list(true), "n": list(true.values())}).write_csv(tmp_path / "t.csv")
    cohort = tmp_path / "c.toml"
    cohort.write_text(f'population = "students"\non = {DAY}\nname = "students {DAY}"\n', encoding="utf-8")
    with pytest.raises(SystemExit) as done:
        main(["privacy", "protect", str(tmp_path / "t.csv"), "--by", "school", "--count", "n", "--out", str(theirs),
              "--cohort", str(cohort)])
    assert done.value.code == 0
    shown = pl.read_csv(theirs / "table.csv").drop_nulls().filter(pl.col("school") != "all")["school"][0]
    ours = release(tmp_path / "ours", [["school"]], pl.DataFrame(
        {"school": [*true, "all"], "n": [None if name in {shown, "S2"} else n for name, n in true.items()] + [70]}))
    assert attack(ours, capsys=capsys)[0] == attack(theirs, capsys=capsys)[0] == 0
    code, told, _ = attack(ours, theirs, capsys=capsys)
    assert (code, told["tables"]["given_away"]) == (18, 1)
    assert told["tables"]["releases"] == ["ours/students.csv", "theirs"]
    assert told["tables"]["explained"][0]["cell"] == {"school": "S2"}


@pytest.mark.parametrize("axes", [["district"], ["school", "zone"]])
def test_tables_whose_levels_share_a_column_with_one_another_only_in_turn_are_attacked(
    axes: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """school<district hangs together with district and with school<zone, which have no level in common."""
    places = {"school": [CANARY, "S1", "S2", "S3"], "district": ["D1", "D1", "D2", "D2"]}
    whole = pl.DataFrame({**places, "zone": ["Z1", "Z2", "Z3", "Z1"], "n": [40, 50, 60, 70]})
    found = []
    for number, of in enumerate((["district"], ["school", "district"], ["school", "zone"], axes)):
        levels = [whole.group_by(of[depth:]).agg(pl.col("n").sum()).with_columns(
            pl.lit("all").alias(name) for name in of[:depth]) for depth in range(len(of))]
        total = pl.DataFrame({**dict.fromkeys(of, "all"), "n": 220})
        table = pl.concat([one.select(*of, "n") for one in (*levels, total)]).sort(of)
        found.append(release(tmp_path / f"release-{number}", [of], table))
    code, told, _ = attack(*found, capsys=capsys)
    assert (code, told["tables"]["given_away"]) == (0, 0)


@pytest.mark.parametrize("content", [
    "{}", "[]", "not json", '{"tables": [{"file": "../../etc/passwd"}]}',
    '{"min_cell": 10, "need": "strong", "tables": [{"file": "x.csv", "kind": "odd"}]}',
])
def test_a_folder_whose_manifest_is_none_is_refused_without_what_it_holds(
    content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "manifest.json").write_text(content, encoding="utf-8")
    (tmp_path / "odd" / "x.csv").write_text(f"{CANARY},{CANARY}\n1\n", encoding="utf-8")
    code, told, text = attack(tmp_path / "odd", capsys=capsys)
    assert (code, told["errors"][0]["code"]) == (11, "WB-E-023")
    assert CANARY not in text


def test_a_release_that_lacks_a_file_is_refused(
    releases: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lame = Path(shutil.copytree(releases[0], tmp_path / "lame"))
    named = json.loads((lame / "manifest.json").read_text(encoding="utf-8"))["tables"][0]["file"]
    (lame / named).unlink()
    assert attack(lame, capsys=capsys)[0] == 11
