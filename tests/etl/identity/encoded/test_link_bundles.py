"""``identity link-bundle`` and ``link-clks``: nothing is destroyed before all is known, and what was is said truly."""

from __future__ import annotations

import base64
import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner, Result

from wellbridge.etl.identity.encoded import keys
from wellbridge.pipelines.cli.group import cli
from wellbridge.pipelines.synth.pairs import make_pairs

CHILDREN = 400
FILES = ("hub.key", "left.bundle", "right.bundle")
NAMES = {"last_name": "surname", "birth_date": "dob", "zip_code": "zip"}


def _run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["identity", *map(str, arguments)])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("linkage")
    _run("new-key", folder / "hub.key")
    _run("new-key", folder / "pair.key", "--for", folder / "hub.pub")
    columns = [part for name, theirs in NAMES.items() for part in ("--column", f"{name}={theirs}")]
    for name, frame in zip(("left", "right"), make_pairs(children=CHILDREN, seed=11), strict=True):
        frame.write_csv(folder / f"{name}.csv")
        said = (
            "--key",
            folder / "pair.key",
            "--agreement",
            "A-1",
            "--epoch",
            "1",
            *columns,
            "--dummies",
            "0.1",
        )
        done = _run("encode", folder / f"{name}.csv", *said, "--out", folder / f"{name}.bundle")
        assert done.exit_code == 0, done.output
    return folder


@pytest.fixture
def linkage(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "linkage"))


def _link(folder: Path, *more: str | Path, left: str = "left", right: str = "right") -> Result:
    bundles = (folder / f"{left}.bundle", folder / f"{right}.bundle", "--key", folder / "hub.key")
    said = ("--agreement", "A-1", "--epoch", "1", "--out", folder / "links.csv", "--json")
    return _run("link-bundle", *bundles, *said, *more)


def _rows(folder: Path) -> tuple[str | Path, ...]:
    left, right = (folder / f"{name}.bundle.rows.csv" for name in ("left", "right"))
    return ("--left-rows", left, "--right-rows", right)


def _refused(folder: Path, done: Result, code: str) -> None:
    assert json.loads(done.stdout)["errors"][0]["code"] == code, done.output
    assert [name for name in FILES if (folder / name).stat().st_size == 0] == []
    assert (folder / "hub.key").read_bytes().startswith(b"{")
    assert not (folder / "links.csv").exists()


def _shortened(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.head(-1)


def _doubled(rows: pl.DataFrame) -> pl.DataFrame:
    return pl.concat([rows.head(1), rows.head(-1)])


def _longer(rows: pl.DataFrame) -> pl.DataFrame:
    return pl.concat([rows, rows.tail(1).with_columns(row=pl.lit(str(rows.height + 1)))])


def _strange(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(row=pl.when(pl.col("row") == "3").then(pl.lit("three")).otherwise("row"))


def _without(name: str) -> Callable[[pl.DataFrame], pl.DataFrame]:
    return lambda rows: rows.drop(name)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize(
    "spoil",
    [_shortened, _doubled, _longer, _strange, *map(_without, ("row", "record_id", "bundle"))],
)
def test_a_file_of_rows_that_is_not_whole_is_refused_before_anything_is_destroyed(
    linkage: Path, side: str, spoil: Callable[[pl.DataFrame], pl.DataFrame]
) -> None:
    path = linkage / f"{side}.bundle.rows.csv"
    spoil(pl.read_csv(path, infer_schema=False)).write_csv(path)
    _refused(linkage, _link(linkage, *_rows(linkage)), "WB-E-090")
    assert _link(linkage).exit_code == 0  # without it the links can still be had


def test_files_of_rows_that_were_exchanged_are_refused(linkage: Path) -> None:
    left, right = (linkage / f"{name}.bundle.rows.csv" for name in ("left", "right"))
    _refused(linkage, _link(linkage, "--left-rows", right, "--right-rows", left), "WB-E-090")


def test_every_pair_is_written_and_those_with_made_up_records_are_counted(linkage: Path) -> None:
    (linkage / "copy").mkdir()
    for name in FILES:
        shutil.copy(linkage / name, linkage / "copy" / name)
    said = json.loads(_link(linkage, *_rows(linkage)).stdout)
    told = pl.read_csv(linkage / "links.csv")
    assert said["links"] == told.filter(outcome="link").height > 0
    assert said["review"] == told.filter(outcome="review").height
    assert set(told["agreement"]) == {"A-1"}
    assert set(told["model_sha256"]) == {said["model_sha256"]}
    assert told["left_id"].null_count() == told["right_id"].null_count() == 0
    pairs = said["pairs"]["link"] + said["pairs"].get("review", 0)
    assert told.height + said["with_dummies"] == pairs
    bare = json.loads(_link(linkage / "copy").stdout)
    rows = pl.read_csv(linkage / "copy" / "links.csv")
    assert (bare["with_dummies"], rows.height) == (0, pairs)
    assert rows.columns == [name for name in told.columns if not name.endswith("_id")]


@pytest.mark.parametrize("copied", [False, True])
def test_one_bundle_on_both_sides_is_refused(linkage: Path, copied: bool) -> None:
    if copied:
        shutil.copy(linkage / "left.bundle", linkage / "copy.bundle")
    _refused(linkage, _link(linkage, right="copy" if copied else "left"), "WB-E-011")


@pytest.mark.parametrize("failing", FILES)
def test_what_could_not_be_destroyed_is_named_and_the_links_stand(
    linkage: Path, failing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = keys.destroy

    def destroy(path: Path) -> None:
        if path.name == failing:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        whole(path)

    monkeypatch.setattr(keys, "destroy", destroy)
    done = _link(linkage)
    said = json.loads(done.stdout)
    assert (done.exit_code, said["errors"][0]["code"]) == (15, "WB-E-091")
    assert said["not_destroyed"] == [failing] == [name for name in FILES if (linkage / name).exists()]
    assert said["destroyed"] == [name for name in FILES if name != failing]
    assert "stores are as they were" not in done.output
    assert pl.read_csv(linkage / "links.csv").height > 0


def _clks(folder: Path) -> tuple[Path, Path]:
    files = (folder / "school.json", folder / "clinic.json")
    for path in files:
        path.write_text(json.dumps({"clks": [base64.b64encode(bytes([1, 2, 3, 255] * 2)).decode()]}), "utf-8")
    return files


def test_clks_are_destroyed_once_they_are_linked_unless_they_are_to_be_kept(tmp_path: Path) -> None:
    files = _clks(tmp_path)
    done = _run("link-clks", *files, "--out", tmp_path / "l.csv", "--keep")
    assert done.exit_code == 0
    assert "kept" in done.output
    assert all(path.exists() for path in files)
    said: dict[str, Any] = json.loads(_run("link-clks", *files, "--out", tmp_path / "m.csv", "--json").stdout)
    assert said["destroyed"] == ["school.json", "clinic.json"]
    assert not any(path.exists() for path in files)
    assert pl.read_csv(tmp_path / "m.csv").height == 1


def test_clks_stay_where_the_result_could_not_be_written(tmp_path: Path) -> None:
    files = _clks(tmp_path)
    done = _run("link-clks", *files, "--out", tmp_path / "absent" / "l.csv")
    assert "WB-E-050" in done.output
    assert all(path.exists() for path in files)
