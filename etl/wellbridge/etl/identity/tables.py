"""The tables of the identity hub, in the vault's store: sealed records, links over time, decisions and key events.

A record is one source's word about a person; ``record_id`` is its ``subject_key``, random like every key. No column
holds what a source said about a person in clear: attributes are sealed under the record's own key (``sealed``), and
what serves to find candidates is a keyed token. Instants are UTC without a zone.

Source: the reference on linking, 4.2, whose names these are. Two things are otherwise. There is no table of persons:
``subject.own_person_key`` is drawn at a record's first sight, a person is a key with members, and when it began is
its first membership. Standardised attributes are not kept at all: they follow from the sealed ones.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa

HUB: Final = sa.MetaData()

_T, _I, _B, _D, _M, _S = sa.Text(), sa.BigInteger(), sa.Boolean(), sa.Date(), sa.DateTime(), sa.LargeBinary()
_F: Final[sa.Double[float]] = sa.Double()


def _table(name: str, **columns: Any) -> sa.Table:
    return sa.Table(name, HUB, *(sa.Column(column, kind) for column, kind in columns.items()))


# What sources said, one row per record and set of traits that are given; the newest version of each set is kept.
# ``sealed`` is null while the record is buried (``BURIED``): the digest still tells what was said before.
# Which value of a trait counts follows from the versions, whatever the order of the deliveries.
RECORD_PART = _table("record_part", record_id=_T, given=_T, version=_T, digest=_I, sealed=_S)
# What the last step made of a record: the digest of what it says, and under which standard and model (``matcher``).
# Not ``is_read``: something new was said of it. Not ``is_decided``: somebody said something about its links.
SOURCE_RECORD = _table(
    "source_record",
    record_id=_T,
    number=_I,
    source=_T,
    content=_I,
    matcher=_T,
    is_read=_B,
    is_decided=_B,
    seen_at=_M,
    run_id=_T,
)
# By the record's ``number``: there are several tokens a record, and a number takes a fraction of an id's room.
BLOCK_TOKEN = _table("block_token", number=_I, token=_I)
# What groups of children can be told by, found when a record was read: a yes or no, never what it says.
RECORD_MARK = _table("record_mark", record_id=_T, double_surname=_B)
# Every pair that was scored, and what was decided about it last: the review queue is ``outcome = 'review'``.
SCORED_PAIR = _table(
    "scored_pair",
    record_a=_T,
    record_b=_T,
    source_a=_T,
    source_b=_T,
    tier=_T,
    weight=_F,
    levels=_T,
    shares_home=_B,
    first_agrees=_B,
    is_twin_like=_B,
    is_enough=_B,
    bits=_F,
    margin=_F,
    runner_up=_T,
    outcome=_T,
    reason=_T,
    model_hash=_T,
)
# valid: when it was so in the world (null: always, still); asserted: when we believed it (to null: we still do).
MEMBERSHIP = _table(
    "membership",
    record_id=_T,
    person_key=_T,
    valid_from=_D,
    valid_to=_D,
    asserted_from=_M,
    asserted_to=_M,
    decision_id=_T,
)
# kind: auto | clerical | import | undo | forget | opt_out; outcome: link | nonlink | unsure | review | none.
# ``undoes`` is the decision that an undo takes back.
DECISION = _table(
    "decision",
    decision_id=_T,
    kind=_T,
    record_a=_T,
    record_b=_T,
    outcome=_T,
    tier=_T,
    weight=_F,
    levels=_T,
    margin=_F,
    runner_up=_T,
    model_hash=_T,
    run_id=_T,
    reviewer1=_T,
    reviewer2=_T,
    reason=_T,
    undoes=_T,
    decided_at=_M,
)
# kind: must | cannot; record_a < record_b. ``since`` on a cannot: until that day they were one person.
LINK_CONSTRAINT = _table(
    "link_constraint",
    record_a=_T,
    record_b=_T,
    kind=_T,
    since=_D,
    decision_id=_T,
    asserted_from=_M,
    asserted_to=_M,
    closed_by=_T,
)
# Append only. ``hash`` is SHA-256 over the event and the hash before it, so that no event can be changed or left out
# unnoticed by who does not also rewrite all later ones.
KEY_EVENT = _table(
    "key_event",
    seq=_I,
    event_id=_T,
    kind=_T,
    from_key=_T,
    to_key=_T,
    records=_I,
    decision_id=_T,
    run_id=_T,
    happened_at=_M,
    hash=_T,
)
KEY_REDIRECT = _table("key_redirect", old_key=_T, new_key=_T, event_id=_T, asserted_from=_M, asserted_to=_M)
# A forgotten record: its source's id as a keyed token, so that a later delivery of it is known and stays out.
TOMBSTONE = _table("record_tombstone", namespace=_T, token=_T, record_id=_T, decision_id=_T, forgotten_at=_M)
# A partner's record of a child whose family opted out: the tombstone that stands for its source's id while the opt-out
# holds. ``is_lifted``: it holds no more, and the id comes back when it is next read.
BURIED = _table(
    "buried_record",
    namespace=_T,
    token=_T,
    record_id=_T,
    decision_id=_T,
    buried_at=_M,
    is_lifted=_B,
)
IDENTITY_RUN = _table(
    "identity_run",
    run_id=_T,
    ended_at=_M,
    inputs_hash=_T,
    config_hash=_T,
    model_hash=_T,
    code_version=_T,
    engine_versions=_T,
    metrics=_T,
)
# What reviewers answered, one row an answer, append only; a decision follows when enough of them agree. record_a <
# record_b; content_a and content_b tell what the reviewer saw, so that an answer counts for nothing else.
REVIEW_ANSWER = _table(
    "review_answer",
    answer_id=_T,
    record_a=_T,
    record_b=_T,
    content_a=_I,
    content_b=_I,
    outcome=_T,
    reviewer=_T,
    why=_T,
    is_blind=_B,
    kind=_T,
    answered_at=_M,
)
