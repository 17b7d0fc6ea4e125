"""The steps of a night, in order, inside one transaction of each store."""

from __future__ import annotations

import importlib.metadata
import uuid
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import polars as pl

from wellbridge.etl.failpoint import reach
from wellbridge.etl.identity.history import dated
from wellbridge.etl.identity.step import link
from wellbridge.etl.inbox import Arrival, SeenFiles
from wellbridge.etl.landing import Landing
from wellbridge.etl.loading import insert, place_in_time, relink
from wellbridge.etl.vault import Vault
from wellbridge.pipelines.measures.compute import compute
from wellbridge.pipelines.nightly.answers import close_superseded
from wellbridge.pipelines.nightly.burial import follow_opt_outs, recall
from wellbridge.pipelines.nightly.chain import note_chain
from wellbridge.pipelines.nightly.disputes import hold_disputed
from wellbridge.pipelines.nightly.identity_change import finish_forgetting
from wellbridge.pipelines.nightly.intake import prepare_delivery, take
from wellbridge.pipelines.nightly.link_gates import check_links
from wellbridge.pipelines.nightly.mending import follow_consents, found_parents, place_again, retry_rows
from wellbridge.pipelines.nightly.night import Night, delivery_of
from wellbridge.pipelines.nightly.placing import place
from wellbridge.pipelines.nightly.problems import problems
from wellbridge.pipelines.nightly.run import Progress, RunReport, Wanted
from wellbridge.pipelines.nightly.shelf import Shelf
from wellbridge.pipelines.nightly.stores import open_stores, seals_of, write_event
from wellbridge.pipelines.policy.site_rules import remember, rules_of
from wellbridge.pipelines.site import Site
from wellbridge.pipelines.sources.source import source
from wellbridge.pipelines.students import derive_students
from wellbridge.privacy.consent import standing
from wellbridge.privacy.policy import policy_hash
from wellbridge.privacy.seal import Sealer, read_key
from wellbridge.schemas.errors import OUTCOMES, Exit
from wellbridge.schemas.warehouse import EXTRACT_REFUSAL, METADATA, PERSON_TABLES

# Whose a subject is, and whose it was until a day: a refusal of either reaches it, and it speaks for both.
_SUBJECTS: Final = (
    "SELECT subject_key, person_key FROM subject UNION ALL "
    "SELECT record_id, person_key FROM membership WHERE asserted_to IS NULL AND valid_to IS NOT NULL"
)


def run_walk(
    site: Site, arrived: list[Arrival], seen: SeenFiles, wanted: Wanted, progress: Progress
) -> RunReport:
    """Run a night's steps and commit them; the site is locked by the caller.

    Args:
        site: the site.
        arrived: what lies in the inboxes and was not dealt with.
        seen: the cache of what was; saved at the end.
        wanted: held work to try again.
        progress: called with feed, step and rows so far.

    Raises:
        SafeError: the run stopped; neither store changed.
    """
    rules = rules_of(site.root)
    landing = Landing(site.landing, site.work, Sealer(read_key(site.key)))
    landing.clear_work()
    run_id = uuid.uuid4().hex
    started = datetime.now(UTC)
    finish_forgetting(site)
    with open_stores(site, run_id) as (warehouse, vault):
        who = Vault(vault, seals_of(site))
        night = Night(site, run_id, warehouse, who, landing, Shelf(site.work), progress, rules=rules)
        who.recall = partial(recall, night)
        touched = _walk(night, arrived, wanted)
        night.tally.check()
        links = check_links(night, is_by_person=wanted.change is not None) if touched else None
        report = replace(_report(night, run_id, wanted), links=links)
        if touched:
            follow_opt_outs(night)  # once no gate can stop the night any more
            note_chain(night)
            _write_ledger(night, report, started)
        progress("", "commit", 0)
    finish_forgetting(site)
    landing.clear_work()
    waiting = {(item.feed, item.name) for item in night.waiting}
    for arrival in arrived:
        if (arrival.feed, arrival.path.name) not in waiting:
            seen.add(arrival)
    seen.save()
    reach("seen.saved")
    if touched:
        remember(site, rules)
    return report


def _walk(night: Night, arrived: list[Arrival], wanted: Wanted) -> bool:
    """Do the steps of a night in order; return whether anything was taken, tried again or held."""
    night.load_batches()
    before = _standing(night)
    known = set(night.batches)
    batches = _released_deliveries(night, wanted)
    ranked = sorted(arrived, key=lambda a: (source(night.site.feeds[a.feed].kind).rank, a.feed, a.path.name))
    for arrival in ranked:
        feed = night.site.feeds[arrival.feed]
        batch = take(night, feed, source(feed.kind), arrival)
        if batch is not None:
            batches.append(batch)
    if set(night.batches) == known and not batches and wanted.rows is None and wanted.change is None:
        return False
    reach("intake.done")
    batches, is_taken_out = hold_disputed(night, batches)
    for batch in batches:
        night.tally.include(batch.tally)
    if wanted.change is not None:
        write_event(night.warehouse, *_changed(night, wanted.change))
    moved = link(night.vault, night.run_id, night.matcher)
    relink(night.warehouse, PERSON_TABLES, moved)
    night.standing = _standing(night)
    for batch in batches:
        batch.persons = moved if moved.height else None
        place(night, batch)
        reach("placing.delivery")
        night.landing.forget_plain(batch.delivery.batch_id)
    follow_consents(night, before)
    if is_taken_out:
        place_again(night, night.taken_before())
    _mend(night, wanted)
    close_superseded(night)
    place_in_time(night.warehouse, PERSON_TABLES, dated(night.vault.store))
    reach("mending.done")
    _derive(night)
    reach("derive.done")
    return True


def _changed(night: Night, change: Callable[[Vault, str], tuple[str, str]]) -> tuple[str, str, str]:
    action, detail = change(night.vault, night.run_id)
    return action, night.run_id, detail


def _mend(night: Night, wanted: Wanted) -> None:
    """Try held rows again; a decision or a name among them may change who may be shared, so all rows follow."""
    if wanted.rows is None and not found_parents(night).height:
        return
    is_tried = wanted.rows is not None and retry_rows(night, wanted.rows) > 0
    while (rows := found_parents(night)).height and retry_rows(night, rows):
        is_tried = True  # a row that found its place may be the one that others wait for
    relink(night.warehouse, PERSON_TABLES, link(night.vault, night.run_id, night.matcher))
    if is_tried:
        applied, night.standing = night.standing, _standing(night)
        follow_consents(night, applied, all_placed=True)


def _released_deliveries(night: Night, wanted: Wanted) -> list[Any]:
    batches = []
    for batch_id in wanted.deliveries:
        row = night.batches[batch_id]
        feed = night.site.feeds[row["feed"]]
        delivery = delivery_of(row, night.landing.open(batch_id))
        night.vault.store.run("DELETE FROM held_row WHERE batch_id = ?", [batch_id])
        batch = prepare_delivery(night, feed, source(feed.kind), delivery)
        if batch is not None:
            batches.append(batch)
    return batches


def _standing(night: Night) -> pl.DataFrame:
    store = night.vault.store
    return standing(
        store.frame("SELECT subject_key, decision, start_date, end_date, is_active FROM consent"),
        store.frame(_SUBJECTS),
        night.as_of(),
    )


def _refusing_persons(night: Night) -> pl.DataFrame:
    """Return the persons whose family opted out of all sharing, as of the newest day."""
    day = night.as_of()
    return night.vault.store.frame(
        f"SELECT DISTINCT s.person_key FROM consent c JOIN ({_SUBJECTS}) s USING (subject_key) "
        "WHERE c.decision = 'optout_all' AND c.is_active AND coalesce(c.start_date <= ?, true) "
        "AND coalesce(c.end_date > ?, true)",
        [day, day],
    )


def _derive(night: Night) -> None:
    night.warehouse.run("DELETE FROM extract_refusal")
    insert(night.warehouse, EXTRACT_REFUSAL, _refusing_persons(night))
    night.progress("", "students", 0)
    derive_students(night.warehouse)
    night.progress("", "measures", 0)
    values = compute(night.warehouse, night.as_of())
    night.warehouse.run("DELETE FROM measure_value")
    insert(night.warehouse, METADATA.tables["measure_value"], values)


def _report(night: Night, run_id: str, wanted: Wanted) -> RunReport:
    tally = night.tally
    deliveries = [
        {
            "feed": row["feed"],
            "name": row["file_name"],
            "status": row["status"],
            "rule": row["rule"],
            "batch_id": row["batch_id"],
        }
        for row in night.batches.values()
        if row["run_id"] == run_id
    ]
    reasons = [
        {"feed": feed, "resource": resource, "rule": rule, "rows": rows}
        for (feed, resource, rule), rows in sorted(tally.reasons.items())
        if rows
    ]
    code = _exit(night, deliveries, is_still_held=_is_still_held(night, wanted))
    return RunReport(
        run_id,
        code,
        {name: asdict(tally.feeds[name]) for name in sorted(tally.feeds)},
        reasons,
        [asdict(item) for item in night.waiting],
        deliveries,
        [] if code in {Exit.DONE, Exit.NOTHING_NEW} else problems(night, deliveries),
    )


def _is_still_held(night: Night, wanted: Wanted) -> bool:
    """Say whether a row that was to be tried again is held as before."""
    if wanted.rows is None or not wanted.rows.height:
        return False
    found = night.vault.store.frame(
        "SELECT 1 FROM held_row h SEMI JOIN wanted w ON h.batch_id = w.batch_id AND h.file = w.file "
        'AND h."row" = w."row" WHERE h.status = \'open\' LIMIT 1',
        wanted=wanted.rows,
    )
    return found.height > 0


def _exit(night: Night, deliveries: list[dict[str, Any]], *, is_still_held: bool) -> Exit:
    taken = any(row["status"] == "taken" for row in deliveries)
    refused = any(row["status"] == "held" for row in deliveries)
    is_read = any(c.read for c in night.tally.feeds.values())
    if not (taken or refused or is_still_held or is_read):
        return Exit.SOURCE if night.waiting else Exit.NOTHING_NEW
    if night.site.fail_on == "held":
        if refused and not taken:
            return Exit.CONTRACT
        is_over = any(c.held > night.site.held_limit * c.read for c in night.tally.feeds.values())
        if refused or is_still_held or is_over:
            return Exit.HELD
    return Exit.DONE


def _write_ledger(night: Night, report: RunReport, started: datetime) -> None:
    tables, warehouse = METADATA.tables, night.warehouse
    ended = datetime.now(UTC)
    insert(
        warehouse,
        tables["run"],
        pl.DataFrame(
            [
                {
                    "run_id": report.run_id,
                    "started_at": started.replace(tzinfo=None),
                    "ended_at": ended.replace(tzinfo=None),
                    "outcome": OUTCOMES[report.exit],
                    "exit_code": int(report.exit),
                    "policy_hash": policy_hash(night.rules),
                    "code_version": importlib.metadata.version("wellbridge"),
                }
            ]
        ),
    )
    if report.feeds:
        insert(
            warehouse,
            tables["run_feed"],
            pl.DataFrame(
                [{"run_id": report.run_id, "feed": feed, **counts} for feed, counts in report.feeds.items()]
            ),
        )
    if report.reasons:
        insert(
            warehouse,
            tables["run_reason"],
            pl.DataFrame(report.reasons).with_columns(pl.lit(report.run_id).alias("run_id")),
        )
    _move_cursors(night, report.run_id)
    write_event(warehouse, "run", report.run_id, OUTCOMES[report.exit])


def _move_cursors(night: Night, run_id: str) -> None:
    """Each feed's cursor is the newest delivery taken; a held row never moves it past itself, it stays held."""
    night.warehouse.run("DELETE FROM cursor")
    night.warehouse.run(
        "INSERT INTO cursor SELECT feed, max(coalesce(CAST(period_end AS VARCHAR), '0000-00-00') || '.' || "
        "lpad(CAST(revision AS VARCHAR), 3, '0')), ? FROM batch WHERE status = 'taken' GROUP BY feed",
        [run_id],
    )
