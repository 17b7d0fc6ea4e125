"""Files as partners have them, by ``identity encode``: few columns, no usable child, children twice, ids, accents."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner, Result

from wellbridge.etl.identity.encoded.bundle import open_bundle, read_manifest
from wellbridge.etl.identity.encoded.keys import read_hub_key
from wellbridge.pipelines.cli.group import cli

PLACES = {
    "zip_code": ["78401", "78402", "78403"],
    "phone": ["3615550112", "3615550113", "3615550114"],
    "address": ["12 Cedar St", "14 Cedar St", "9 Elm Ave"],
}
CHILDREN = {
    "unique_id": ["k-7", "k-8", "k-9"],
    "first_name": ["Margaret", "Oliver", "José"],
    "last_name": ["Lopez", "Chen", "Núñez"],
    "birth_date": ["2014-05-17", "2013-01-30", "2012-11-02"],
}
SUBSETS = [names for size in (1, 2, 3) for names in itertools.combinations(PLACES, size)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    _run("new-key", tmp_path / "hub.key")
    _run("new-key", tmp_path / "pair.key", "--for", tmp_path / "hub.pub")
    return tmp_path


def _run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["identity", *map(str, arguments)])


def _encode(folder: Path, name: str = "kids", *more: str) -> Result:
    said = ("--key", folder / "pair.key", "--agreement", "A-1", "--epoch", "1")
    return _run("encode", folder / f"{name}.csv", *said, "--out", folder / f"{name}.bundle", "--json", *more)


def _said(done: Result) -> dict[str, Any]:
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["read"] == found["encoded"] + sum(found["left_out"].values())
    return found


def _ids(folder: Path, name: str = "kids") -> list[Any]:
    return sorted(pl.read_csv(folder / f"{name}.bundle.rows.csv", infer_schema=False)["record_id"].to_list())


def _link(folder: Path, left: str = "kids", right: str = "twin", *more: str | Path) -> Result:
    bundles = (folder / f"{left}.bundle", folder / f"{right}.bundle", "--key", folder / "hub.key")
    said = ("--agreement", "A-1", "--epoch", "1", "--out", folder / "links.csv", "--json")
    return _run("link-bundle", *bundles, *said, *more)


@pytest.mark.parametrize("sex", [False, True])
@pytest.mark.parametrize("names", SUBSETS, ids="+".join)
def test_any_one_place_is_enough_to_encode_and_to_link(
    folder: Path, names: tuple[str, ...], sex: bool
) -> None:
    columns = CHILDREN | {name: PLACES[name] for name in names} | ({"sex": ["F", "M", "M"]} if sex else {})
    for name in ("kids", "twin"):
        pl.DataFrame(columns).write_csv(folder / f"{name}.csv")
        found = _said(_encode(folder, name))
        assert (found["read"], found["encoded"], found["manifest"]["records"]) == (3, 3, 3)
    encoded = open_bundle(
        folder / "kids.bundle", read_manifest(folder / "kids.bundle"), read_hub_key(folder / "hub.key")
    )
    has_home = encoded.filters["household"].any(axis=1)
    assert has_home.all()
    _said_link = _link(folder)
    assert _said_link.exit_code == 0, _said_link.output
    assert json.loads(_said_link.stdout)["links"] == 3


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"first_name": ["TEST", "Test", "test"], "last_name": ["STUDENT"] * 3}, "no first name"),
        ({"birth_date": ["1900-01-01"] * 3}, "no birth date"),
        ({"birth_date": ["2014-02-31", "1887-01-01", "soon"]}, "no birth date"),
        ({"phone": [None, "", " "]}, "no ZIP code, phone or address"),
        ({"unique_id": [None, "", " "]}, "no record id"),
    ],
)
def test_a_file_of_which_nothing_can_be_encoded_is_refused_with_its_counts(
    folder: Path, changes: dict[str, list[Any]], reason: str
) -> None:
    pl.DataFrame(CHILDREN | {"phone": PLACES["phone"]} | changes).write_csv(folder / "kids.csv")
    done = _encode(folder)
    said = json.loads(done.stdout)
    assert (done.exit_code, said["errors"][0]["code"]) == (12, "WB-E-082")
    assert (said["read"], said["encoded"], said["left_out"]) == (3, 0, {reason: 3})
    assert "0 of 3" in said["errors"][0]["where"]
    assert not (folder / "kids.bundle").exists()
    assert not (folder / "kids.bundle.rows.csv").exists()


def test_a_file_with_a_header_alone_is_refused(folder: Path) -> None:
    (folder / "kids.csv").write_text("first_name,last_name,birth_date,phone\n")
    assert json.loads(_encode(folder).stdout)["errors"][0]["code"] == "WB-E-082"


def test_children_twice_are_counted_and_warned_of_and_still_linked(folder: Path) -> None:
    columns = CHILDREN | {"phone": PLACES["phone"]}
    whole = pl.DataFrame(columns)
    again = whole.head(2).with_columns(unique_id=pl.Series(["k-8", "k-99"]))  # an id twice; a child twice
    pl.concat([whole, again]).write_csv(folder / "kids.csv")
    done = _encode(folder)
    assert _said(done)["twice"] == {"record id": 1, "all traits": 2}
    assert done.stderr.count("Warning") == 2
    assert not [value for value in ("Margaret", "Oliver", "k-8") if value in done.output]
    whole.write_csv(folder / "twin.csv")
    assert _said(_encode(folder, "twin"))["twice"] == {"record id": 0, "all traits": 0}
    assert _link(folder, "twin", "kids").exit_code == 0


@pytest.mark.parametrize("header", ["unique_id", "id", "record_id", "Record ID"])
def test_rows_are_told_by_the_file_s_own_ids(folder: Path, header: str) -> None:
    pl.DataFrame(CHILDREN | {"phone": PLACES["phone"]}).rename({"unique_id": header}).write_csv(
        folder / "kids.csv"
    )
    _said(_encode(folder))
    assert _ids(folder) == CHILDREN["unique_id"]


def test_a_named_column_of_ids_wins_and_a_file_without_ids_counts_its_lines(folder: Path) -> None:
    frame = pl.DataFrame(CHILDREN | {"phone": PLACES["phone"], "client": ["c1", "c2", "c3"]})
    frame.write_csv(folder / "kids.csv")
    _said(_encode(folder, "kids", "--column", "record_id=client"))
    assert _ids(folder) == ["c1", "c2", "c3"]
    frame.drop("unique_id").write_csv(folder / "twin.csv")
    _said(_encode(folder, "twin"))
    assert _ids(folder, "twin") == ["1", "2", "3"]


def test_a_record_without_an_id_is_left_out_and_not_taken_for_a_made_up_one(folder: Path) -> None:
    pl.DataFrame(CHILDREN | {"phone": PLACES["phone"], "unique_id": ["k-7", "", "k-9"]}).write_csv(
        folder / "kids.csv"
    )
    assert _said(_encode(folder))["left_out"] == {"no record id": 1}
    assert _ids(folder) == ["k-7", "k-9"]


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
def test_a_sheet_saved_as_ansi_is_the_same_as_in_utf_8(folder: Path, encoding: str) -> None:
    frame = pl.DataFrame(CHILDREN | {"phone": PLACES["phone"]})
    frame.write_csv(folder / "twin.csv")
    (folder / "kids.csv").write_bytes((folder / "twin.csv").read_text("utf-8").encode(encoding))
    for name in ("kids", "twin"):
        assert _said(_encode(folder, name))["encoded"] == 3
    assert json.loads(_link(folder).stdout)["links"] == 3


def test_a_parquet_file_says_the_same_as_a_csv(folder: Path) -> None:
    frame = pl.DataFrame(CHILDREN | {"phone": PLACES["phone"], "unique_id": ["7", "8", "9"]})
    frame.write_csv(folder / "twin.csv")
    typed = frame.with_columns(
        pl.col("birth_date").str.to_datetime("%Y-%m-%d"),
        pl.col("phone").cast(pl.Float64),
        pl.col("unique_id").cast(pl.Float64),
    )
    typed.write_parquet(folder / "kids.csv")  # found by its content
    for name in ("kids", "twin"):
        assert _said(_encode(folder, name))["encoded"] == 3
        assert _ids(folder, name) == ["7", "8", "9"]
    assert json.loads(_link(folder).stdout)["links"] == 3
