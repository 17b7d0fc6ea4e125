"""A partner that sends codes alone: ``encode``, ``link-bundle``, ``import-links``; its facts find their children."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner, Result

from wellbridge.etl.store import open_store
from wellbridge.etl.vault import VAULT
from wellbridge.pipelines.cli.group import cli
from wellbridge.pipelines.nightly.run import run_night
from wellbridge.pipelines.site import Site, init_site, load_site
from wellbridge.pipelines.synth.generate import generate
from wellbridge.schemas.warehouse import METADATA

FEED, SPACE, AGREEMENT, REASON = "ymca", "ymca/client", "ymca-2026", "linked in the Zanzibar room"
HEADER = "service_id,student_id,service_date,minutes,category,modality,provider"


@pytest.fixture(scope="module")
def linked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a site with a roster and a feed of codes, link the roster with the partner's file, keep all of it."""
    root = tmp_path_factory.mktemp("codes")
    generate(root / "synthetic", students=120, nights=1, seed=5)
    site = init_site(root / "site")
    for feed in ("oneroster", "edfi"):
        shutil.copytree(root / "synthetic" / "night-1" / feed, site.feeds[feed].inbox, dirs_exist_ok=True)
    (site.root / "feeds" / f"{FEED}.toml").write_text('kind = "case_management"\nown_ids = true\n')
    (site.root / "inbox" / FEED).mkdir()
    text = next((site.root / "policy" / "agreements").iterdir()).read_text()
    (site.root / "policy" / "agreements" / f"{AGREEMENT}.toml").write_text(
        text.replace("sea-evaluation", AGREEMENT)
    )
    run_night(load_site(site.root))
    _link(root)
    return root


def _link(root: Path) -> None:
    people = pl.read_csv(root / "synthetic" / "truth" / "people.csv", infer_schema=False).filter(
        pl.col("student_number").is_not_null()
    )
    common = ("first_name", "last_name", "birth_date", "zip_code", "phone", pl.col("street").alias("address"))
    people.select(pl.col("student_number").alias("id"), *common).write_csv(root / "roster.csv")
    theirs = people.filter(pl.int_range(pl.len()) % 2 == 0).with_row_index("n")
    own = pl.format("Y-{}", pl.col("n") + 1000).alias("id")
    theirs.select(own, *common).write_csv(root / "children.csv")
    theirs.select(own, "student_number").write_csv(root / "truth.csv")
    _run("new-key", root / "hub.key")
    _run("new-key", root / "pair.key", "--for", root / "hub.pub")
    for name in ("roster", "children"):
        said = ("--key", root / "pair.key", "--agreement", AGREEMENT, "--epoch", "1")
        _run("encode", root / f"{name}.csv", *said, "--out", root / f"{name}.bundle")
    done = _run(
        "link-bundle", root / "roster.bundle", root / "children.bundle", "--key", root / "hub.key",
        "--agreement", AGREEMENT, "--epoch", "1", "--out", root / "links.csv", "--project", root / "site",
        "--left-rows", root / "roster.bundle.rows.csv", "--right-rows", root / "children.bundle.rows.csv",
    )  # fmt: skip
    assert done.exit_code == 0, done.output


@pytest.fixture
def site(linked: Path, tmp_path: Path) -> Site:
    shutil.copytree(linked / "site", tmp_path / "site")
    shutil.copy(linked / "links.csv", tmp_path / "links.csv")
    return load_site(tmp_path / "site")


@pytest.fixture
def truth(linked: Path) -> dict[str, str]:
    """Return the partner's id → the student number of the same child."""
    return dict(pl.read_csv(linked / "truth.csv", infer_schema=False).iter_rows())


def _run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["identity", *map(str, arguments)])


def _say(site: Site, *arguments: str | Path, exit_code: int = 0) -> dict[str, Any]:
    done = _run(*arguments, "--project", site.root, "--json")
    assert done.exit_code == exit_code, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _import(
    site: Site, *more: str | Path, links: pl.DataFrame | None = None, exit_code: int = 0
) -> dict[str, Any]:
    """Import links; all rows of the file are accounted for."""
    file = site.root.parent / "links.csv"
    if links is not None:
        links.write_csv(file)
    said = _say(
        site,
        "import-links",
        file,
        "--feed",
        FEED,
        "--agreement",
        AGREEMENT,
        "--reason",
        REASON,
        *more,
        exit_code=exit_code,
    )
    if not exit_code:
        assert said["read"] == sum(said["rows"].values()) == _links(site).height
    return said


def _links(site: Site) -> pl.DataFrame:
    return pl.read_csv(site.root.parent / "links.csv", infer_schema=False)


def _made(site: Site, *pairs: tuple[str | None, str | None, str]) -> pl.DataFrame:
    """Return a file of links of these ids, the rest as in a true one."""
    rest = _links(site).head(1).drop("left_id", "right_id", "outcome")
    ids = pl.DataFrame(pairs, schema=["left_id", "right_id", "outcome"], orient="row")
    return ids.join(rest, how="cross")


def _vault(site: Site, sql: str, values: list[Any] | None = None) -> list[dict[str, Any]]:
    with open_store(site.vault, VAULT, read_only=True) as vault:
        return vault.frame(sql, values or []).to_dicts()


def _persons(site: Site, space: str) -> dict[str, str]:
    sql = "SELECT k.source_id, s.person_key FROM source_key k JOIN subject s ON s.subject_key = k.key "
    return {
        row["source_id"]: row["person_key"] for row in _vault(site, sql + "WHERE k.namespace = ?", [space])
    }


def _services(site: Site, day: str, ids: list[str]) -> dict[str, Any]:
    """Deliver one service of each of the partner's ids, and run the night."""
    rows = [f"S-{day}-{one},{one},{day},30,mentoring,in_person,Y" for one in ids]
    (site.root / "inbox" / FEED / f"services_{day}.csv").write_text("\n".join([HEADER, *rows, ""]))
    return _night(site)


def _night(site: Site) -> dict[str, Any]:
    done = CliRunner().invoke(cli, ["run", "--project", str(site.root), "--json"])
    assert done.exit_code in {0, 13}, done.output
    report: dict[str, Any] = json.loads(done.stdout)
    return next(feed for feed in report["feeds"] if feed["feed"] == FEED) if report["feeds"] else report


def _facts(site: Site) -> list[tuple[str, str]]:
    """Return ``person_key, subject_key`` of every fact of the partner's."""
    keys = {
        row["key"]
        for row in _vault(site, "SELECT subject_key AS key FROM subject WHERE namespace = ?", [SPACE])
    }
    with open_store(site.warehouse, METADATA, read_only=True) as warehouse:
        found = warehouse.frame("SELECT person_key, subject_key FROM service_encounter").rows()
    return sorted(row for row in found if row[1] in keys)


def test_facts_that_carry_the_partners_ids_alone_reach_the_right_children(
    site: Site, truth: dict[str, str]
) -> None:
    links = _links(site).filter(outcome="link")
    assert links.height > 50
    assert [truth[right] for right in links["right_id"]] == links["left_id"].to_list()
    early = _services(site, "2026-09-29", links["right_id"].to_list())
    assert (early["held"], early["loaded"]) == (links.height, 0)  # whose they are is not known yet
    said = _import(site)
    assert said["rows"]["imported"] == links.height
    children = _persons(site, "student")
    right = sorted(children[truth[one]] for one in links["right_id"])
    assert [person for person, _ in _facts(site)] == right
    strangers = ["Y-9998", "Y-9999"]
    late = _services(site, "2026-09-30", [*links["right_id"], *strangers])
    assert (late["held"], late["loaded"]) == (len(strangers), links.height)
    assert sorted(person for person, _ in _facts(site)) == sorted(right * 2)


def test_a_second_import_changes_nothing_at_all(site: Site) -> None:
    count = _import(site)["rows"]["imported"]
    before = [site.vault.read_bytes(), site.warehouse.read_bytes()]
    assert _import(site)["rows"] == _import(site, "--dry-run")["rows"] == {
        **dict.fromkeys(_import(site)["rows"], 0), "known": count,
        "review": _links(site).filter(outcome="review").height,
    }  # fmt: skip
    assert [site.vault.read_bytes(), site.warehouse.read_bytes()] == before


def test_a_dry_run_says_the_same_as_the_import_and_changes_nothing(site: Site) -> None:
    before = [site.vault.read_bytes(), site.warehouse.read_bytes()]
    said = _import(site, "--dry-run")
    assert [site.vault.read_bytes(), site.warehouse.read_bytes()] == before
    assert said["rows"] == _import(site)["rows"]
    assert said["rows"]["imported"] > 0


def test_an_import_is_explained_undone_and_seen_as_of_then_and_stays_undone(
    site: Site, truth: dict[str, str]
) -> None:
    link = _links(site).filter(outcome="link").row(0, named=True)
    _import(site)
    _services(site, "2026-09-30", [link["right_id"]])
    pair = (f"student:{link['left_id']}", f"{SPACE}:{link['right_id']}")
    explained = _say(site, "explain", *pair)
    (decision,) = [one for one in explained["decisions"] if one["kind"] == "import"]
    assert explained["are_one"]
    assert (decision["tier"], decision["outcome"], decision["reason"]) == (
        "encoded",
        "link",
        REASON,
    )
    assert decision["weight"] == float(link["weight"])
    (stored,) = _vault(site, "SELECT * FROM decision WHERE decision_id = ?", [decision["decision_id"]])
    assert (stored["model_hash"], stored["margin"] is None) == (link["model_sha256"], link["margin"] is None)
    (child,) = {person for person, _ in _facts(site)}
    assert child == _persons(site, "student")[link["left_id"]]
    _say(site, "undo", decision["decision_id"], "--reason", "another child")
    assert not _say(site, "explain", *pair)["are_one"]
    ((person, _),) = _facts(site)
    assert person not in set(_persons(site, "student").values())
    assert _import(site)["rows"]["taken_back"] == 1
    assert not _say(site, "explain", *pair)["are_one"]
    again = _say(site, "explain", *pair)["decisions"][-1]
    _say(site, "undo", again["decision_id"], "--reason", "it was right")
    assert _say(site, "explain", *pair)["are_one"]
    assert [person for person, _ in _facts(site)] == [child]


@pytest.mark.parametrize("scope", ["all", "partners"])
def test_an_opt_out_of_the_child_takes_its_rows_and_keeps_the_next_ones_out(site: Site, scope: str) -> None:
    links = _links(site).filter(outcome="link")
    mine, other = links.row(0, named=True), links.row(1, named=True)
    _import(site)
    _services(site, "2026-09-30", [mine["right_id"], other["right_id"]])
    lines = f"student_id,scope,effective_date,withdrawn_date\n{mine['left_id']},{scope},2026-10-01,\n"
    (site.feeds["sis"].inbox / "optout_2026-10-01.csv").write_text(lines)
    _night(site)
    assert [person for person, _ in _facts(site)] == [_persons(site, "student")[other["left_id"]]]
    assert mine["right_id"] not in _persons(site, SPACE)  # buried: its id is known by a tombstone alone
    late = _services(site, "2026-10-02", [mine["right_id"], other["right_id"]])
    assert (late["removed"], late["loaded"], late["held"]) == (1, 1, 0)
    rows = _import(site)["rows"]
    assert (rows["known"], rows["imported"]) == (links.height, 0)
    lines = lines.replace(",\n", ",2026-10-03\n")
    (site.feeds["sis"].inbox / "optout_2026-10-03.csv").write_text(lines)
    _night(site)
    assert len(_facts(site)) == 4


def test_every_row_that_is_left_out_is_counted_by_why(site: Site) -> None:
    links = _links(site).filter(outcome="link")
    (a, x), (b, y), (c, _), (d, _) = links.select("left_id", "right_id").rows()[:4]
    students = sorted(set(_persons(site, "student")) - {a, b, c, d})
    e, f, g, h = students[:4]
    made = _made(
        site, (a, x, "link"), (a, x, "link"), (b, y, "review"), ("no-such-child", "n1", "link"), (None, "n2", "link"),
        (c, "n3", "link"), (c, "n4", "link"), (d, "n5", "link"), (e, "n5", "link"),
    )  # fmt: skip
    said = _import(site, links=made)["rows"]
    assert {fate: count for fate, count in said.items() if count} == {
        "imported": 1, "known": 1, "review": 1, "unknown": 1, "no_id": 1, "two_for_one": 4,
    }  # fmt: skip
    assert {x} == set(_persons(site, SPACE))
    # what the hub knows goes before what a file says
    assert _import(site, links=_made(site, (f, x, "link")))["rows"]["another_child"] == 1
    assert _import(site, links=_made(site, (g, "n6", "link")))["rows"]["imported"] == 1
    _say(site, "split", f"{SPACE}:n6", "--reason", "two children")
    assert _import(site, links=_made(site, (g, "n6", "link")))["rows"]["contradicts"] == 1
    _say(site, "forget", f"student:{h}", "--reason", "asked")
    _say(site, "forget", f"{SPACE}:{x}", "--reason", "asked")
    gone = _import(site, links=_made(site, (h, "n7", "link"), (a, x, "link")))["rows"]
    assert gone["forgotten"] == 2
    assert len(_vault(site, "SELECT 1 FROM decision WHERE kind = 'import'")) == 2


def test_two_students_never_become_one_person_by_an_import(site: Site) -> None:
    one, other, *_ = sorted(_persons(site, "student"))
    persons = _persons(site, "student")
    _import(site, links=_made(site, (one, "n1", "link")))
    _import(site, links=_made(site, (other, "n2", "link")))
    _say(site, "merge", f"{SPACE}:n1", f"{SPACE}:n3", "--reason", "met twice", exit_code=10)
    _services(site, "2026-09-30", ["n3"])  # an id that nobody linked: held, but the hub has met it
    _say(site, "merge", f"{SPACE}:n1", f"{SPACE}:n3", "--reason", "met twice")
    said = _import(site, links=_made(site, (other, "n3", "link")))
    assert said["rows"]["another_child"] == 1
    assert _persons(site, "student") == persons


def test_an_import_is_one_run_and_one_event_with_counts_and_no_id(site: Site) -> None:
    with open_store(site.warehouse, METADATA, read_only=True) as warehouse:
        runs = warehouse.value("SELECT count(*) FROM run")
    count = _import(site)["rows"]["imported"]
    with open_store(site.warehouse, METADATA, read_only=True) as warehouse:
        assert warehouse.value("SELECT count(*) FROM run") == runs + 1
        event = warehouse.frame(
            "SELECT * FROM ledger_event WHERE action = 'identity.import_links'"
        ).to_dicts()
    assert len(event) == 1
    assert f"agreement {AGREEMENT}" in event[0]["detail"]
    assert f"imported {count}" in event[0]["detail"]
    ids = [*_links(site)["left_id"], *_links(site)["right_id"]]
    assert [one for one in [*ids, REASON] if one in event[0]["detail"]] == []
    assert b"Zanzibar" not in site.vault.read_bytes() + site.warehouse.read_bytes()


def test_an_import_is_no_label_for_training_and_no_decision_of_a_reviewer(site: Site) -> None:
    _import(site)
    said = _say(site, "review", "status")
    assert said["decided"] == 0


@pytest.mark.parametrize(
    ("old", "new"), [("end = ", "end = 2026-07-02 #"), ("start = ", "start = 2099-01-01 #")]
)
def test_an_agreement_must_be_on_file_and_in_force_to_link_and_to_import(
    site: Site, linked: Path, old: str, new: str
) -> None:
    path = site.root / "policy" / "agreements" / f"{AGREEMENT}.toml"
    text = path.read_text()
    path.unlink()
    said = [_import(site, exit_code=14)]
    path.write_text(text.replace(f"\n{old}", f"\n{new}"))
    said.append(_import(site, exit_code=14))
    done = _run("link-bundle", linked / "a", linked / "b", "--key", linked / "hub.key", "--agreement", AGREEMENT,
                "--epoch", "1", "--out", site.root.parent / "new.csv", "--project", site.root, "--json")  # fmt: skip
    said.append(json.loads(done.stdout))
    assert {one["errors"][0]["code"] for one in said} == {"WB-E-040"}
    assert _vault(site, "SELECT 1 FROM decision WHERE kind = 'import'") == []


def test_a_file_that_link_bundle_did_not_write_is_refused_whole(site: Site) -> None:
    whole = _links(site)
    spoilt = {
        "WB-E-085": [whole.with_columns(agreement=pl.lit("other"))],
        "WB-E-092": [
            *(whole.drop(name) for name in ("left_id", "right_id", "outcome", "weight", "agreement", "model_sha256")),
            whole.with_columns(outcome=pl.lit("none")),
            whole.with_columns(weight=pl.lit("Quokkaname")),
            whole.with_columns(weight=pl.lit("")),
            whole.with_columns(model_sha256=pl.lit("Quokkaname")),
        ],
    }  # fmt: skip
    for code, files in spoilt.items():
        for file in files:
            said = _import(site, links=file, exit_code=14 if code == "WB-E-085" else 11)
            assert said["errors"][0]["code"] == code
            assert "Quokka" not in json.dumps(said)


def test_a_feed_without_ids_of_its_own_or_that_is_not_there_is_refused(site: Site) -> None:
    file = site.root.parent / "links.csv"
    for feed, code in (("case_management", "WB-E-015"), ("ymc", "WB-E-012"), ("staff_training", "WB-E-015")):
        said = _say(
            site,
            "import-links",
            file,
            "--feed",
            feed,
            "--agreement",
            AGREEMENT,
            "--reason",
            REASON,
            exit_code=10,
        )
        assert said["errors"][0]["code"] == code
    (site.root / "feeds" / f"{FEED}.toml").write_text('kind = "case_management"\nown_ids = "yes"\n')
    assert _import(site, exit_code=10)["errors"][0]["code"] == "WB-E-011"
    (site.root / "feeds" / f"{FEED}.toml").write_text('kind = "sis"\nown_ids = true\n')
    assert _import(site, exit_code=10)["errors"][0]["code"] == "WB-E-015"


def test_where_the_site_asks_for_two_reviewers_an_import_needs_both(site: Site) -> None:
    project = site.root / "wellbridge.toml"
    text = project.read_text()
    assert "reviewers = 1" in text
    project.write_text(text.replace("reviewers = 1", "reviewers = 2"))
    assert _import(site, "--by", "Ann", exit_code=10)["errors"][0]["code"] == "WB-E-110"
    assert _import(site, "--by", "Ann", "--second", "Bo")["rows"]["imported"] > 0
    assert {
        row["reviewer2"] for row in _vault(site, "SELECT reviewer2 FROM decision WHERE kind = 'import'")
    } == {"Bo"}
