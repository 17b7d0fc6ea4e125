"""Bad input at the command line: what is said, what is held, what is lost (nothing) and what is shown (no value).

Every bad cell is, or stands beside, the canary. It may be in the inbox and in the vault, and nowhere else: not on
stdout, not on stderr, in no file of the site (the sealed landing included).
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandera.polars
import pytest
from click.testing import CliRunner

from pipelines.answer import Answer
from wellbridge.etl import vault
from wellbridge.etl.lock import run_lock
from wellbridge.etl.store import open_store
from wellbridge.pipelines.cli.group import cli
from wellbridge.pipelines.nightly import intake, walk
from wellbridge.pipelines.nightly.review import short_ids
from wellbridge.pipelines.sources import kinds, partners
from wellbridge.schemas.rules import RULES
from wellbridge.schemas.warehouse import METADATA

CANARY = "Quetzalcoatlus"
DAY = "2026-10-19"
HEADER = "staff_id,session_id,session_date,topic,hours,ceus"
GOOD = f"T1,A,{DAY},suicide_prevention,2,0.2"


@dataclass
class Door:
    """A site and its command line; keeps all that was ever printed."""

    root: Path
    said: list[str] = field(default_factory=list)

    def __call__(self, *arguments: str, project: bool = True) -> Answer:
        places = ["--project", str(self.root)] if project else []
        result = CliRunner().invoke(cli, [*arguments, *places], prog_name="wellbridge")
        assert result.exception is None or isinstance(result.exception, SystemExit)
        self.said += [result.stdout, result.stderr]
        return Answer(result.exit_code, result.stdout, result.stderr)

    def inbox(self, feed: str, name: str) -> Path:
        return self.root / "inbox" / feed / name

    def put(self, feed: str, name: str, *lines: str, header: str = HEADER, encoding: str = "utf-8") -> Path:
        """Write a CSV delivery."""
        path = self.inbox(feed, name)
        path.write_bytes("".join(f"{line}\n" for line in (header, *lines)).encode(encoding))
        return path

    def set(self, feed: str, text: str) -> None:
        """Add lines to a feed's file."""
        path = self.root / "feeds" / f"{feed}.toml"
        path.write_text(f"{path.read_text()}{text}\n")

    def run(self) -> Answer:
        return self("run", "--json")

    def held(self, *selectors: str) -> list[tuple[str, str, int, str | None, str]]:
        """Return feed, file, row, column and rule of the open held lines."""
        lines = self("held", "show", "--json", *selectors).document["held"]
        return [(line["feed"], line["file"], line["row"], line["column"], line["rule"]) for line in lines]

    def counts(self, answer: Answer, feed: str) -> tuple[int, int, int]:
        """Return read, loaded and held of a feed, having checked that nothing is lost."""
        (found,) = [row for row in answer.document["feeds"] if row["feed"] == feed]
        assert found["read"] == found["loaded"] + found["unchanged"] + found["held"] + found["removed"]
        return found["read"], found["loaded"], found["held"]


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    """A new site; at the end the canary must be nowhere but in the inbox and the vault."""
    door = Door(tmp_path / "site")
    assert door("init", str(door.root), project=False).exit == 0
    yield door
    assert not [text for text in door.said if CANARY in text]
    assert not [text for text in door.said if "Traceback" in text]
    searched = 0
    for path in door.root.rglob("*"):
        inside = path.relative_to(door.root).parts
        if path.is_file() and inside[0] != "inbox" and "vault" not in inside:
            content = path.read_bytes()
            assert not [text for text in _spellings(CANARY) if text in content], inside
            searched += 1
    assert searched > 10


def _spellings(text: str) -> list[bytes]:
    return [text.encode(), text.encode("utf-16-le"), text.encode("utf-16-be")]


def is_in_five_parts(text: str, code: str, exit_code: int) -> bool:
    """Say whether text holds a message in the shape that people are shown."""
    for block in text.split("\n\n"):
        lines = [line for line in block.splitlines() if line.strip()]
        heads = [line.split(":")[0].strip() for line in lines[1:-1]]
        if lines and lines[-1].strip() == f"{code} · exit {exit_code}" and heads == ["where", "why", "do"]:
            return not lines[0].startswith(" ")
    return False


# -- the command line and the site's files ------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments", [("rnu",), ("run", "--nosuch"), ("run", "--fail-on", "sometimes"), ("held", "discard")]
)
def test_a_wrong_command_line_ends_with_2_and_says_what_is_wrong(door: Door, arguments: tuple[str, ...]) -> None:
    found = door(*arguments, "--json", project=False)
    assert found.exit == 2
    assert (found.error["code"], found.error["exit_code"]) == ("WB-E-016", 2)
    assert found.stderr == ""
    text = door(*arguments, project=False)
    assert (text.exit, text.stdout) == (2, "")
    assert is_in_five_parts(text.stderr, "WB-E-016", 2)


def test_a_misspelt_command_is_told_what_is_near(door: Door) -> None:
    assert "Did you mean run?" in door("rnu", "--json", project=False).error["what"]


def _refused_before_reading(door: Door, code: str, exit_code: int, where: str) -> None:
    """Check that a run and a plan refuse, and that nothing was written."""
    before = {path: path.stat().st_mtime_ns for path in door.root.rglob("*") if path.name != "run.lock"}
    for command in ("run", "plan"):
        found = door(command, "--json")
        assert found.exit == exit_code
        assert (found.error["code"], found.error["exit_code"]) == (code, exit_code)
        assert where in found.error["where"]
        text = door(command)
        assert (text.exit, text.stdout) == (exit_code, "")
        assert is_in_five_parts(text.stderr, code, exit_code)
    assert {path: path.stat().st_mtime_ns for path in door.root.rglob("*") if path.name != "run.lock"} == before


def test_a_folder_that_is_no_site_is_refused(door: Door) -> None:
    (door.root / "wellbridge.toml").unlink()
    _refused_before_reading(door, "WB-E-010", 10, "wellbridge.toml")


@pytest.mark.parametrize(
    ("content", "where"),
    [
        (b'[district]\nname = "A"\nname = %s\n', "line 3"),
        ("[district]\nname = '%s ñ'\n".encode("latin-1"), "not UTF-8"),
        (b'[run]\nheld_limit = "%s"\n', "run.held_limit"),
        (b'[run]\nfail_on = "%s"\n', "run.fail_on"),
        (b'report = "%s"\n', "[report]"),
    ],
    ids=["syntax", "encoding", "number", "choice", "section"],
)
def test_an_unreadable_project_file_is_named_with_the_place(door: Door, content: bytes, where: str) -> None:
    (door.root / "wellbridge.toml").write_bytes(content.replace(b"%s", b"Quetzal"))
    _refused_before_reading(door, "WB-E-011", 10, where)
    assert not [text for text in door.said if "Quetzal" in text]


@pytest.mark.parametrize(
    ("line", "where"),
    [
        ("kind = [", "sis.toml"), ('kind = "sis"\nrename = "Student"', "rename"),
        ('kind = "sis"\ncodes = {status = "Z"}', "codes"), ('kind = "sis"\nseparator = "||"', "separator"),
        ("path = 'x'", "sis.toml · kind"),
    ],
)
def test_an_unreadable_feed_file_is_named_with_the_place(door: Door, line: str, where: str) -> None:
    (door.root / "feeds" / "sis.toml").write_text(f"{line}\n")
    _refused_before_reading(door, "WB-E-011", 10, where)


@pytest.mark.parametrize(
    ("file", "old", "new", "where"),
    [
        ("feeds/sis.toml", "path", "pth", "feeds/sis.toml · pth · near: path"),
        ("feeds/sis.toml", "path", "renam = {a = 'b'}\npath", "feeds/sis.toml · renam · near: rename"),
        ("feeds/fhir.toml", "path", "recipient = ['a']\npath", "feeds/fhir.toml · recipient · near: recipients"),
        ("feeds/yrbs.toml", "path", "separator = ';'\npath", "feeds/yrbs.toml · separator · known: codes, kind, path"),
        ("wellbridge.toml", "state_dir", "statedir", "wellbridge.toml · statedir · near: state_dir"),
        ("wellbridge.toml", "[report]", "[reports]", "wellbridge.toml · reports · near: report"),
        ("wellbridge.toml", "min_cell", "mincell", "wellbridge.toml · [report] · mincell · near: min_cell"),
    ],
)
def test_a_key_that_nothing_reads_is_refused_with_the_near_ones(
    door: Door, file: str, old: str, new: str, where: str
) -> None:
    path = door.root / file
    path.write_text(path.read_text().replace(old, new, 1))
    _refused_before_reading(door, "WB-E-015", 10, where)
    assert door("doctor").exit == 10


def test_every_setting_that_a_source_reads_is_known_and_on_the_page_of_feeds() -> None:
    sources = Path(kinds.__file__).parent
    read = {
        name
        for path in sources.glob("*.py")
        for name in re.findall(r'(?:settings\.get|context\.names)\(\s*"(\w+)"', path.read_text())
    }
    known = set().union(*kinds.SETTINGS.values())
    assert read | {"kind", "path", "codes"} == known
    page = (Path(__file__).parents[2] / "docs" / "feeds.md").read_text()
    assert [name for name in sorted(known) if f"`{name}`" not in page] == []


def test_an_unknown_source_kind_is_refused_with_the_near_ones(door: Door) -> None:
    (door.root / "feeds" / "sis.toml").write_text('kind = "siss"\npath = "inbox/sis"\n')
    _refused_before_reading(door, "WB-E-015", 10, "feeds/sis.toml · kind · near: sis")


def test_a_folder_that_no_feed_reads_is_refused(door: Door) -> None:
    stranger = door.root / "inbox" / "somebody"
    stranger.mkdir()
    (stranger / f"cases_{DAY}.csv").write_text(f"{CANARY}\n")
    _refused_before_reading(door, "WB-E-013", 10, "inbox/somebody")


def test_a_missing_inbox_is_refused(door: Door) -> None:
    (door.root / "inbox" / "sis").rmdir()
    _refused_before_reading(door, "WB-E-020", 11, "feed sis")


def test_a_selection_that_matches_nothing_is_refused(door: Door) -> None:
    found = door("run", "--select", "siss", "--json")
    assert (found.exit, found.error["code"], found.error["where"]) == (10, "WB-E-012", "near: sis")
    assert is_in_five_parts(door("run", "--select", "siss").stderr, "WB-E-012", 10)
    everything = door("run", "--exclude", "*", "--json")
    assert (everything.exit, everything.error["code"]) == (10, "WB-E-012")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("held", "release"), "WB-E-012"), (("held", "discard", "--reason", "none"), "WB-E-012"),
        (("runs", "show", "nosuch"), "WB-E-015"), (("retry", "nosuch"), "WB-E-015"),
        (("held", "show", "--select", "nosuch"), "WB-E-012"), (("held", "list", "--rule", "WB-R-99"), "WB-E-015"),
        (("plan", "--exclude", "nosuch"), "WB-E-012"),
    ],
)
def test_a_name_that_nothing_has_is_refused(door: Door, arguments: tuple[str, ...], code: str) -> None:
    door.put("staff_training", f"sessions_{DAY}.csv", GOOD)
    assert door.run().exit == 0
    found = door(*arguments, "--json")
    assert (found.exit, found.error["code"]) == (10, code)
    assert is_in_five_parts(door(*arguments).stderr, code, 10)


# -- the doctor beside a run ---------------------------------------------------------------------------------


def _content(root: Path) -> dict[Path, tuple[int, bytes]]:
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in root.rglob("*") if path.is_file()}


def test_the_doctor_changes_nothing_and_takes_no_lock(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    assert door("doctor").exit == 0
    assert not (door.root / "state" / "run.lock").exists()
    door.put("staff_training", f"sessions_{DAY}.csv", GOOD)
    assert door.run().exit == 0
    before = _content(door.root)
    monkeypatch.setattr(fcntl, "flock", _broken)
    found = door("doctor", "--json")
    assert (found.exit, _content(door.root)) == (0, before)
    assert {check["state"] for check in found.document["checks"] if check["check"] in {"lock", "stores"}} == {"OK"}


def test_a_running_night_is_no_fault_and_is_not_disturbed(door: Door) -> None:
    door.put("staff_training", f"sessions_{DAY}.csv", GOOD)
    assert door.run().exit == 0
    with run_lock(door.root / "state" / "run.lock"), open_store(door.root / "state" / "warehouse.duckdb", METADATA):
        found = door("doctor", "--json")
        states = {check["check"]: check["state"] for check in found.document["checks"]}
        assert (found.exit, states["lock"], states["stores"]) == (0, "WARN", "WARN")
        assert door.run().exit == 16
    assert door.run().exit == 99


def test_a_killed_runs_name_in_the_locks_file_holds_nothing(door: Door) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    lock = door.root / "state" / "run.lock"
    lock.write_text(json.dumps({"pid": dead.pid, "since": "yesterday"}))
    lock.chmod(0o600)
    checks = door("doctor", "--json").document["checks"]
    assert [check["state"] for check in checks if check["check"] == "lock"] == ["OK"]


def test_a_run_waits_for_a_command_that_reads(door: Door) -> None:
    door.put("staff_training", f"sessions_{DAY}.csv", GOOD)
    assert door.run().exit == 0
    path = door.root / "state" / "warehouse.duckdb"
    script = f"import duckdb, time; c = duckdb.connect({str(path)!r}, read_only=True); print(flush=True); time.sleep(1)"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as reader:
        assert reader.stdout is not None
        reader.stdout.readline()
        door.put("staff_training", f"sessions_{DAY}_r2.csv", GOOD)
        assert door.run().exit == 0


def test_a_run_is_named_by_the_start_of_its_id_and_its_line_fits_the_terminal(door: Door) -> None:
    for day in ("12", "13", "14"):
        door.put("staff_training", f"sessions_2026-10-{day}.csv", f"T1,A,2026-10-{day},{CANARY},2,0.2")
        assert door.run().exit == 13
    runs = [row["run_id"] for row in door("runs", "list", "--json").document["runs"]]
    lines = door("runs", "list").stdout.splitlines()
    shown = [line.split()[0] for line in lines[2:]]
    assert max(map(len, lines)) <= 80
    assert [one[:8] for one in runs] == shown
    for whole, start in zip(runs, shown, strict=True):
        assert door("runs", "show", start, "--json").document["run"]["run_id"] == whole
        assert door("retry", start, "--json").document["tried"] == 1
        assert whole in door("runs", "show", start).stdout
    for command in (("runs", "show"), ("retry",)):
        several = door(*command, "", "--json")
        assert (several.exit, several.error["code"]) == (10, "WB-E-015")


def test_short_ids_are_as_long_as_tells_them_apart() -> None:
    assert short_ids([]) == {}
    assert set(short_ids(["a" * 32, "b" * 32]).values()) == {"a" * 8, "b" * 8}
    assert set(short_ids(["a" * 32, "a" * 10 + "b" * 22]).values()) == {"a" * 11, "a" * 10 + "b"}


# -- deliveries held whole ------------------------------------------------------------------------------------


def _expect_held_whole(door: Door, rule: str, code: str, columns: list[str | None], rows: int, name: str) -> None:
    """Run twice and look at the one delivery held whole, of which ``rows`` records could be counted."""
    found = door.run()
    assert found.exit == 12
    assert (found.error["code"], found.error["exit_code"]) == (code, 12)
    assert RULES[rule].title in found.error["what"]
    named = [column for column in columns if column]
    assert found.error["where"] == " · ".join(["feed staff_training", name, rule, *named])
    assert door.counts(found, "staff_training") == (rows, 0, rows)
    (delivery,) = found.document["deliveries"]
    assert (delivery["name"], delivery["status"], delivery["rule"]) == (name, "held", rule)
    assert door.held() == [("staff_training", name, 0, column, rule) for column in columns]
    assert door.run().exit == 99


def test_an_empty_file_is_held_whole_and_can_be_discarded(door: Door) -> None:
    name = f"sessions_{DAY}.csv"
    door.inbox("staff_training", name).write_bytes(b"")
    _expect_held_whole(door, "WB-D-001", "WB-E-022", [None], 0, name)
    assert door("held", "discard", "--json", project=True).exit == 2  # a reason is asked for
    tried = door("held", "discard", "--rule", "WB-D-001", "--reason", "sent by mistake", "--dry-run", "--json")
    assert (tried.exit, tried.document["rows"], len(door.held())) == (0, 1, 1)
    gone = door("held", "discard", "--rule", "WB-D-001", "--reason", "sent by mistake", "--json")
    assert (gone.exit, gone.document["rows"], door.held()) == (0, 1, [])
    (closed,) = door("held", "show", "--all", "--json").document["held"]
    assert (closed["status"], closed["reason"]) == ("discarded", "sent by mistake")
    assert door.run().exit == 99


def test_a_file_with_a_header_only_is_a_delivery_of_no_rows(door: Door) -> None:
    door.put("staff_training", f"sessions_{DAY}.csv")
    found = door.run()
    assert (found.exit, door.counts(found, "staff_training"), door.held()) == (0, (0, 0, 0), [])


def test_utf_16_is_held_whole_and_loads_from_a_file_sent_anew(door: Door) -> None:
    name = f"sessions_{DAY}.csv"
    door.put("staff_training", name, GOOD, f"T2,{CANARY},{DAY},suicide_prevention,2,0.2", encoding="utf-16")
    _expect_held_whole(door, "WB-D-004", "WB-E-022", [None], 2, name)
    still = door("held", "release", "--json")
    assert (still.exit, still.error["code"]) == (12, "WB-E-022")
    # The text view of the same: a short summary on stdout, the five parts on stderr.
    text = door("retry")
    assert text.exit == 12
    assert "Deliveries held whole" in text.stdout
    assert is_in_five_parts(text.stderr, "WB-E-022", 12)
    door.put("staff_training", name, GOOD)
    found = door.run()
    assert (found.exit, door.counts(found, "staff_training")) == (0, (1, 1, 0))


@pytest.mark.parametrize(
    ("header", "columns", "mend"),
    [
        (HEADER.replace("hours", "clock hours"), ["column 5", "hours"], 'rename = {"clock hours" = "hours"}'),
        (HEADER + ",mood", ["column 7"], 'extra = ["mood"]'),
    ],
    ids=["renamed", "extra"],
)
def test_header_drift_is_held_whole_until_the_feeds_file_maps_it(
    door: Door, header: str, columns: list[str | None], mend: str
) -> None:
    name, wide = f"sessions_{DAY}.csv", ",x" if "mood" in header else ""
    door.put("staff_training", name, GOOD + wide, f"T2,{CANARY},{DAY},suicide_prevention,3,0.2{wide}", header=header)
    _expect_held_whole(door, "WB-D-003", "WB-E-030", columns, 2, name)
    door.set("staff_training", mend)
    (delivery,) = {line["batch_id"] for line in door("held", "show", "--json").document["held"]}
    tried = door("held", "release", "--delivery", delivery[:12], "--dry-run", "--json")
    assert (tried.exit, tried.document["deliveries"], len(door.held())) == (0, [delivery], len(columns))
    found = door("held", "release", "--delivery", delivery[:12], "--json")
    assert (found.exit, door.held()) == (0, [])
    assert door.counts(found, "staff_training") == (2, 2, 0)
    assert door.run().exit == 99


@pytest.mark.parametrize(
    ("header", "columns"),
    [
        (HEADER.replace(",hours", ""), ["hours"]),
        (HEADER.replace("ceus", "hours"), ["ceus", "hours"]),
        (HEADER.replace("session_id", "staff_id"), ["session_id", "staff_id"]),
    ],
    ids=["missing", "doubled", "doubled key"],
)
def test_a_missing_or_doubled_column_is_held_whole_and_released_by_nothing(
    door: Door, header: str, columns: list[str | None]
) -> None:
    name = f"sessions_{DAY}.csv"
    cells = GOOD.split(",")[:header.count(",") + 1]
    door.put("staff_training", name, ",".join(cells), header=header)
    _expect_held_whole(door, "WB-D-003", "WB-E-030", columns, 1, name)
    assert door("held", "release", "--json").exit == 12
    assert [line[3] for line in door.held()] == columns


def test_a_file_without_its_header_names_no_cell(door: Door) -> None:
    """The first row of data would stand in the place of names, and messages name headers."""
    name = f"sessions_{DAY}.csv"
    door.put("staff_training", name, GOOD, header=f"{CANARY},A,{DAY},{CANARY},2,0.2")
    found = door.run()
    assert (found.exit, found.error["code"]) == (12, "WB-E-030")
    assert {line[4] for line in door.held()} == {"WB-D-003"}


@pytest.mark.parametrize("place", range(1, 7))
def test_a_value_among_the_headers_is_told_by_its_place(door: Door, place: int) -> None:
    """Also where all the others are ours: half a header row was lost, or a line of data slipped up."""
    headers = HEADER.split(",")
    missing, headers[place - 1] = headers[place - 1], CANARY
    door.put("staff_training", f"sessions_{DAY}.csv", GOOD, header=",".join(headers))
    columns = sorted([f"column {place}", missing])
    _expect_held_whole(door, "WB-D-003", "WB-E-030", list(columns), 1, f"sessions_{DAY}.csv")


def test_a_file_held_for_its_name_loads_under_the_right_one(door: Door) -> None:
    """The very same bytes: what its name says is part of what a delivery is."""
    wrong = door.put("staff_training", f"trainings_{DAY}.csv", GOOD)
    _expect_held_whole(door, "WB-D-006", "WB-E-022", [None], 0, wrong.name)
    wrong.rename(wrong.with_name(f"sessions_{DAY}.csv"))
    found = door.run()
    assert (found.exit, door.counts(found, "staff_training")) == (0, (1, 1, 0))


def test_other_content_under_the_same_name_is_a_conflict_until_it_is_numbered(door: Door) -> None:
    path = door.put("staff_training", f"sessions_{DAY}.csv", GOOD)
    assert door.run().exit == 0
    door.put("staff_training", path.name, GOOD.replace(",2,", ",3,"))
    found = door.run()
    assert found.exit == 12
    assert [error["code"] for error in found.document["errors"]] == ["WB-E-022"] * 2
    assert door.counts(found, "staff_training") == (2, 0, 2)
    assert [line[4] for line in door.held()] == ["WB-D-005"] * 2  # neither counts
    path.rename(path.with_name(f"sessions_{DAY}_r2.csv"))
    found = door.run()
    assert (found.exit, door.counts(found, "staff_training")) == (0, (1, 1, 0))
    assert door.held() == []


def test_two_days_without_a_row_are_two_deliveries_although_they_are_the_same_bytes(door: Door) -> None:
    """Else a restated day that is empty now would be taken for an empty day sent again."""
    door.put("staff_training", "sessions_2026-10-12.csv")
    door.put("staff_training", f"sessions_{DAY}.csv", GOOD)
    assert door.counts(door.run(), "staff_training") == (1, 1, 0)
    door.put("staff_training", f"sessions_{DAY}_r2.csv")
    found = door.run()
    assert [row["name"] for row in found.document["deliveries"]] == [f"sessions_{DAY}_r2.csv"]
    tables = door("warehouse", "digest", "--json").document["tables"]
    empty = Door(door.root.parent / "other")
    empty("init", str(empty.root), project=False)
    empty.put("staff_training", f"sessions_{DAY}_r2.csv")
    assert empty.run().exit == 0
    bare = empty("warehouse", "digest", "--json").document["tables"]
    assert tables["training_attendance"] == bare["training_attendance"]


def _broken(*_: object, **__: object) -> None:
    raise KeyError(CANARY)


@pytest.mark.parametrize(
    ("place", "name"),
    [
        (intake, "parse"), (intake, "validate"), (intake, "deidentify"), (intake, "_hold_duplicates"),
        (partners, "read_delimited"), (pandera.polars.DataFrameModel, "validate"), (vault.Keys, "keys"),
        (walk, "link"), (walk, "derive_students"),
    ],
    ids=lambda one: one if isinstance(one, str) else one.__name__.rpartition(".")[2],
)
def test_a_fault_of_ours_is_no_fault_of_the_partner(
    door: Door, place: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends the run with 1 and its place, without a word of its text; nothing is held, and the delivery waits."""
    door.put("staff_training", f"sessions_{DAY}.csv", GOOD, f"T2,{CANARY},{DAY},trauma_informed,2,0.2")
    with monkeypatch.context() as patch:
        patch.setattr(place, name, _broken)
        found = door.run()
        assert (found.exit, found.error["code"]) == (1, "WB-E-001")
        assert "KeyError" in found.error["where"]
        assert is_in_five_parts(door("run").stderr, "WB-E-001", 1)
    assert door.held() == []
    found = door.run()
    assert (found.exit, door.counts(found, "staff_training")) == (0, (2, 2, 0))


def test_bytes_that_stop_a_reader_hold_their_delivery(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"sessions_{DAY}.csv"
    door.put("staff_training", name, GOOD)

    def stopped(*_: object, **__: object) -> None:
        raise UnicodeDecodeError("utf-8", CANARY.encode(), 0, 1, CANARY)

    with monkeypatch.context() as patch:
        patch.setattr(partners, "read_delimited", stopped)
        _expect_held_whole(door, "WB-D-007", "WB-E-022", [None], 0, name)
    found = door("held", "release", "--json")
    assert (found.exit, door.counts(found, "staff_training")) == (0, (1, 1, 0))


# -- deliveries that wait -------------------------------------------------------------------------------------


def _waits(door: Door, feed: str, name: str) -> None:
    """Check that a run finds nothing but a delivery that is still uploading, and forgets nothing of it."""
    for _ in range(2):  # it is looked at every night
        found = door.run()
        assert found.exit == 11
        assert (found.error["code"], found.error["where"]) == ("WB-E-021", f"feed {feed} · {name} · WB-D-002")
        assert found.document["waiting"] == [{"feed": feed, "name": name, "rule": "WB-D-002"}]
        assert door.counts(found, feed) == (0, 0, 0)
    text = door("run")
    assert text.exit == 11
    assert is_in_five_parts(text.stderr, "WB-E-021", 11)
    assert door.held() == []


def _sidecar(path: Path, content: bytes) -> None:
    path.with_name(f"{path.name}.done").write_text(f"{hashlib.sha256(content).hexdigest()}  {len(content)}\n")


def test_a_file_shorter_than_its_sidecar_says_waits_and_then_loads(door: Door) -> None:
    path = door.put("staff_training", f"sessions_{DAY}.csv", GOOD, f"T2,{CANARY},{DAY},trauma_informed,1,0.1")
    whole = path.read_bytes()
    _sidecar(path, whole)
    path.write_bytes(whole[:len(whole) // 2])
    _waits(door, "staff_training", path.name)
    path.write_bytes(whole)
    found = door.run()
    assert (found.exit, door.counts(found, "staff_training")) == (0, (2, 2, 0))
    assert door.run().exit == 99


def test_a_text_that_stops_in_the_middle_of_a_line_waits(door: Door) -> None:
    path = door.put("staff_training", f"sessions_{DAY}.csv", GOOD, CANARY)
    path.write_bytes(path.read_bytes()[:-2])
    _waits(door, "staff_training", path.name)


def _oneroster() -> bytes:
    """Return a smallest package: a school and a student named by the canary."""
    members = {
        "manifest.csv": "propertyName,value\nmanifest.version,1.0\noneroster.version,1.2\nfile.orgs,bulk\n"
                        "file.users,bulk\nfile.roles,bulk\n",
        "orgs.csv": "sourcedId,status,dateLastModified,name,type,identifier,parentSourcedId\no1,,,High,school,S01,\n",
        "users.csv": "sourcedId,status,dateLastModified,enabledUser,username,userIds,givenName,familyName,middleName,"
                     "identifier,email,sms,phone,agentSourcedIds,grades,password,userMasterIdentifier,"
                     "preferredGivenName,preferredMiddleName,preferredFamilyName,primaryOrgSourcedId,pronouns\n"
                     f"u1,,,true,u1,,{CANARY},{CANARY},,007,,,,,09,,,,,,o1,\n",
        "roles.csv": "sourcedId,status,dateLastModified,userSourcedId,roleType,role,beginDate,endDate,orgSourcedId,"
                     "userProfileSourcedId\nr1,,,u1,primary,student,,,o1,\n",
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as package:
        for name, text in members.items():
            package.writestr(name, text)
    return buffer.getvalue()


def test_a_zip_without_its_end_waits_and_then_loads(door: Door) -> None:
    path = door.inbox("oneroster", f"oneroster_{DAY}.zip")
    path.write_bytes(_oneroster()[:-200])
    _waits(door, "oneroster", path.name)
    path.write_bytes(_oneroster())
    found = door.run()
    assert (found.exit, door.counts(found, "oneroster")) == (0, (3, 2, 0))
    assert door.run().exit == 99


def test_a_zip_that_is_none_is_held_whole(door: Door) -> None:
    path = door.inbox("oneroster", f"oneroster_{DAY}.zip")
    content = bytearray(_oneroster())
    content[40:60] = b"\xff" * 20
    path.write_bytes(content)
    found = door.run()
    assert (found.exit, found.error["code"]) == (12, "WB-E-022")
    assert [line[4] for line in door.held()] == ["WB-D-007"]
    assert door.run().exit == 99


def _patient(number: str) -> str:
    name = [{"family": CANARY, "given": [CANARY]}]
    return json.dumps({"resourceType": "Patient", "id": number, "name": name, "birthDate": "2010-02-03"}) + "\n"


def test_a_fhir_folder_without_a_listed_member_waits_and_then_loads(door: Door) -> None:
    folder = door.inbox("fhir", f"fhir_{DAY}")
    folder.mkdir()
    files = [{"type": "Patient", "url": f"Patient.{number}.ndjson", "count": 1} for number in (1, 2)]
    manifest = {"transactionTime": f"{DAY}T01:00:00Z", "request": "r", "requiresAccessToken": False,
                "output": files, "deleted": [], "error": []}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "Patient.1.ndjson").write_text(_patient("a"))
    _waits(door, "fhir", folder.name)
    (folder / "Patient.2.ndjson").write_text(_patient("b"))
    found = door.run()
    assert (found.exit, door.counts(found, "fhir")) == (0, (2, 2, 0))


def test_a_fhir_folder_with_more_records_than_declared_is_held_whole(door: Door) -> None:
    folder = door.inbox("fhir", f"fhir_{DAY}")
    folder.mkdir()
    manifest = {"transactionTime": f"{DAY}T01:00:00Z", "request": "r", "requiresAccessToken": False, "error": [],
                "output": [{"type": "Patient", "url": "Patient.ndjson", "count": 1}]}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "Patient.ndjson").write_text(_patient("a") + _patient("b"))
    found = door.run()
    assert (found.exit, found.error["code"], door.counts(found, "fhir")) == (12, "WB-E-022", (2, 0, 2))
    assert [line[4] for line in door.held()] == ["WB-D-008"]


_HL7 = (
    "FHS|^~\\&|HIE|H|DISTRICT|D|20261019020000", "BHS|^~\\&|HIE|H|DISTRICT|D|20261019020000",
    "MSH|^~\\&|HIE|H|DISTRICT|D|20261019010000-0500||ADT^A04|1|P|2.5.1",
    f"PID|1||P1^^^H||{CANARY}^{CANARY}||20100203|F",
    "PV1|1|E||||||||PSY|||||||||V1|||||||||||||||||||||||||20261018",
    "BTS|1", "FTS|1",
)


def test_an_hl7_batch_without_its_end_waits_and_then_loads(door: Door) -> None:
    path = door.inbox("hl7v2", f"hl7_{DAY}.hl7")
    path.write_text("\r".join(_HL7[:-1]) + "\r", newline="")
    _waits(door, "hl7v2", path.name)
    path.write_text("\r".join(_HL7) + "\r", newline="")
    found = door.run()
    assert (found.exit, door.counts(found, "hl7v2")) == (0, (1, 1, 0))


def test_a_delivery_that_waits_holds_up_no_other(door: Door) -> None:
    door.put("staff_training", f"sessions_{DAY}.csv", GOOD)
    growing = door.put("case_management", f"tiers_{DAY}.csv", header="student_id,tier")
    growing.write_bytes(growing.read_bytes()[:-1])
    found = door.run()
    assert (found.exit, door.counts(found, "staff_training")) == (0, (1, 1, 0))
    assert [row["name"] for row in found.document["waiting"]] == [growing.name]


# -- rows held ------------------------------------------------------------------------------------------------


def _expect_held_rows(door: Door, lines: list[tuple[int, str | None, str]], read: int) -> Answer:
    """Run, and look at held (row, column, rule)."""
    name = f"sessions_{DAY}.csv"
    found = door.run()
    rows = {row for row, _, _ in lines}
    assert found.exit == 13
    assert door.counts(found, "staff_training") == (read, read - len(rows), len(rows))
    assert door.held() == [("staff_training", name, *line) for line in lines]
    assert {error["code"] for error in found.document["errors"]} == {"WB-E-031"}
    assert {rule for _, _, rule in lines} == {error["where"].split(" · ")[2] for error in found.document["errors"]}
    assert {(row["rule"], row["rows"]) for row in found.document["reasons"]} == {
        (rule, len({row for row, _, r in lines if r == rule})) for _, _, rule in lines}
    assert door.run().exit == 99
    return found


def test_ragged_rows_are_held_by_number_and_the_others_load(door: Door) -> None:
    door.put("staff_training", f"sessions_{DAY}.csv",
             GOOD, f"T2,{CANARY},{DAY}", f"T3,C,{DAY},trauma_informed,1,0.1,{CANARY}", f"T4,D,{DAY},trauma_informed,1,")
    _expect_held_rows(door, [(3, None, "WB-R-001"), (4, None, "WB-R-001")], read=4)


def test_every_cell_at_fault_is_named_by_row_column_and_rule(door: Door) -> None:
    door.put("staff_training", f"sessions_{DAY}.csv", GOOD,
             f"T2,B,{CANARY},suicide_prevention,{CANARY},0.1", f"T3,C,{DAY},{CANARY},1,0.1",
             f",D,{DAY},trauma_informed,1,{CANARY}", f"{CANARY},E,2026-10-20,trauma_informed,1,0.1",
             f"T1,A,{DAY},trauma_informed,1,0.1", f"T6,F,{DAY},trauma_informed,-7777.25,0.1")
    found = _expect_held_rows(door, [
        (3, "event_date", "WB-R-011"), (3, "hours", "WB-R-012"), (4, "topic", "WB-R-020"),
        (5, "ceus", "WB-R-012"), (5, "staff_id", "WB-R-010"), (6, "event_date", "WB-R-033"), (7, None, "WB-R-030"),
        (8, "hours", "WB-R-021"),
    ], read=7)
    assert not [text for text in door.said if "7777" in text]
    by_rule = {error["where"].split(" · ")[2]: error["where"] for error in found.document["errors"]}
    assert by_rule["WB-R-012"] == "feed staff_training · sessions · WB-R-012 · ceus · hours"
    text = door("held", "release")
    assert text.exit == 13
    assert is_in_five_parts(text.stderr, "WB-E-031", 13)


def _mended(door: Door, command: tuple[str, ...], rows: int) -> None:
    """Try held rows again once their cause is mended; all of them load, and nothing is left."""
    found = door(*command, "--json")
    assert (found.exit, found.document["errors"]) == (0, [])
    assert door.counts(found, "staff_training") == (rows, rows, 0)
    assert door.held() == []
    assert {line["status"] for line in door("held", "show", "--all", "--json").document["held"]} == {"released"}
    assert door.run().exit == 99


@pytest.mark.parametrize("command", [("held", "release", "--rule", "WB-R-020"), ("retry",)], ids=["release", "retry"])
def test_an_unknown_code_loads_once_the_feeds_file_maps_it(door: Door, command: tuple[str, ...]) -> None:
    door.put("staff_training", f"sessions_{DAY}.csv",
             GOOD, f"T2,B,{DAY},Local Course,1,0.1", f"T3,C,{DAY},local course,2,0.1")
    _expect_held_rows(door, [(3, "topic", "WB-R-020"), (4, "topic", "WB-R-020")], read=3)
    assert door(*command, "--json").exit == 13  # nothing is mended yet
    assert len(door.held()) == 2
    door.set("staff_training", '[codes.topic]\n"Local course" = "trauma_informed"')
    _mended(door, command, 2)


def test_latin_1_bytes_hold_their_rows_until_the_feeds_file_declares_them(door: Door) -> None:
    path = door.put("staff_training", f"sessions_{DAY}.csv", GOOD)
    path.write_bytes(path.read_bytes() + f"Peñ{CANARY},B,{DAY},trauma_informed,1,0.1\n".encode("latin-1"))
    _expect_held_rows(door, [(3, None, "WB-R-002")], read=2)
    door.set("staff_training", 'encoding = "latin-1"')
    _mended(door, ("held", "release", "--select", "staff_training"), 1)


def test_an_encoding_that_nobody_knows_stops_the_run_before_anything_is_taken(door: Door) -> None:
    door.set("staff_training", 'encoding = "klingon"')
    door.put("staff_training", f"sessions_{DAY}.csv", GOOD)
    found = door.run()
    assert (found.exit, found.error["code"]) == (10, "WB-E-011")
    (door.root / "feeds" / "staff_training.toml").write_text('kind = "staff_training"\n')
    found = door.run()
    assert (found.exit, door.counts(found, "staff_training")) == (0, (1, 1, 0))


def test_discarded_rows_are_closed_with_their_reason_and_stay_unloaded(door: Door) -> None:
    door.put("staff_training", f"sessions_{DAY}.csv", GOOD, f"T2,B,{DAY},{CANARY},1,0.1")
    _expect_held_rows(door, [(3, "topic", "WB-R-020")], read=2)
    before = door("warehouse", "digest", "--json").document["digest"]
    gone = door("held", "discard", "--select", "staff_training", "--reason", "no such course", "--json")
    assert (gone.exit, gone.document["rows"], door.held()) == (0, 1, [])
    again = door("held", "discard", "--reason", "no such course", "--json")
    assert (again.exit, again.error["code"]) == (10, "WB-E-012")
    assert door("warehouse", "digest", "--json").document["digest"] == before


def test_few_held_rows_are_no_failure_and_are_counted_all_the_same(door: Door) -> None:
    good = [f"T{n},A{n},{DAY},trauma_informed,1,0.1" for n in range(39)]
    door.put("staff_training", f"sessions_{DAY}.csv", *good, f"T99,{CANARY},{DAY},trauma_informed,,0.1")
    found = door.run()
    assert (found.exit, found.document["errors"], door.counts(found, "staff_training")) == (0, [], (40, 39, 1))
    assert [line[2:] for line in door.held()] == [(41, "hours", "WB-R-010")]


@pytest.mark.parametrize("fail_on", ["warn", "never"])
def test_held_rows_end_no_run_that_was_told_so(door: Door, fail_on: str) -> None:
    door.put("staff_training", f"sessions_{DAY}.csv", f"T1,{CANARY},{DAY},{CANARY},1,0.1")
    found = door("run", "--fail-on", fail_on, "--json")
    assert (found.exit, door.counts(found, "staff_training")) == (0, (1, 0, 1))


def test_bad_records_of_every_format_are_held_by_number_without_their_content(door: Door) -> None:
    """JSON lines and HL7 messages, as text rows above."""
    folder = door.inbox("fhir", f"fhir_{DAY}")
    folder.mkdir()
    manifest = {"transactionTime": f"{DAY}T01:00:00Z", "request": "r", "requiresAccessToken": False, "error": [],
                "output": [{"type": "Patient", "url": "Patient.ndjson"}]}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    broken = f'{{"resourceType": "Patient", "id": "b", "name": "{CANARY}\n'
    (folder / "Patient.ndjson").write_text(_patient("a") + broken + _patient("c"))
    lines = [*_HL7[:2], f"MSH|^~\\&|{CANARY}", *_HL7[2:5], "BTS|2", "FTS|1"]
    door.inbox("hl7v2", f"hl7_{DAY}.hl7").write_text("\r".join(lines) + "\r", newline="")
    found = door.run()
    assert (found.exit, door.counts(found, "fhir"), door.counts(found, "hl7v2")) == (13, (3, 2, 1), (2, 1, 1))
    assert [(feed, row, rule) for feed, _, row, _, rule in door.held()] == [
        ("fhir", 2, "WB-R-003"), ("hl7v2", 1, "WB-R-003")]
