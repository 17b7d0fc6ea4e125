"""Two files to measure linking with: the same rows for the same seed, and as hard as children's records are."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner

from wellbridge.pipelines.cli.group import cli
from wellbridge.pipelines.synth import pools
from wellbridge.pipelines.synth.pairs import COLUMNS, GROUPS, make_pairs, write_pairs

SEED = date.today().toordinal()
SIZE = 20_000


@pytest.fixture(scope="module")
def files() -> tuple[pl.DataFrame, pl.DataFrame]:
    print("seed", SEED)
    left, right = make_pairs(children=SIZE, seed=SEED)
    return plain(left), plain(right)


def plain(file: pl.DataFrame) -> pl.DataFrame:
    letters = (
        pl.col("first_name", "surname").str.normalize("NFKD").str.replace_all(r"\p{M}", "").str.to_lowercase()
    )
    return file.with_columns(letters, pl.col("phone").str.replace_all(r"\D", ""))


def test_the_command_writes_two_files_of_the_size_asked_for(tmp_path: Path) -> None:
    directory = tmp_path / "pairs"
    done = CliRunner().invoke(
        cli,
        ["synth", str(directory), "--pairs", "--students", "300", "--seed", "5", "--json"],
        standalone_mode=False,
    )
    assert json.loads(done.stdout)["children"] == 300
    for name in ("left", "right"):
        frame = pl.read_parquet(directory / f"{name}.parquet")
        assert frame.height == 300
        assert tuple(frame.columns) == COLUMNS + GROUPS


def test_the_same_seed_gives_the_same_rows_and_another_seed_others(tmp_path: Path) -> None:
    for name, seed in (("one", 3), ("again", 3), ("other", 4)):
        write_pairs(tmp_path / name, children=200, seed=seed)
    one, again, other = (
        pl.read_parquet(tmp_path / name / "left.parquet") for name in ("one", "again", "other")
    )
    assert one.equals(again)
    assert not one.equals(other)


def test_ids_are_unique_over_both_files_and_a_child_is_in_a_file_once(
    files: tuple[pl.DataFrame, pl.DataFrame],
) -> None:
    assert pl.concat([file["unique_id"] for file in files]).is_unique().all()
    for file in files:
        assert file["pid"].is_unique().all()
    share = files[0].join(files[1], on="pid").height / SIZE
    assert share == pytest.approx(0.66, abs=0.02)


@pytest.mark.parametrize(
    ("column", "share"),
    # As in the sample that the design was measured on: 10,000 children, 6,583 of them in both files.
    [("first_name", 0.91), ("surname", 0.83), ("dob", 0.97), ("sex", 0.96), ("zip", 0.68), ("phone", 0.33)],
)
def test_fields_agree_about_as_rarely_as_in_the_sample(
    files: tuple[pl.DataFrame, pl.DataFrame], column: str, share: float
) -> None:
    both = files[0].join(files[1], on="pid", suffix="_right")
    agrees = (both[column] == both[f"{column}_right"]).fill_null(value=False).mean()
    assert agrees == pytest.approx(share, abs=0.025)


def test_homes_hold_siblings_twins_and_families_of_more_than_one_name(
    files: tuple[pl.DataFrame, pl.DataFrame],
) -> None:
    roster = files[0]
    in_home = roster.filter(pl.len().over("hid") > 1)
    assert in_home.height / SIZE == pytest.approx(0.58, abs=0.03)
    by_home = in_home.group_by("hid").agg(pl.col("surname").n_unique() > 1)
    assert by_home.select(pl.col("surname").mean()).item() > 0.13
    twins = (
        roster.filter("twin")
        .group_by("hid")
        .agg(pl.len(), pl.col("dob").n_unique())
        .filter(pl.col("len") == 2)
    )
    assert twins.height > 100
    assert (twins["dob"] == 1).mean() > 0.9  # type: ignore[operator]
    first_names = roster.filter("twin").group_by("hid").agg(pl.col("first_name").n_unique() == pl.len())
    assert first_names["first_name"].mean() > 0.99  # type: ignore[operator]


def test_half_of_the_double_surnames_are_recorded_differently(
    files: tuple[pl.DataFrame, pl.DataFrame],
) -> None:
    both = files[0].join(files[1], on="pid", suffix="_right").filter("double_surname")
    assert both.height / files[0].join(files[1], on="pid").height == pytest.approx(0.12, abs=0.025)
    parts = [pl.col(name).str.replace_all("-", " ") for name in ("surname", "surname_right")]
    assert both.select((parts[0] != parts[1]).mean()).item() == pytest.approx(0.5, abs=0.08)


def test_what_a_vendor_left_is_no_child_of_the_other_file(files: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    for own, other in (files, files[::-1]):
        left_over = own.filter(pl.col("surname") == "student", pl.col("first_name") == "test")
        assert left_over.height == SIZE // 5_000
        assert left_over.join(other, on="pid").is_empty()


def test_telephone_numbers_can_be_nobodys(files: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    numbers = pl.concat([file["phone"] for file in files]).drop_nulls()
    assert numbers.str.contains("^(39[25]|9999999999)").all()


def test_names_are_many_and_a_few_of_them_frequent(files: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    counts = files[0]["surname"].value_counts(sort=True)["count"]
    assert counts[0] / SIZE > 0.01
    assert counts.len() > 5_000
    for language in pools.LANGUAGES:
        for pool in (pools.girls(language), pools.boys(language), pools.surnames(language)):
            assert pool.names.is_unique().all()
            assert pool.names.str.contains(r"^\p{Lu}[\p{L}' -]+$").all()


def test_one_name_column(tmp_path: Path) -> None:
    write_pairs(tmp_path, children=100, seed=1, one_name_column=True)
    right = pl.read_parquet(tmp_path / "right.parquet")
    assert "first_name" not in right.columns
    assert right["full_name"].str.contains(", ", literal=True).all()
