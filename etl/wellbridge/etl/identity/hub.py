"""What persons said about pairs of records, and the undoing of it: decisions by hand and the constraints they set.

A decision is never changed. Undoing one is another decision, which closes the constraints that the first one set and
sets those again that it had closed; to undo an automatic link is to say that the two are two. The next step of the
hub (``step.link``) decides all records anew that a constraint touches.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final

import polars as pl

from wellbridge.etl.store import Store
from wellbridge.etl.vault import random_keys
from wellbridge.schemas.errors import ConfigurationError

KINDS: Final = {"link": "must", "nonlink": "cannot"}  # outcome of a decision by hand → the constraint it sets
# Why a record is forgotten, as a choice: a text would name the child, and would stay.
WHY_FORGOTTEN: Final[dict[str, str]] = {
    "asked": "The family, or the child grown up, asked for it",
    "law": "A law or a court asks for it",
    "mistake": "The record should not have come",
    "ended": "The purpose for which it was kept has ended",
}
_KEY_START: Final = re.compile("[0-9a-f]{1,32}")


@dataclass(frozen=True)
class By:
    """Who decided, why and in which run; kept with every decision (after 34 CFR 99.32: who, when, for what reason).

    Attributes:
        reviewer: who decided.
        reason: why: a code, or words as ``reasons.sealed_reason`` seals them.
        run_id: the run in which the decision takes effect.
        second: the second reviewer, where there was one.

    Raises:
        ConfigurationError: WB-E-016 without a name or a reason; WB-E-110 when the second reviewer is the first.
    """

    reviewer: str
    reason: str
    run_id: str = ""
    second: str | None = None

    def __post_init__(self) -> None:
        """Refuse what would not tell who or why."""
        for said, option in ((self.reviewer, "--by"), (self.reason, "--reason"), (self.second, "--second")):
            if said is not None and not said.strip():
                raise ConfigurationError("WB-E-016", "A decision needs who and why.", f"{option} is empty")
        if self.second is not None and folded(self.second) == folded(self.reviewer):
            raise ConfigurationError("WB-E-110", "The second reviewer is the first.", "--by · --second")

    def check_count(self, needed: int) -> None:
        """Refuse when fewer persons decided than the site asks for.

        Raises:
            ConfigurationError: WB-E-110.
        """
        if needed > 1 and self.second is None:
            raise ConfigurationError(
                "WB-E-110", "The site asks for two reviewers, and one is named.", "--second"
            )


def folded(name: str) -> str:
    """Return a person's name in the form in which two spellings of it are the same."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def now() -> datetime:
    """Return the instant as the hub writes it: UTC, without a zone."""
    return datetime.now(UTC).replace(tzinfo=None)


def decide_by_hand(
    store: Store,
    pairs: Sequence[tuple[str, str]],
    outcome: str,
    by: By,
    *,
    kind: str = "clerical",
    since: date | None = None,
) -> str:
    """Write down a person's decision about pairs of records and set its constraints; return the decision's id.

    Args:
        store: the vault's store.
        pairs: pairs of records that the decision is about, at least one; the first stands in the decision.
        outcome: "link" (one child), "nonlink" (two children) or "unsure", which sets no constraint.
        by: who and why.
        kind: "clerical", or "import" where the decision came in a file.
        since: the day since which it is so; always, without. For "nonlink": until that day they were one person.

    Raises:
        ConfigurationError: WB-E-015 when a record is not in the hub, is forgotten or is paired with itself; WB-E-016
            when the day is to come.
    """
    if since is not None and since > now().date():
        raise ConfigurationError("WB-E-016", "What will be so on a day to come is not known.", "--since")
    ordered = sorted({(min(pair), max(pair)) for pair in pairs})
    _check(store, ordered)
    decision = _write(store, kind, (min(pairs[0]), max(pairs[0])), outcome, by)
    if outcome in KINDS:
        _close(store, _open_of(store, ordered), decision)
        _set(store, ordered, KINDS[outcome], decision, since)
    return decision


def decide_each(store: Store, said: pl.DataFrame, *, kind: str, run_id: str) -> None:
    """Write down one decision for each of many pairs, and set their constraints, all at once.

    Args:
        store: the vault's store.
        said: ``record_a, record_b`` (in order, known, in no constraint that is in force), ``outcome`` (a key of
            ``KINDS``), ``reviewer1, reviewer2, reason``.
        kind: "clerical", or "import" where the decisions came in a file.
        run_id: the run in which they take effect.
    """
    rows = said.with_columns(
        random_keys(said.height).alias("decision_id"),
        pl.lit(kind).alias("kind"),
        pl.lit(run_id).alias("run_id"),
        pl.lit(now(), pl.Datetime("us")).alias("decided_at"),
    )
    store.run(
        "INSERT INTO decision BY NAME SELECT r.*, p.tier, p.weight, p.levels, p.margin, p.runner_up, p.model_hash "
        "FROM said_rows r LEFT JOIN scored_pair p ON least(p.record_a, p.record_b) = r.record_a "
        "AND greatest(p.record_a, p.record_b) = r.record_b",
        said_rows=rows,
    )
    set_now = rows.select(
        "record_a", "record_b", "decision_id", pl.col("outcome").replace_strict(KINDS).alias("kind"),
        pl.col("decided_at").alias("asserted_from"),
    )  # fmt: skip
    store.run("INSERT INTO link_constraint BY NAME SELECT * FROM set_now", set_now=set_now)
    undecide(store, rows)


def undo(store: Store, decision_id: str, by: By) -> str:
    """Take a decision back; return the id of the decision that does so.

    Args:
        store: the vault's store.
        decision_id: of an automatic link, a decision by hand or an earlier undo; or the start of it.
        by: who and why.

    Raises:
        ConfigurationError: WB-E-015 when there is no such decision, it was undone already, it forgot a record
            (what is destroyed does not come back) or a family's opt-out buried it; WB-E-111 when it changed nothing
            that still stands: an automatic question, or a decision that a later one replaced.
    """
    taken_back = decision(store, decision_id)
    decision_id = str(taken_back["decision_id"])
    if store.value("SELECT count(*) FROM decision WHERE undoes = ?", [decision_id]):
        raise _unknown("The decision was undone already.", f"decision {decision_id}")
    if taken_back["kind"] == "forget":
        raise _unknown("What was forgotten cannot come back.", f"decision {decision_id}")
    if taken_back["kind"] == "opt_out":
        what = "A family takes its opt-out back in the roster's file of opt-outs."
        raise _unknown(what, f"decision {decision_id}")
    pair = (str(taken_back["record_a"]), str(taken_back["record_b"]))
    if taken_back["kind"] == "auto":
        if taken_back["outcome"] != "link":
            raise _nothing_to_undo("An automatic question changes nothing.", decision_id)
        undoing = _write(store, "undo", pair, "none", by, undoes=decision_id)
        _close(store, _open_of(store, [pair]), undoing)
        _set(store, [pair], "cannot", undoing, None)
        return undoing
    columns = "record_a, record_b, kind, since"
    closed = store.frame(f"SELECT {columns} FROM link_constraint WHERE closed_by = ?", [decision_id])
    own = store.frame(
        "SELECT record_a, record_b, decision_id, asserted_from FROM link_constraint "
        "WHERE decision_id = ? AND asserted_to IS NULL",
        [decision_id],
    )
    if not own.height and not closed.height:
        raise _nothing_to_undo("Nothing of the decision stands any more.", decision_id)
    undoing = _write(store, "undo", pair, "none", by, undoes=decision_id)
    _close(store, own, undoing)
    _append(store, closed, undoing)
    return undoing


def records_of(store: Store, decision_id: str) -> list[str]:
    """Return the records that a decision is about.

    Raises:
        ConfigurationError: WB-E-015, as in ``decision``.
    """
    taken = decision(store, decision_id)
    pairs = store.frame(
        "SELECT record_a, record_b FROM link_constraint WHERE decision_id = ? OR closed_by = ?",
        [taken["decision_id"]] * 2,
    )
    named = {taken["record_a"], taken["record_b"], *pairs["record_a"], *pairs["record_b"]} - {None}
    return sorted(str(record) for record in named)


def decision(store: Store, decision_id: str) -> dict[str, object]:
    """Return a decision, named by its id or the start of it.

    Raises:
        ConfigurationError: WB-E-015 when there is none, or more than one. What was given is not repeated: it may be
            anything.
    """
    is_key = _KEY_START.fullmatch(decision_id)
    sql = "SELECT * FROM decision WHERE starts_with(decision_id, ?)"
    found = store.frame(sql, [decision_id]).to_dicts() if is_key else []
    if len(found) != 1:
        raise _unknown(
            "There is no such decision." if not found else "Several decisions begin so.", "decision"
        )
    return found[0]


def constraints(store: Store, records: pl.DataFrame | None = None) -> pl.DataFrame:
    """Return the constraints in force, of some records only where given: ``record_a, record_b, kind, decision_id``."""
    sql = "SELECT record_a, record_b, kind, decision_id FROM link_constraint WHERE asserted_to IS NULL"
    if records is None:
        return store.frame(sql)
    chosen = "(SELECT record_id FROM records)"
    return store.frame(
        f"{sql} AND (record_a IN {chosen} OR record_b IN {chosen})", records=records.select("record_id")
    )


def _check(store: Store, pairs: Sequence[tuple[str, str]]) -> None:
    records = pl.DataFrame({"record_id": sorted({record for pair in pairs for record in pair})})
    known = store.frame(
        "SELECT s.record_id FROM source_record s SEMI JOIN records r ON s.record_id = r.record_id",
        records=records,
    )
    if known.height != records.height or any(a == b for a, b in pairs):
        raise _unknown("A record is not in the hub, or stands twice in a pair.", "record")
    if store.frame("SELECT t.record_id FROM record_tombstone t SEMI JOIN records r USING (record_id)",
                   records=records).height:  # fmt: skip
        raise _unknown("A record was forgotten: nothing is decided about it any more.", "record")


def _unknown(what: str, where: str) -> ConfigurationError:
    return ConfigurationError("WB-E-015", what, where, todo="wellbridge identity status")


def _nothing_to_undo(what: str, decision_id: str) -> ConfigurationError:
    return ConfigurationError("WB-E-111", f"There is nothing to undo. {what}", f"decision {decision_id}")


def _write(
    store: Store, kind: str, pair: tuple[str, str | None], outcome: str, by: By, *, undoes: str | None = None
) -> str:
    decision_id = str(random_keys(1)[0])
    scored = store.frame(
        "SELECT tier, weight, levels, margin, runner_up, model_hash FROM scored_pair "
        "WHERE record_a IN (?, ?) AND record_b IN (?, ?)",
        [*pair, *pair],
    ).to_dicts()
    evidence = scored[0] if scored else {}
    row = {
        "decision_id": decision_id, "kind": kind, "record_a": pair[0], "record_b": pair[1], "outcome": outcome,
        **evidence, "run_id": by.run_id, "reviewer1": by.reviewer, "reviewer2": by.second, "reason": by.reason,
        "undoes": undoes, "decided_at": now(),
    }  # fmt: skip
    store.run("INSERT INTO decision BY NAME SELECT * FROM row", row=_typed(row))
    return decision_id


def _typed(row: dict[str, object]) -> pl.DataFrame:
    kinds: dict[str, pl.DataType | type[pl.DataType]] = {"weight": pl.Float64, "margin": pl.Float64}
    kinds["decided_at"] = pl.Datetime("us")
    return pl.DataFrame([row], schema={name: kinds.get(name, pl.String) for name in row})


def _open_of(store: Store, pairs: Sequence[tuple[str, str]]) -> pl.DataFrame:
    return store.frame(
        "SELECT c.record_a, c.record_b, c.decision_id, c.asserted_from FROM link_constraint c SEMI JOIN pairs p "
        "ON c.record_a = p.record_a AND c.record_b = p.record_b WHERE c.asserted_to IS NULL",
        pairs=pl.DataFrame(pairs, schema=["record_a", "record_b"], orient="row"),
    )


def _close(store: Store, open_ones: pl.DataFrame, closed_by: str) -> None:
    if not open_ones.height:
        return
    store.run(
        "UPDATE link_constraint SET asserted_to = ?, closed_by = ? FROM open_ones o "
        "WHERE link_constraint.record_a = o.record_a AND link_constraint.record_b = o.record_b "
        "AND link_constraint.decision_id = o.decision_id AND link_constraint.asserted_to IS NULL",
        [now(), closed_by],
        open_ones=open_ones,
    )
    undecide(store, open_ones)


def _set(
    store: Store, pairs: Sequence[tuple[str, str]], kind: str, decision_id: str, since: date | None
) -> None:
    rows = pl.DataFrame(pairs, schema=["record_a", "record_b"], orient="row").with_columns(
        pl.lit(kind).alias("kind"), pl.lit(since, pl.Date).alias("since")
    )
    _append(store, rows, decision_id)


def _append(store: Store, rows: pl.DataFrame, decision_id: str) -> None:
    if not rows.height:
        return
    full = rows.with_columns(
        pl.lit(decision_id).alias("decision_id"), pl.lit(now(), pl.Datetime("us")).alias("asserted_from")
    )
    store.run("INSERT INTO link_constraint BY NAME SELECT * FROM full_rows", full_rows=full)
    undecide(store, rows)


def undecide(store: Store, pairs: pl.DataFrame) -> None:
    """Mark the records of pairs, so that the next step decides them anew."""
    records = pl.concat([pairs["record_a"], pairs["record_b"]]).unique().to_frame("record_id")
    store.run(
        "UPDATE source_record SET is_decided = false FROM records r WHERE source_record.record_id = r.record_id",
        records=records,
    )
