"""What ``identity evaluate`` and ``train`` make of their files: truths, groups, labels, Parquet beside CSV."""

from __future__ import annotations

import json
import re
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner

from pipelines.answer import Answer
from wellbridge.etl.identity.evaluate import recall_by_group
from wellbridge.etl.identity.model import read_model
from wellbridge.pipelines.cli.group import cli
from wellbridge.pipelines.synth.pairs import write_pairs

SEED = datetime.now(UTC).date().toordinal()
CHILDREN = 1_000
PAGE = Path(__file__).parents[2] / "docs" / "identity.md"
CANARY = "Zyxquivera"


def wellbridge(*arguments: object) -> Answer:
    done = CliRunner().invoke(cli, [*map(str, arguments)])
    assert CANARY.lower() not in (done.stdout + done.stderr).lower()
    return Answer(done.exit_code, done.stdout, done.stderr)


def evaluate(*arguments: object) -> Answer:
    return wellbridge("identity", "evaluate", *arguments)


def train(*arguments: object) -> Answer:
    return wellbridge("identity", "train", *arguments, "--json")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with left.parquet and right.parquet, and the same as CSV."""
    print("seed", SEED)
    folder = tmp_path_factory.mktemp("pairs")
    made = wellbridge("synth", folder, "--students", CHILDREN, "--pairs", "--seed", SEED)
    assert made.exit == 0, made.stderr
    for side in ("left", "right"):
        pl.read_parquet(folder / f"{side}.parquet").write_csv(folder / f"{side}.csv")
    return folder


def sides(folder: Path, left: str = "left.parquet", right: str = "right.parquet") -> tuple[object, ...]:
    return ("--left", folder / left, "--right", folder / right)


# -- a gap and chance --------------------------------------------------------------------------------------------


def test_of_eight_others_who_were_all_found_nothing_follows(tmp_path: Path) -> None:
    write_pairs(tmp_path, children=CHILDREN, seed=3)
    found = evaluate(*sides(tmp_path), "--truth", "pid", "--gate", "--json")
    one = next(one for one in found.document["groups"] if (one["group"], one["value"]) == ("foster", "false"))
    assert one["others_recall"] == 1.0, "the few others were all found"
    assert not one["is_more_than_chance"]
    assert found.exit == 0, found.document["gates"]


@pytest.mark.parametrize(
    ("found_of_group", "found_of_others", "is_real"),
    [((900, 1000), (9900, 10_000), True), ((9, 40), (35, 40), True), ((980, 1000), (8, 8), False)],
)
def test_a_gap_is_more_than_chance_where_both_intervals_stay_apart(
    found_of_group: tuple[int, int], found_of_others: tuple[int, int], *, is_real: bool
) -> None:
    rows = [
        {"of_interest": name, "is_found": found, "size": 1}
        for name, (hits, of) in (("yes", found_of_group), ("no", found_of_others))
        for found in [True] * hits + [False] * (of - hits)
    ]
    groups = recall_by_group(pl.DataFrame(rows), ["of_interest"])
    assert next(one for one in groups if one["value"] == "yes")["is_more_than_chance"] is is_real


def test_the_more_groups_are_compared_the_more_a_gap_has_to_show() -> None:
    rows = pl.DataFrame(
        {"is_found": [True] * 168 + [False] * 32 + [True] * 190 + [False] * 10, "size": 1,
         "half": ["a"] * 200 + ["b"] * 200}
    )  # fmt: skip
    alone = recall_by_group(rows, ["half"])
    many = rows.with_columns((pl.int_range(400) % 10 + k).alias(f"g{k}") for k in range(30))
    among = recall_by_group(many, ["half", *(f"g{k}" for k in range(30))])
    assert [one["is_more_than_chance"] for one in alone] == [True, False]
    assert not any(one["is_more_than_chance"] for one in among)


# -- without a truth ---------------------------------------------------------------------------------------------

UNKNOWN = ("true_pairs", "judged_links", "wrong_links", "precision", "precision_interval", "recall",
           "recall_interval", "f1", "collisions")  # fmt: skip


def test_without_a_truth_nothing_is_called_right_or_wrong(pairs: Path) -> None:
    found = evaluate(*sides(pairs), "--json").document
    assert [found[name] for name in UNKNOWN] == [None] * len(UNKNOWN)
    assert found["review"]["true_share"] is None
    assert found["one_to_one"]["precision"] is None
    assert found["groups"] == []
    judged = evaluate(*sides(pairs), "--truth", "pid", "--json").document
    same = ("links", "links_by_tier", "level_shares", "drift", "flags")
    assert {name: found[name] for name in same} == {name: judged[name] for name in same}
    assert found["review"]["pairs"] == judged["review"]["pairs"] > 0
    said = evaluate(*sides(pairs)).stdout
    assert "not known" in said
    assert "wrong" not in said
    assert re.search(r"recall_gap .* not judged", said)


def test_a_gate_without_a_truth_does_not_let_links_pass(pairs: Path) -> None:
    found = evaluate(*sides(pairs), "--gate", "--json")
    assert (found.exit, found.error["code"]) == (14, "WB-E-108")
    assert "recall_gap" in found.error["where"]
    assert [(one["gate"], one["holds"]) for one in found.document["gates"]] == [
        ("recall_gap", None),
        ("drift_bits", True),
    ]
    assert evaluate(*sides(pairs), "--json").exit == 0, "without --gate it only says so"


def test_a_truth_that_no_two_records_share_judges_nothing(pairs: Path, tmp_path: Path) -> None:
    """Of another kind in either file: nothing is a true pair, so recall is not judged, and no gate holds."""
    pl.read_parquet(pairs / "right.parquet").with_columns(pl.format("x{}", "pid").alias("pid")).write_csv(
        tmp_path / "right.csv"
    )
    found = evaluate(
        "--left",
        pairs / "left.parquet",
        "--right",
        tmp_path / "right.csv",
        "--truth",
        "pid",
        "--gate",
        "--json",
    )
    assert (found.exit, found.error["code"]) == (14, "WB-E-108")
    assert found.document["recall"] is None
    said = evaluate(
        "--left", pairs / "left.parquet", "--right", tmp_path / "right.csv", "--truth", "pid"
    ).stdout
    assert "No value of the truth stands in both files" in said


def test_a_link_whose_truth_is_not_known_is_neither_right_nor_wrong(pairs: Path, tmp_path: Path) -> None:
    whole = evaluate(*sides(pairs), "--truth", "pid", "--json").document
    for side in ("left", "right"):
        frame = pl.read_parquet(pairs / f"{side}.parquet")
        frame.with_columns(pl.when(pl.col("pid") % 2 == 0).then("pid")).write_parquet(
            tmp_path / f"{side}.parquet"
        )
    half = evaluate(*sides(tmp_path), "--truth", "pid", "--json").document
    assert half["links"] == whole["links"]
    assert 0 < half["judged_links"] < whole["judged_links"] == whole["links"]
    assert half["wrong_links"] <= whole["wrong_links"]
    assert half["precision"] > 0.99


# -- one form of Parquet and CSV ---------------------------------------------------------------------------------

SAME = ("true_pairs", "links", "wrong_links", "recall", "collisions", "groups")


@pytest.mark.parametrize("right", ["right.parquet", "right.csv"])
@pytest.mark.parametrize("left", ["left.parquet", "left.csv"])
def test_a_parquet_file_beside_a_csv_is_judged_as_two_of_one_kind(pairs: Path, left: str, right: str) -> None:
    more = ("--truth", "pid", "--household", "hid", "--json")
    one = evaluate(*sides(pairs), *more).document
    other = evaluate(*sides(pairs, left, right), *more).document
    assert {name: one[name] for name in SAME} == {name: other[name] for name in SAME}
    assert one["collisions"]["household"] == "column"


def test_groups_are_one_whatever_a_flag_is_written_as(pairs: Path, tmp_path: Path) -> None:
    frame = pl.read_parquet(pairs / "right.parquet").drop("hid")
    frame.with_columns(
        pl.col("twin").cast(pl.Int8),
        pl.when("mover").then(pl.lit("True")).otherwise(pl.lit("False")).alias("mover"),
        pl.col("homeless").cast(pl.Float64),
    ).write_csv(tmp_path / "right.csv")
    one = evaluate(*sides(pairs), "--truth", "pid", "--json").document
    other = evaluate(
        "--left", pairs / "left.parquet", "--right", tmp_path / "right.csv", "--truth", "pid", "--json"
    ).document
    assert one["groups"] == other["groups"]
    assert {one["value"] for one in other["groups"] if one["group"] == "mover"} == {"true", "false"}


def test_ids_that_became_decimal_numbers_are_the_same_ids(pairs: Path, tmp_path: Path) -> None:
    """A table that lacks some ids is written with 12.0 for 12 by a much used library."""
    pl.read_csv(pairs / "right.csv").with_columns(pl.col("pid", "hid").cast(pl.Float64)).write_csv(
        tmp_path / "right.csv"
    )
    found = evaluate(
        "--left", pairs / "left.parquet", "--right", tmp_path / "right.csv", "--truth", "pid", "--json"
    )
    assert (
        found.document["true_pairs"]
        == evaluate(*sides(pairs), "--truth", "pid", "--json").document["true_pairs"]
    )


def test_a_model_is_trained_by_a_truth_of_a_parquet_file_beside_a_csv(pairs: Path, tmp_path: Path) -> None:
    found = train(*sides(pairs, right="right.csv"), "--truth", "pid", "--out", tmp_path / "one.json")
    assert found.exit == 0, found.stdout
    other = train(*sides(pairs), "--truth", "pid", "--out", tmp_path / "two.json")
    assert found.document["sha256"] == other.document["sha256"]


# -- birth dates as instants -------------------------------------------------------------------------------------

AS_INSTANT = {
    "us": pl.col("dob").cast(pl.Datetime("us")),
    "ns": pl.col("dob").cast(pl.Datetime("ns")),
    "zone": pl.col("dob")
    .cast(pl.Datetime("ms"))
    .dt.replace_time_zone("America/Los_Angeles", ambiguous="earliest"),
    "space": pl.col("dob").dt.to_string("%Y-%m-%d 00:00:00"),
    "T": pl.col("dob").dt.to_string("%Y-%m-%dT00:00:00"),
    "Z": pl.col("dob").dt.to_string("%Y-%m-%dT00:00:00.000Z"),
    "sheet": pl.col("dob").dt.to_string("%m/%d/%Y 0:00"),
}


@pytest.mark.parametrize("form", AS_INSTANT)
def test_a_birth_date_that_is_written_as_an_instant_is_that_day(
    pairs: Path, tmp_path: Path, form: str
) -> None:
    frame = pl.read_parquet(pairs / "right.parquet").with_columns(pl.col("dob").str.to_date())
    frame.with_columns(AS_INSTANT[form].alias("dob")).write_parquet(tmp_path / "right.parquet")
    plain = evaluate(*sides(pairs), "--json").document
    found = evaluate(
        "--left", pairs / "left.parquet", "--right", tmp_path / "right.parquet", "--json"
    ).document
    for name in ("flags", "links", "links_by_tier", "level_shares"):
        assert found[name] == plain[name]


def test_encoding_reads_a_birth_date_that_is_an_instant(pairs: Path, tmp_path: Path) -> None:
    frame = (
        pl.read_parquet(pairs / "right.parquet").with_columns(pl.col("dob").str.to_date()).drop("pid", "hid")
    )
    named = frame.rename(
        {"unique_id": "record_id", "surname": "last_name", "zip": "zip_code", "dob": "birth_date"}
    )
    read = {}
    for form, dates in (("day", "birth_date"), ("instant", pl.col("birth_date").cast(pl.Datetime("ns")))):
        folder = tmp_path / form
        folder.mkdir()
        named.with_columns(dates).write_parquet(folder / "file.parquet")
        assert wellbridge("identity", "new-key", folder / "hub").exit == 0
        assert wellbridge("identity", "new-key", folder / "pair.key", "--for", folder / "hub.pub").exit == 0
        done = wellbridge(
            "identity", "encode", folder / "file.parquet", "--key", folder / "pair.key", "--agreement", "A-1",
            "--epoch", 1, "--out", folder / "bundle", "--json",
        )  # fmt: skip
        assert done.exit == 0, done.stdout + done.stderr
        read[form] = (done.document["encoded"], done.document["left_out"])
    assert read["day"] == read["instant"]
    assert read["day"][0] > CHILDREN * 0.8


# -- labels ------------------------------------------------------------------------------------------------------


def labelled(folder: Path, count: int) -> pl.DataFrame:
    left, right = (pl.read_parquet(folder / f"{side}.parquet") for side in ("left", "right"))
    true = left.join(right, on="pid").head(count)
    return true.select(
        left_source=pl.lit("student"), left_id="unique_id", right_source=pl.lit("clinic/patient"),
        right_id="unique_id_right", is_match=pl.lit("true"),
    )  # fmt: skip


def test_labels_of_another_source_are_not_taken(pairs: Path, tmp_path: Path) -> None:
    """The other source's ids are the same by chance, and belong to other children."""
    ours = labelled(pairs, 120)
    theirs = ours.with_columns(
        right_id=pl.col("right_id").shuffle(SEED), right_source=pl.lit("hospital/patient")
    )
    pl.concat([ours, theirs]).write_csv(tmp_path / "labels.csv")
    given = (*sides(pairs), "--labels", tmp_path / "labels.csv")
    mixed = train(*given, "--out", tmp_path / "mixed.json")
    assert (mixed.exit, mixed.error["code"]) == (10, "WB-E-011")
    assert "right_source" in mixed.error["where"]
    assert "--right-source" in mixed.error["todo"]
    chosen = train(*given, "--right-source", "clinic/patient", "--out", tmp_path / "chosen.json")
    assert chosen.document["labels"]["used"] == 120
    assert chosen.document["labels"]["other_source"] == 120
    ours.write_csv(tmp_path / "ours.csv")
    alone = train(*sides(pairs), "--labels", tmp_path / "ours.csv", "--out", tmp_path / "alone.json")
    assert alone.document["sha256"] == chosen.document["sha256"]
    assert evaluate(*given, "--json").error["code"] == "WB-E-011"
    judged = evaluate(*given, "--right-source", "clinic/patient", "--left-source", "student", "--json")
    assert judged.document["labels"]["used"] == 120
    lost = train(*given, "--right-source", CANARY, "--out", tmp_path / "lost.json")
    assert (lost.exit, lost.error["code"]) == (10, "WB-E-011")
    assert "240 of another source" in lost.error["where"]


def test_labels_that_do_not_say_their_source_cannot_be_chosen_by_it(pairs: Path, tmp_path: Path) -> None:
    labelled(pairs, 80).drop("right_source").write_csv(tmp_path / "labels.csv")
    given = (*sides(pairs), "--labels", tmp_path / "labels.csv", "--right-source", "clinic", "--out")
    assert train(*given, tmp_path / "m.json").error["code"] == "WB-E-011"


def test_a_source_of_labels_without_labels_is_no_command(pairs: Path, tmp_path: Path) -> None:
    for done in (
        train(*sides(pairs), "--right-source", "clinic", "--out", tmp_path / "m.json"),
        evaluate(*sides(pairs), "--left-source", "student", "--json"),
    ):
        assert (done.exit, done.error["code"]) == (2, "WB-E-016")


def test_labels_may_be_parquet_too(pairs: Path, tmp_path: Path) -> None:
    labels = labelled(pairs, 80)
    labels.write_csv(tmp_path / "labels.csv")
    labels.with_columns(pl.lit(value=True).alias("is_match")).write_parquet(tmp_path / "labels.parquet")
    models = [
        train(
            *sides(pairs), "--labels", tmp_path / f"labels.{kind}", "--out", tmp_path / f"{kind}.json"
        ).document
        for kind in ("csv", "parquet")
    ]
    assert models[0]["sha256"] == models[1]["sha256"]


def test_labels_that_cannot_be_used_are_counted_and_said(pairs: Path, tmp_path: Path) -> None:
    good = labelled(pairs, 90)
    lost = good.head(7).with_columns(left_id=pl.format("lost{}", pl.int_range(7)))
    mute = good.slice(7, 5).with_columns(is_match=pl.lit("maybe"))
    again = good.head(3)
    torn = good.slice(20, 2).with_columns(is_match=pl.lit("no"))
    pl.concat([good, lost, mute, again, torn]).write_csv(tmp_path / "labels.csv")
    given = (*sides(pairs), "--labels", tmp_path / "labels.csv", "--out", tmp_path / "m.json")
    found = train(*given)
    assert found.document["labels"] == {
        "given": 107, "used": 88, "other_source": 0, "no_answer": 5, "no_row": 7, "repeated": 3, "contradicted": 4,
    }  # fmt: skip
    assert found.document["method"] == "88 labelled pairs of one child"
    said = wellbridge("identity", "train", *given[:-1], tmp_path / "again.json").stdout
    assert "107 given" in said
    assert "7 name no row" in said
    assert "5 neither true nor false" in said


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"left_id": pl.lit("nobody")}, "WB-E-011", "80 name no row"),
        ({"is_match": pl.lit("perhaps")}, "WB-E-011", "80 neither true nor false"),
        ({"is_match": pl.int_range(80) < 30}, "WB-E-100", "30 of one child"),
    ],
)
def test_too_few_labels_are_refused_with_their_counts(
    pairs: Path, tmp_path: Path, change: dict[str, pl.Expr], code: str, words: str
) -> None:
    labelled(pairs, 80).with_columns(**change).write_csv(tmp_path / "labels.csv")
    for done in (
        train(*sides(pairs), "--labels", tmp_path / "labels.csv", "--out", tmp_path / "m.json"),
        evaluate(*sides(pairs), "--labels", tmp_path / "labels.csv", "--json"),
    ):
        assert done.error["code"] == code
        assert words in done.error["where"]
    assert not (tmp_path / "m.json").exists()


# -- where a model is written ------------------------------------------------------------------------------------


def test_a_model_is_written_over_nothing(pairs: Path, tmp_path: Path) -> None:
    labelled(pairs, 80).write_csv(tmp_path / "labels.csv")
    before = (tmp_path / "labels.csv").read_bytes()
    given = (*sides(pairs), "--labels", tmp_path / "labels.csv", "--out")
    refused = train(*given, tmp_path / "labels.csv")
    assert (refused.exit, refused.error["code"]) == (10, "WB-E-011")
    assert (tmp_path / "labels.csv").read_bytes() == before
    assert train(*given, tmp_path / "m.json").exit == 0
    again = train(*given, tmp_path / "m.json")
    assert (again.exit, again.error["code"]) == (10, "WB-E-011")
    nowhere = train(*given, tmp_path / "nowhere" / "m.json")
    assert (nowhere.exit, nowhere.error["code"]) == (10, "WB-E-011")
    assert read_model(tmp_path / "m.json").about["method"] == "80 labelled pairs of one child"


# -- groups ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["surname", "first_name", "dob", "address", "phone", "zip", "unique_id", "hid", "pid"]
)
def test_what_tells_a_child_apart_is_no_group(pairs: Path, name: str) -> None:
    found = evaluate(*sides(pairs), "--truth", "pid", "--group", name, "--json")
    assert (found.exit, found.error["code"]) == (14, "WB-E-098")


def test_a_header_of_another_spelling_is_no_group_either(pairs: Path, tmp_path: Path) -> None:
    for side in ("left", "right"):
        frame = pl.read_parquet(pairs / f"{side}.parquet")
        frame.with_columns(pl.col("surname").alias("Family Name")).write_csv(tmp_path / f"{side}.csv")
    given = sides(tmp_path, "left.csv", "right.csv")
    assert evaluate(*given, "--truth", "pid", "--group", "Family Name", "--json").error["code"] == "WB-E-098"


# -- the page ----------------------------------------------------------------------------------------------------


def _examples() -> list[str]:
    block = PAGE.read_text("utf-8").split("```")[1]
    return [line.split("#")[0].strip() for line in block.splitlines() if line.startswith("wellbridge")]


def test_the_page_s_examples_run_as_they_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lines = _examples()
    assert len(lines) >= 4
    assert any("--truth" in line for line in lines)
    for line in lines:
        done = CliRunner().invoke(cli, shlex.split(line)[1:])
        assert done.exit_code == 0, f"{line}\n{done.output}"


def test_columns_of_lists_and_bytes_are_no_obstacle(pairs: Path, tmp_path: Path) -> None:
    frame = pl.read_parquet(pairs / "right.parquet")
    extra = frame.with_columns(pl.lit([1, 2]).alias("tags"), pl.lit(b"x").alias("photo"))
    extra.write_parquet(tmp_path / "right.parquet")
    found = evaluate("--left", pairs / "left.parquet", "--right", tmp_path / "right.parquet", "--json")
    plain: dict[str, Any] = evaluate(*sides(pairs), "--json").document
    assert found.document["links"] == plain["links"]
    assert json.dumps(found.document["flags"]) == json.dumps(plain["flags"])
