"""Encoding at the partner's and linking at the hub, by the commands: what comes out, is refused, never leaks."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import date
from hashlib import blake2b
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner, Result

from etl.identity.encoded.clkhash_records import COUNT, DIGEST_BYTES, SCHEMAS, rows, secret
from source_tree import REPO, modules, run_without
from wellbridge.etl.identity.encoded import bundle as bundles
from wellbridge.etl.identity.encoded.keys import read_hub_key, read_pair_key
from wellbridge.pipelines.cli.group import cli
from wellbridge.pipelines.synth.pairs import make_pairs

CHILDREN = 8_000
SEED = date.today().toordinal()
COLUMNS = (
    "--column",
    "record_id=unique_id",
    "--column",
    "last_name=surname",
    "--column",
    "birth_date=dob",
    "--column",
    "zip_code=zip",
)
FOR = ("--agreement", "SYN-1", "--epoch", "3")
CANARIES = (
    "Quokkaname",
    "Wombatfamily",
    "2013-03-09",
    "5559998877",
    "77 Numbatstreet",
    "quokkaname",
    "wombatfamily",
)
NOT_NEEDED = (
    "duckdb",
    "splink",
    "sqlalchemy",
    "pandera",
    "great_expectations",
    "scipy",
    "pandas",
    "pyarrow",
    "jinja2",
    "orjson",
    "highspy",
    "pyreadstat",
)


def _run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["identity", *map(str, arguments)])


def _said(done: Result) -> dict[str, Any]:
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _refused(done: Result, code: str) -> None:
    assert code in done.output, done.output
    assert done.exit_code not in (0, 1)


def _encode(folder: Path, name: str, *more: str, key: str = "pair.key", told: Sequence[str] = FOR) -> Result:
    return _run(
        "encode",
        folder / f"{name}.csv",
        "--key",
        folder / key,
        *told,
        "--out",
        folder / f"{name}.bundle",
        *more,
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make keys, two files of the same children, and their bundles."""
    print(f"seed {SEED}")
    folder = tmp_path_factory.mktemp("linkage")
    assert _run("new-key", folder / "hub.key").exit_code == 0
    assert _run("new-key", folder / "pair.key", "--for", folder / "hub.pub").exit_code == 0
    left, right = make_pairs(children=CHILDREN, seed=SEED)
    canary = pl.DataFrame(
        {
            "unique_id": "c1",
            "first_name": CANARIES[0],
            "surname": CANARIES[1],
            "dob": CANARIES[2],
            "phone": CANARIES[3],
            "address": CANARIES[4],
            "zip": "78401",
            "sex": "F",
        }
    )
    for name, frame in (("left", left), ("right", right)):
        pl.concat([frame, canary], how="diagonal").write_csv(folder / f"{name}.csv")
    left.join(right, on="pid").select(left="unique_id", right="unique_id_right").write_csv(
        folder / "truth.csv"
    )
    for name in ("left", "right"):
        said = _said(_encode(folder, name, *COLUMNS, "--json"))
        assert said["read"] == said["encoded"] + sum(said["left_out"].values()) == CHILDREN + 1
        assert said["encoded"] == said["manifest"]["records"] > 0.98 * CHILDREN
    return folder


@pytest.fixture
def linkage(made: Path, tmp_path: Path) -> Path:
    """Return a copy of it all, to be used up."""
    return Path(shutil.copytree(made, tmp_path / "linkage"))


def _link(folder: Path, *more: str | Path, told: Sequence[str] = FOR) -> Result:
    return _run(
        "link-bundle",
        folder / "left.bundle",
        folder / "right.bundle",
        "--key",
        folder / "hub.key",
        *told,
        "--out",
        folder / "links.csv",
        *more,
    )


def _rows(folder: Path) -> tuple[str | Path, ...]:
    rows = [folder / f"{name}.bundle.rows.csv" for name in ("left", "right")]
    return ("--left-rows", rows[0], "--right-rows", rows[1], "--truth", folder / "truth.csv", "--json")


def test_bundles_are_linked_with_few_errors_and_the_limit_is_found_without_the_truth(linkage: Path) -> None:
    said = _said(_link(linkage, *_rows(linkage)))
    found = said["evaluation"]
    assert found["recall"] >= 0.93, (SEED, said)
    assert found["precision"] >= 0.9985, (SEED, said)
    assert found["wrong"] <= said["expected_false"] + 3, (SEED, said)
    told = pl.read_csv(linkage / "links.csv")
    links = told.filter(outcome="link")
    assert links.height == found["links"] == said["links"]
    assert told.filter(outcome="review").height == said["review"] == told.height - links.height > 0
    assert links["left_row"].n_unique() == links["right_row"].n_unique() == links.height


def test_p17_what_was_linked_is_destroyed_with_the_key_that_opens_it(linkage: Path) -> None:
    kept = linkage / "copy.bundle"
    shutil.copy(linkage / "right.bundle", kept)
    assert _link(linkage).exit_code == 0
    assert not [name for name in ("hub.key", "left.bundle", "right.bundle") if (linkage / name).exists()]
    assert _run("new-key", linkage / "hub.key").exit_code == 0 or (linkage / "hub.pub").unlink() is None
    _run("new-key", linkage / "other.key")
    manifest = bundles.read_manifest(kept)
    with pytest.raises(Exception, match="WB-E-083"):
        bundles.open_bundle(kept, manifest, read_hub_key(linkage / "other.key"))


def test_there_is_no_way_to_keep_bundles() -> None:
    from wellbridge.pipelines.cli.identity_link import link_bundle_command

    options = {text for option in link_bundle_command.params for text in option.opts}
    assert not [text for text in options if "keep" in text]


@pytest.mark.parametrize(
    ("told", "code"),
    [
        (("--agreement", "SYN-2", "--epoch", "3"), "WB-E-085"),
        (("--agreement", "SYN-1", "--epoch", "4"), "WB-E-086"),
    ],
)
def test_a_bundle_of_another_agreement_or_epoch_is_refused_and_stays(
    linkage: Path, told: Sequence[str], code: str
) -> None:
    _refused(_link(linkage, told=told), code)
    assert (linkage / "hub.key").exists()
    assert (linkage / "right.bundle").exists()
    assert not (linkage / "links.csv").exists()


def test_a_wrong_key_is_refused_instead_of_matching_nobody(linkage: Path) -> None:
    assert _run("new-key", linkage / "wrong.key", "--for", linkage / "hub.pub").exit_code == 0
    for name in ("right.bundle", "right.bundle.rows.csv"):
        (linkage / name).unlink()
    assert _encode(linkage, "right", *COLUMNS, key="wrong.key").exit_code == 0
    _refused(_link(linkage), "WB-E-084")


def _with_manifest(path: Path, **changes: Any) -> None:
    line, _, content = path.read_bytes().partition(b"\n")
    said = json.loads(line) | changes
    path.write_bytes(json.dumps(said).encode() + b"\n" + content)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"schema": "0" * 64}, "WB-E-087"),
        ({"normaliser": "0"}, "WB-E-088"),
        ({"key_check": "0" * 32}, "WB-E-084"),
        ({"format": "wellbridge-bundle-0"}, "WB-E-083"),
        ({"records": 5}, "WB-E-083"),
        ({"records": -1}, "WB-E-083"),
        ({"records": True}, "WB-E-083"),
        ({"sender": "0" * 64}, "WB-E-083"),
        ({"sender": "zz"}, "WB-E-083"),
        ({"sealed_bytes": 1}, "WB-E-083"),
        ({"sealed_sha256": "0" * 64}, "WB-E-083"),
        ({"more": "x"}, "WB-E-083"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(linkage: Path, changes: dict[str, Any], code: str) -> None:
    _with_manifest(linkage / "right.bundle", **changes)
    _refused(_link(linkage), code)


def test_a_bundle_relabelled_on_both_sides_does_not_open(linkage: Path) -> None:
    """Agreement and epoch are part of the seal: changing the line of both bundles alike helps nobody."""
    for name in ("left", "right"):
        _with_manifest(linkage / f"{name}.bundle", agreement="SYN-2")
    _refused(_link(linkage, told=("--agreement", "SYN-2", "--epoch", "3")), "WB-E-083")


def test_a_bundle_cut_or_changed_anywhere_is_refused(linkage: Path) -> None:
    path = linkage / "right.bundle"
    whole = path.read_bytes()
    line = whole.index(b"\n") + 1
    for size in (0, 1, line - 1, line, line + 7, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        _refused(_link(linkage), "WB-E-083")
    for at in (line, line + 9, line + 30, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        _refused(_link(linkage), "WB-E-083")
    path.write_bytes(whole + b"x")
    _refused(_link(linkage), "WB-E-083")
    for text in (b"", b"{}", b"[1]\n", b"\xff\n", b"{" * 20_000, b"[" * 12_000 + b"\n"):
        path.write_bytes(text)
        _refused(_link(linkage), "WB-E-083")


def test_nobody_is_named_in_what_leaves_or_is_said(linkage: Path) -> None:
    said = _encode(linkage, "left", *COLUMNS).output  # refused: it is there already
    (linkage / "right.bundle").unlink()
    (linkage / "right.bundle.rows.csv").unlink()
    said += _encode(linkage, "right", *COLUMNS).output
    said += _encode(linkage, "right").output
    said += _link(linkage, told=("--agreement", "Quokka agreement", "--epoch", "3")).output.replace(
        "Quokka agreement", ""
    )
    manifest = bundles.read_manifest(linkage / "left.bundle")
    encoded = bundles.open_bundle(linkage / "left.bundle", manifest, read_hub_key(linkage / "hub.key"))
    bundle = (linkage / "left.bundle").read_bytes()
    said += _link(linkage, "--json").stdout + (linkage / "links.csv").read_text("utf-8")
    tokens = encoded.tokens.ravel().tolist()
    assert len(set(tokens)) > CHILDREN
    numbers = set(re.findall(r"\d{12,}", said))
    assert not numbers & set(map(str, tokens))
    assert not [token for token in tokens[:2000] if token and f"{token:016x}" in said]
    for canary in CANARIES:
        assert canary not in said
        assert canary.encode() not in bundle
        assert canary not in json.dumps(asdict(manifest))


def test_rows_are_in_an_order_that_says_nothing(made: Path) -> None:
    rows = pl.read_csv(made / "left.bundle.rows.csv")
    assert rows["record_id"].to_list() != sorted(rows["record_id"].to_list())
    given = pl.read_csv(made / "left.csv", infer_schema=False)["unique_id"]
    places = rows.join(
        given.to_frame("record_id").with_row_index("place"), on="record_id", maintain_order="left"
    )["place"]
    assert (
        abs(places.cast(pl.Float64).to_frame().with_row_index("row").select(pl.corr("row", "place")).item())
        < 0.1
    )
    assert (made / "left.bundle").stat().st_mode & 0o077 == 0
    assert (made / "left.bundle.rows.csv").stat().st_mode & 0o077 == 0


def test_dummies_look_like_children_and_are_no_links(linkage: Path) -> None:
    for name in ("right.bundle", "right.bundle.rows.csv"):
        (linkage / name).unlink()
    said = _said(_encode(linkage, "right", *COLUMNS, "--dummies", "0.3", "--json"))
    assert said["dummies"] == round(said["encoded"] * 0.3 / 0.7)
    assert said["manifest"]["records"] == said["encoded"] + said["dummies"]
    found = _said(_link(linkage, *_rows(linkage)))["evaluation"]
    assert found["recall"] >= 0.88, SEED
    assert found["precision"] >= 0.998, SEED


@pytest.mark.parametrize(
    ("columns", "code"),
    [
        (("surname", "dob", "zip"), "WB-E-082"),
        (("first_name", "surname", "dob"), "WB-E-082"),
        (("first_name", "surname", "phone"), "WB-E-082"),
    ],
)
def test_a_file_without_what_every_link_needs_is_refused(
    linkage: Path, columns: tuple[str, ...], code: str
) -> None:
    pl.read_csv(linkage / "left.csv", infer_schema=False).select(columns).write_csv(linkage / "part.csv")
    named = [
        text
        for name, theirs in (("last_name", "surname"), ("birth_date", "dob"), ("zip_code", "zip"))
        if theirs in columns
        for text in ("--column", f"{name}={theirs}")
    ]
    _refused(_encode(linkage, "part", *named), code)
    assert not (linkage / "part.bundle").exists()


def test_bad_options_and_keys_are_told(linkage: Path) -> None:
    _refused(
        _encode(linkage, "left", "--column", "nonsense=surname", key="pair.key"), "WB-E-011"
    )  # it exists
    pl.DataFrame({"first_name": ["a"]}).write_csv(linkage / "one.csv")
    _refused(_encode(linkage, "one", "--column", "nonsense=x"), "WB-E-015")
    _refused(_encode(linkage, "one", "--column", "last_name=absent"), "WB-E-082")
    _refused(_encode(linkage, "one", key="hub.key"), "WB-E-089")
    _refused(_encode(linkage, "one", key="absent.key"), "WB-E-089")
    _refused(_encode(linkage, "one", told=("--agreement", "a|b", "--epoch", "1")), "WB-E-011")
    _refused(_run("new-key", linkage / "hub.key"), "WB-E-089")
    _refused(_run("new-key", linkage / "x.key", "--for", linkage / "pair.key"), "WB-E-089")
    (linkage / "pair.key").chmod(0o644)
    _refused(_encode(linkage, "one"), "WB-E-089")


def test_keys_differ_by_agreement_epoch_and_field(made: Path) -> None:
    keys = [read_pair_key(made / "pair.key", *one) for one in (("A", 1), ("A", 2), ("B", 1))]
    drawn = {key.of(field) for key in keys for field in ("first", "surname", "token/phone")} | {
        key.check for key in keys
    }
    assert len(drawn) == 12
    assert "secret" not in repr(keys[0])


def test_the_partner_s_command_needs_four_libraries(linkage: Path) -> None:
    for name in ("left.bundle", "left.bundle.rows.csv"):
        (linkage / name).unlink()
    arguments = [
        "wellbridge",
        "identity",
        "encode",
        str(linkage / "left.csv"),
        "--key",
        str(linkage / "pair.key"),
        *FOR,
        "--out",
        str(linkage / "left.bundle"),
        *COLUMNS,
    ]
    done = run_without(arguments, NOT_NEEDED)
    assert done.returncode == 0, done.stderr[-600:]
    assert (linkage / "left.bundle").exists()


@pytest.mark.slow
def test_the_partner_s_command_runs_where_only_its_lock_file_is_installed(
    linkage: Path, tmp_path: Path
) -> None:
    """Needs the package index: the environment is made as docs/identity-encoded.md says."""
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", bare], check=True)
    pip = [bare / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    subprocess.run([*pip, "--require-hashes", "-r", REPO / "requirements-encode.lock"], check=True)
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path / "wheel"],
        cwd=REPO,
        check=True,
        capture_output=True,
    )
    subprocess.run([*pip, "--no-deps", next((tmp_path / "wheel").iterdir())], check=True)
    (linkage / "left.bundle").unlink()
    (linkage / "left.bundle.rows.csv").unlink()
    done = subprocess.run(
        [
            bare / "bin" / "wellbridge",
            "identity",
            "encode",
            linkage / "left.csv",
            "--key",
            linkage / "pair.key",
            *FOR,
            "--out",
            linkage / "left.bundle",
            *COLUMNS,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert _link(linkage).exit_code == 0


def _clks(folder: Path, name: str, count: int = 40, **changes: Any) -> Result:
    said, kinds = SCHEMAS[name]
    made = pl.DataFrame(
        rows(name, kinds, count), schema=[one["identifier"] for one in said["features"]], orient="row"
    )
    made.with_columns(pl.lit(value).alias(column) for column, value in changes.items()).write_csv(
        folder / "people.csv"
    )
    (folder / "schema.json").write_text(json.dumps(said), "utf-8")
    (folder / "secret").write_text(secret(name))
    (folder / "school.json").unlink(missing_ok=True)
    return _run(
        "encode-clks",
        folder / "people.csv",
        "--schema",
        folder / "schema.json",
        "--secret",
        folder / "secret",
        "--out",
        folder / "school.json",
        "--json",
    )


def test_clks_are_written_as_clkhash_makes_them_and_linked(tmp_path: Path) -> None:
    assert _said(_clks(tmp_path, "derived"))["records"] == 40
    written = json.loads((tmp_path / "school.json").read_text("utf-8"))["clks"]
    place = list(SCHEMAS).index("derived") * COUNT * DIGEST_BYTES
    stored = (Path(__file__).parent / "clkhash_vectors.bin").read_bytes()[place : place + 40 * DIGEST_BYTES]
    made = b"".join(blake2b(base64.b64decode(one), digest_size=DIGEST_BYTES).digest() for one in written)
    assert made == stored
    (tmp_path / "clinic.json").write_text(json.dumps({"clks": written[::-1]}), "utf-8")
    done = _run(
        "link-clks",
        tmp_path / "school.json",
        tmp_path / "clinic.json",
        "--out",
        tmp_path / "links.csv",
        "--json",
    )
    assert _said(done)["schemas"][0]["links"] == 40
    links = pl.read_csv(tmp_path / "links.csv")
    assert set(links.filter(pl.col("left_row") + pl.col("right_row") != 41)["dice"].unique()) <= {
        1.0
    }  # equal people


def test_what_clks_refuse_is_told_without_a_value(tmp_path: Path) -> None:
    refused = _clks(tmp_path, "derived", first="Quokkaname")  # the schema asks for capitals
    _refused(refused, "WB-E-082")
    assert "Quokka" not in refused.output
    _refused(_clks(tmp_path, "derived", more="x"), "WB-E-082")
    said = json.loads((tmp_path / "schema.json").read_text("utf-8"))
    said["features"][0]["hashing"]["hash"] = {"type": "doubleHash"}
    (tmp_path / "schema.json").write_text(json.dumps(said), "utf-8")
    again = ("encode-clks", tmp_path / "people.csv", "--schema", tmp_path / "schema.json", "--secret")
    _refused(_run(*again, tmp_path / "secret", "--out", tmp_path / "x.json"), "WB-E-080")
    assert _clks(tmp_path, "derived").exit_code == 0
    (tmp_path / "secret").write_text("horse")
    _refused(_run(*again, tmp_path / "secret", "--out", tmp_path / "x.json"), "WB-E-089")
    for name, size in (("one", 8), ("other", 16)):
        (tmp_path / f"{name}.json").write_text(
            json.dumps({"clks": [base64.b64encode(bytes(size)).decode()]}), "utf-8"
        )
    both = ("link-clks", tmp_path / "one.json", tmp_path / "other.json")
    _refused(_run(*both, "--out", tmp_path / "l.csv"), "WB-E-087")
    _refused(_run(*both, "--out", tmp_path / "absent" / "l.csv"), "WB-E-087")
    _refused(
        _run("link-clks", tmp_path / "one.json", tmp_path / "absent", "--out", tmp_path / "l.csv"), "WB-E-083"
    )
    _refused(_run("link-clks", *[tmp_path / "one.json"] * 2, "--out", tmp_path / "l.csv"), "WB-E-011")
    shutil.copy(tmp_path / "one.json", tmp_path / "same.json")
    both = ("link-clks", tmp_path / "one.json", tmp_path / "same.json")
    _refused(_run(*both, "--out", tmp_path / "absent" / "l.csv"), "WB-E-050")
    assert (tmp_path / "one.json").exists()


def test_p17_nothing_but_these_commands_can_see_a_token() -> None:
    """Warehouse, extracts, releases and pages do not even import what holds one, so none can become a research id."""
    package = "wellbridge.etl.identity.encoded"
    users = {
        module.name
        for module in modules()
        if not module.name.startswith(package) and any(name.startswith(package) for name in module.imports())
    }
    assert users == {f"wellbridge.pipelines.cli.identity_{name}" for name in ("encoded", "link", "clks")}


def test_a_reader_can_no_longer_change_what_a_bundle_says(made: Path) -> None:
    manifest = bundles.read_manifest(made / "left.bundle")
    assert replace(manifest, agreement="other").bound() != manifest.bound()
    assert replace(manifest, sealed_bytes=1).bound() == manifest.bound()
