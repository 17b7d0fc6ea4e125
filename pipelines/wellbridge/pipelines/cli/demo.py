"""``wellbridge demo``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from time import monotonic

import click

from wellbridge.pipelines.cli.output import Progress, command, document, json_option, show_json, table
from wellbridge.schemas.errors import Exit


@click.command()
@click.option(
    "--site",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    help="Folder for the demo's site.  [default: a new folder wellbridge-demo-N]",
)
@click.option(
    "--students", type=click.IntRange(min=50), default=5_000, show_default=True, help="Size of the district."
)
@click.option(
    "--nights", type=click.IntRange(min=1), default=3, show_default=True, help="Nights of deliveries."
)
@click.option("--seed", type=int, default=1, show_default=True, help="Same seed, same district.")
@json_option
@command
def demo(directory: Path | None, students: int, nights: int, seed: int, as_json: bool) -> Exit:
    """Show the whole walk on a synthetic district.

    Makes a site, a synthetic district with planted defects, runs each night, compares what came out with the truth,
    builds both extracts and the page for the district's lead.
    """
    from wellbridge.pipelines.cli.nights import show_report
    from wellbridge.pipelines.demo import (
        check_deliveries,
        check_held,
        check_removed,
        measures_beside_truth,
        run_nights,
    )
    from wellbridge.pipelines.releases import build_all
    from wellbridge.pipelines.report import write_site_report
    from wellbridge.pipelines.site import init_site
    from wellbridge.pipelines.synth.generate import generate

    say = (lambda _text="": None) if as_json else click.echo
    began = monotonic()
    root = directory or _new_folder()
    site = init_site(root, district="Synthetic Unified School District")
    synthetic = root / "synthetic"
    progress = Progress()
    say(f"A synthetic district of {students:,} students, {nights} nights, seed {seed}, in {root}\n")
    generate(
        synthetic,
        students=students,
        nights=nights,
        seed=seed,
        progress=lambda done, _of: progress("synth", "students", done),
    )
    reports = []
    for number, report in enumerate(run_nights(site, synthetic, progress), start=1):
        progress.close()
        say(f"── night {number} " + "─" * 60)
        if not as_json:
            show_report(report, is_brief=True)
        say()
        reports.append(report)
    truth = synthetic / "truth"
    checks = [check_held(site, truth), check_deliveries(site, truth), check_removed(site, truth)]
    measures = measures_beside_truth(site, truth)
    releases = build_all(site)
    page = write_site_report(site)
    honest = all(check.holds for check in checks) and all(row["same"] for row in measures)
    code = Exit.DONE if honest else Exit.VERIFY
    if as_json:
        show_json(
            document(
                code,
                site=str(root),
                nights=[report.as_dict() for report in reports],
                checks=[{**asdict(check), "holds": check.holds} for check in checks],
                measures=measures,
                releases=[str(path) for path in releases],
                report=str(page),
            )
        )
        return code
    say("── against the truth " + "─" * 50)
    say("The district knows every mistake that it planted and every refusal. Rows that agree, or do not:\n")
    say(table([{**asdict(check), "holds": check.holds} for check in checks]))
    say("\nEach measure: the warehouse's; what rows neither held nor removed must give; the whole truth.\n")
    say(table(measures))
    say()
    for path in releases:
        say(f"extract  {path}")
    say(f"page     {page}")
    verdict = "The walk agrees with the truth" if honest else "The walk DIFFERS from the truth; see above"
    say(f"\n{verdict} ({monotonic() - began:.0f} s).")
    return code


def _new_folder() -> Path:
    number = 1
    while (path := Path(f"wellbridge-demo-{number}")).exists():
        number += 1
    return path
