from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from wellbridge.privacy.records.builtin import ages, birth_dates, dates, races, rare, years, zips
from wellbridge.privacy.records.hierarchy import ANYTHING, Hierarchy, read_hierarchy, read_levels
from wellbridge.privacy.records.ladders import numbered
from wellbridge.schemas.errors import ConfigurationError

CANARY = "Quetzalcoatlus"


def written(folder: Path, text: str) -> Path:
    path = folder / "tree.csv"
    path.write_text(text, encoding="utf-8")
    return path


def levels(tree: Hierarchy, *values: str | None) -> list[tuple[str, ...]]:
    return tree.labels(pl.Series("x", values, dtype=pl.String), "x").rows()


@pytest.mark.parametrize("delimiter", [";", ",", "\t", "|"])
def test_a_csv_is_read_whatever_its_delimiter(tmp_path: Path, delimiter: str) -> None:
    text = "06;6-8;*\n07;6-8;*\n09;9-12;*\n".replace(";", delimiter)
    tree = read_hierarchy(written(tmp_path, text))
    assert tree.height == 2
    assert levels(tree, "06", "09") == [("06", "6-8", "*"), ("09", "9-12", "*")]


def test_a_missing_value_stays_not_reported_until_all_are_alike(tmp_path: Path) -> None:
    tree = read_hierarchy(written(tmp_path, "06;6-8;*\n09;9-12;*\n"))
    assert levels(tree, None) == [("not reported", "not reported", "*")]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a;x;*\nb;x\n", "line 2"),
        ("a;x;*\nb;;*\n", "line 2"),
        (f"a;x;*\nb;y;*\n{CANARY};x;other\n", "line 3"),
        (f"{CANARY};x;*\n{CANARY};y;*\n", "line 2"),
        (f"{CANARY};b;*\nb;{CANARY};*\n", "line 2"),
        (f"a;b;{CANARY}\n{CANARY};a;*\n", "line 2"),
        ("a;x;*\nx;a;*\n", "line 2"),
        (f"{CANARY};x;{CANARY};*\n", "line 1"),
        ("", "tree.csv"),
        ("\n \n", "tree.csv"),
    ],
    ids=["ragged", "empty cell", "two parents of a label", "two parents of a value", "circle", "two roots",
         "circle over lines", "back again", "empty", "blank"],
)
def test_what_is_no_tree_is_refused_by_line_and_never_by_value(tmp_path: Path, text: str, place: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_hierarchy(written(tmp_path, text))
    error = caught.value
    assert (error.code, int(error.exit)) == ("WB-E-047", 10)
    assert place in error.where
    assert CANARY not in error.render()


def test_a_file_that_is_not_there_or_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    for name in ("nothing.csv", "bytes.csv"):
        with pytest.raises(ConfigurationError, match="WB-E-047"):
            read_hierarchy(tmp_path / name)


def test_a_value_that_is_not_in_its_hierarchy_is_refused_by_column_and_count(tmp_path: Path) -> None:
    tree = read_hierarchy(written(tmp_path, "06;*\n"))
    with pytest.raises(ConfigurationError) as caught:
        numbered(pl.Series("grade", ["06", CANARY, CANARY, "zz"]), tree)
    assert "2 distinct value(s)" in caught.value.what
    assert "column grade" in caught.value.where
    assert CANARY not in caught.value.render()


def test_settings_say_levels_as_tables_and_leave_alone_what_they_do_not_name() -> None:
    tree = read_levels([{"AM": "other", "PI": "other"}, ANYTHING], "here")
    assert levels(tree, "AM", "WH") == [("AM", "other", "*"), ("WH", "WH", "*")]


@pytest.mark.parametrize("wrong", ["*", ["+"], [{"a": 1}], [{"a": "b"}, {"b": "a"}], 3])
def test_settings_that_are_no_levels_are_refused(wrong: object) -> None:
    with pytest.raises(ConfigurationError, match="WB-E-047"):
        read_levels(wrong, "here")


def test_values_are_numbered_along_the_tree_and_the_loss_is_the_share_of_the_domain() -> None:
    tree = Hierarchy(({"a": "x", "c": "x", "b": "y"}, ANYTHING), values=frozenset("abc"))
    ladder, rows = numbered(pl.Series("q", ["b", "a", "c", "a"]), tree)
    fine = ladder.labels[0].gather(rows).to_list()
    assert fine == ["b", "a", "c", "a"]
    for low, high in ((0, 1), (1, 2)):
        assert (ladder.between(low, high)[:-1] <= ladder.between(low, high)[1:]).all()
    assert dict(zip(ladder.labels[1], ladder.share[1], strict=True)) == {"x": 0.5, "y": 0.0}
    assert ladder.share[2].tolist() == [1.0]


def test_numbers_are_in_order_of_size_whatever_their_type() -> None:
    for column in (pl.Series("n", ["10", "9", "100"]), pl.Series("n", [10, 9, 100])):
        assert numbered(column, Hierarchy(()))[0].labels[0].to_list() == ["9", "10", "100"]


def test_dates_become_month_quarter_and_school_year() -> None:
    assert levels(dates(), "2026-07-01", "2026-06-30", None) == [
        ("2026-07-01", "2026-07", "2026-Q3", "2026-27", "*"),
        ("2026-06-30", "2026-06", "2026-Q2", "2025-26", "*"),
        ("not reported", "not reported", "not reported", "not reported", "*"),
    ]
    assert levels(years(), "2014-02-03", "2015")[0] == ("2014-02-03", "2014", "2010-2014", "*")
    assert (dates().least, dates(finest="day").least, years().least) == (1, 0, 1)


def test_years_of_birth_of_all_over_89_are_one_label_on_every_level() -> None:
    now = datetime.now(UTC).year
    told = [row[1:] for row in levels(years(), f"{now - 89}-12-31", f"{now - 90}", f"{now - 91}-01-01", f"{now - 110}")]
    low = (now - 89) // 5 * 5
    assert told[0] == (str(now - 89), f"{low}-{low + 4}", "*")
    assert set(told[1:]) == {(f"{now - 90} or earlier", f"{now - 90} or earlier", "*")}


def test_ages_are_top_coded_on_every_level() -> None:
    assert levels(ages(), "89", "90", "104") == [
        ("89", "89", "85-89", "80-89", "60-89", "*"),
        ("90", "90+", "90+", "90+", "90+", "*"),
        ("104", "90+", "90+", "90+", "90+", "*"),
    ]
    with pytest.raises(ConfigurationError, match="WB-E-047"):
        ages(widths=(5, 12))


def test_a_birth_date_becomes_an_age_and_is_never_shown() -> None:
    tree = birth_dates(date(2026, 11, 26))
    assert tree.least == 1
    assert [row[1] for row in levels(tree, "2010-11-26", "2010-11-27", "1920-01-01")] == ["16", "15", "90+"]


def test_zip_codes_keep_three_digits_where_enough_people_live_and_fail_closed() -> None:
    shown = [row[1:3] for row in levels(zips(), "78701", "1234", "03601-1234", "no ZIP")]
    assert shown == [("787", "7**"), ("012", "0**"), ("000", "000"), ("000", "000")]
    assert zips().least == 1


def test_race_is_shown_in_federal_categories() -> None:
    shown = levels(races(), "White", "Hispanic or Latino", "pacific_islander", "Choose Not to Respond")
    assert [row[1] for row in shown] == ["white", "hispanic", "pacific_islander", "not reported"]
    assert shown[2][2] == "two or more races or small group"


def test_rare_codes_become_other() -> None:
    tree = rare(pl.Series("code", ["a"] * 5 + ["b", "c", None]), least_persons=3)
    assert levels(tree, "a", "b") == [("a", "a", "*"), ("b", "other", "*")]
    assert tree.least == 1


@pytest.mark.parametrize("tree", [dates(), years(), ages(), races()], ids=lambda tree: tree.name)
def test_a_built_in_hierarchy_refuses_what_it_does_not_understand(tree: Hierarchy) -> None:
    with pytest.raises(ConfigurationError) as caught:
        levels(tree, CANARY)
    assert CANARY not in caught.value.render()
