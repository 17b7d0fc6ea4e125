"""Make a district: block by block of children, every feed of every night, and the truth beside them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl

from wellbridge.pipelines.synth.attendance import Attendance
from wellbridge.pipelines.synth.district import Plan
from wellbridge.pipelines.synth.edfi import EdFi
from wellbridge.pipelines.synth.edfi_students import write_students
from wellbridge.pipelines.synth.fhir_files import Fhir
from wellbridge.pipelines.synth.hl7 import Hospital
from wellbridge.pipelines.synth.measures import Tally
from wellbridge.pipelines.synth.oneroster import OneRoster
from wellbridge.pipelines.synth.others import TOPICS, Notices, OptOuts, Training, odd_deliveries
from wellbridge.pipelines.synth.partners import Partners
from wellbridge.pipelines.synth.people import people_of
from wellbridge.pipelines.synth.seow import write_area_data
from wellbridge.pipelines.synth.truth import Truth

Progress = Callable[[int, int], None]


def generate(
    directory: Path, *, students: int, nights: int, seed: int, progress: Progress | None = None
) -> None:
    """Write a synthetic district: ``directory/night-1..nights/<feed>/`` and ``directory/truth/``.

    The same arguments give the same bytes. Memory does not depend on the number of students.

    Args:
        directory: where to; made if need be, must be empty.
        students: children who are ever enrolled.
        nights: deliveries of each feed; the first holds thirty school days.
        seed: what all randomness comes from.
        progress: called with students done and students in all, after each block.

    Raises:
        ValueError: numbers that make no district.
        FileExistsError: the directory holds something already.
    """
    plan = Plan(directory, students, nights, seed)
    directory.mkdir(parents=True, exist_ok=True)
    if any(directory.iterdir()):
        raise FileExistsError("the directory for a synthetic district must be empty")
    _District(plan).run(progress or (lambda done, of: None))


class _District:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.truth = Truth(plan.directory / "truth")
        self.tally = Tally(plan)
        self.roster = OneRoster(plan, self.truth)
        self.edfi = EdFi(plan, self.truth)
        self.attendance = Attendance(plan, self.truth)
        self.partners = Partners(plan, self.truth)
        self.clinic, self.hospital = Fhir(plan, self.truth), Hospital(plan, self.truth)
        self.notices, self.opt_outs = Notices(plan, self.truth), OptOuts(plan, self.truth)
        self.training = Training(plan, self.truth)

    def run(self, progress: Progress) -> None:
        done = 0
        for block in range(self.plan.blocks):
            people = people_of(self.plan, block)
            self._block(people, block)
            done += people.height
            progress(done, self.plan.students)
        self._close()

    def _block(self, people: pl.DataFrame, block: int) -> None:
        self.truth.person_frame(people)
        self.roster.block(people, block)
        sis, edfi_days = self.attendance.block(people, block)
        self.opt_outs.block(people, block)
        events = {
            **write_students(self.plan, self.edfi, people, edfi_days, block),
            "notices": self.notices.block(people, block),
            **_joined(
                self.clinic.block(people, block),
                self.hospital.block(people, block),
                self.partners.block(people, block),
            ),
        }
        events["attendance"] = pl.concat([sis, events["attendance"]], how="vertical_relaxed")
        final = pl.when(pl.col("move_night") > 0).then("new_school").otherwise("school")
        self.tally.block(people.with_columns(final_school=final), events)

    def _close(self) -> None:
        self.tally.staff(self.plan.staff, self.training.write(), TOPICS)
        for part in (
            self.roster,
            self.edfi,
            self.attendance,
            self.partners,
            self.clinic,
            self.hospital,
            self.notices,
            self.opt_outs,
            self.training,
        ):
            part.close()
        write_area_data(self.plan, self.truth)
        odd_deliveries(self.plan, self.truth)
        self.truth.close(self.tally.result())
        shutil.rmtree(self.plan.directory / ".staging", ignore_errors=True)


def _joined(*parts: dict[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """Put the events of several feeds together, by kind."""
    kinds = {kind for part in parts for kind in part}
    return {
        kind: pl.concat([part[kind] for part in parts if kind in part], how="vertical_relaxed")
        for kind in sorted(kinds)
    }
