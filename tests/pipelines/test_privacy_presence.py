"""``privacy anonymize --policy`` with [presence]: that somebody is in the file must not follow from the population."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from pipelines.answer import Answer
from pipelines.test_privacy_records import GRADES, pupils, run

POLICY = """
k = 5
max_suppressed = 0.2
[columns]
student = "direct"
grade = "quasi"
sex = "quasi"
school = "plain"
score = "plain"
note = "free_text"
seen = "plain"
[quasi.grade]
hierarchy = "grade.csv"
"""


def asked(folder: Path, presence: str) -> Answer:
    (folder / "policy.toml").write_text(POLICY + presence, encoding="utf-8")
    return run("anonymize", folder / "part.csv", "--policy", folder / "policy.toml", "--out", folder / "out.csv",
               "--json")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tenth of the pupils, but all of one sex and grade."""
    everybody = pupils(600)
    everybody.write_csv(tmp_path / "everybody.csv")
    drawn = (pl.col("grade") == "10") & (pl.col("sex") == "f") | (pl.int_range(pl.len()) % 10 == 0)
    everybody.filter(drawn).write_csv(tmp_path / "part.csv")
    (tmp_path / "grade.csv").write_text(GRADES, encoding="utf-8")
    return tmp_path


def test_a_class_that_is_in_the_file_whole_refuses_it_and_a_wider_limit_lets_it_leave(folder: Path) -> None:
    assert asked(folder, "").exit == 0
    released = pl.read_csv(folder / "out.csv", infer_schema=False)
    (folder / "out.csv").unlink()
    everybody = pl.read_csv(folder / "everybody.csv", infer_schema=False)
    # The share by counting, of the class that is most present at the levels that were taken.
    labels = dict(line.split(";")[:2] for line in GRADES.split())
    levels = {grade: grade if grade in set(released["grade"]) else labels[grade] for grade in labels}
    coarse = everybody.with_columns(pl.col("grade").replace(levels)).group_by("grade", "sex").len("all")
    shares = released.group_by("grade", "sex").len("some").join(coarse, on=["grade", "sex"], how="left")
    most = float((shares["some"] / shares["all"]).max())  # type: ignore[arg-type]  # a number
    limit = "[presence]\npopulation = 'everybody.csv'\ngreatest = {}\n"
    refused = asked(folder, limit.format(round(most - 0.02, 4)))
    assert (refused.exit, refused.error["code"]) == (14, "WB-E-043")
    assert not (folder / "out.csv").exists()
    assert asked(folder, limit.format(min(1.0, round(most + 0.02, 4)))).exit == 0


@pytest.mark.parametrize(("text", "code"), [
    ("[presence]\npopulation = 'none.csv'\n", "WB-E-023"), ("[presence]\npopulation = 3\n", "WB-E-011"),
    ("[presence]\npopulation = 'everybody.csv'\ngreatest = 2\n", "WB-E-011"),
    ("[presence]\npopulation = 'grade.csv'\n", "WB-E-015"), ("[presence]\nleast = 1\n", "WB-E-015"),
])
def test_a_presence_that_cannot_be_meant_is_refused(folder: Path, text: str, code: str) -> None:
    assert asked(folder, text).error["code"] == code
    assert not (folder / "out.csv").exists()
