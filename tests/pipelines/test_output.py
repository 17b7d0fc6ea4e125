"""What a person sees on a terminal: no wrapped line, no cut id, and numbers that can be read."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from wellbridge.pipelines.cli.group import cli
from wellbridge.pipelines.cli.output import table
from wellbridge.schemas.errors import MEANINGS, Exit

RUN = "0123456789abcdef" * 2
PROSE = "a long title that says in many words what one short word would say as well, and then some more"


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal of eighty columns."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")


def test_a_table_fits_the_terminal_and_cuts_prose_alone(narrow: None) -> None:
    rows = [{"run": RUN, "title": PROSE, "rows": 12_345}, {"run": RUN, "title": "short", "rows": 1}]
    lines = table(rows).splitlines()
    assert max(map(len, lines)) == 80
    assert all(line.startswith(RUN) for line in lines[2:])
    assert "…" in lines[2]
    assert lines[2].endswith("12,345")


def test_ids_and_paths_are_never_cut(narrow: None) -> None:
    path = "releases/" + "x" * 90
    assert path in table([{"run": RUN, "path": path}])


def test_a_file_or_a_pipe_gets_every_character() -> None:
    assert PROSE in table([{"run": RUN, "title": PROSE}])


def test_numbers_and_times_are_shown_short() -> None:
    shown = table([{"share": 0.15597433841218925, "at": datetime(2026, 9, 28, 1, 2, 3, 456), "ok": True}])
    assert shown.splitlines()[2].split("  ") == ["0.1560", "2026-09-28 01:02:03", "yes"]


def test_a_missing_number_leaves_the_column_to_the_right() -> None:
    assert table([{"row": None}, {"row": 1234}]).splitlines()[3] == "1,234"
    assert table([{"row": 7}, {"row": 1234}, {"row": None}]).splitlines()[2] == "    7"


@pytest.mark.parametrize("code", list(Exit))
def test_an_exit_code_is_explained_as_its_page_says(code: Exit) -> None:
    found = json.loads(CliRunner().invoke(cli, ["explain", str(int(code)), "--json"]).stdout)
    assert found["why"] == MEANINGS[code].text


def test_a_district_is_not_written_over_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "kept.txt").touch()
    found = CliRunner().invoke(cli, ["synth", str(tmp_path), "--json"])
    assert found.exit_code == 10
    assert json.loads(found.stdout)["errors"][0]["code"] == "WB-E-011"
