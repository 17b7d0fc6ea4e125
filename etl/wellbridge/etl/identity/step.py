"""Linking by exact rules: a partner's record joins a student only where name and birth date leave no doubt.

The result is a pure function of what the vault holds, so the order of deliveries does not matter. A record that no
rule links keeps a person of its own: a wrong link puts one child's care on another child, a missing one does not.

Rules, the first that links wins:
    1. the record carries the district's student number;
    2. first name, last name, birth date and one of ZIP code, phone or address agree, unique on both sides;
    3. first name, last name and birth date agree, unique on both sides.
A stated sex that differs forbids the link. In feeds of notices (namespace ``client``) several records may be about
one child, so there only the roster's side must be unique.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from wellbridge.etl.vault import TRAIT_NAMES, Vault

_ANCHOR: Final = "student"
_RULES: Final = (
    ("first_name", "last_name", "birth_date", "zip_code"),
    ("first_name", "last_name", "birth_date", "phone"),
    ("first_name", "last_name", "birth_date", "address"),
    ("first_name", "last_name", "birth_date"),
)


def link(vault: Vault) -> pl.DataFrame:
    """Decide every subject's person again; store and return ``subject_key, person_key`` of those that moved."""
    people = _people(vault)
    anchors = people.filter(pl.col("namespace") == _ANCHOR)
    others = people.filter(pl.col("namespace") != _ANCHOR)
    linked = _decide(anchors, others)
    wanted = (
        people.select("subject_key", "own_person_key", "person_key")
        .join(linked, on="subject_key", how="left")
        .with_columns(pl.coalesce("anchor_person_key", "own_person_key").alias("wanted"))
    )
    moved = wanted.filter(pl.col("wanted") != pl.col("person_key")).select(
        "subject_key", pl.col("wanted").alias("person_key")
    )
    vault.set_persons(moved)
    return moved


def _people(vault: Vault) -> pl.DataFrame:
    known = vault.store.frame(
        "SELECT s.subject_key, s.namespace, s.own_person_key, s.person_key, k.source_id "
        "FROM subject s JOIN source_key k ON k.key = s.subject_key"
    )
    traits = vault.store.frame("SELECT subject_key, trait, value FROM trait").pivot(
        on="trait", on_columns=TRAIT_NAMES, index="subject_key", values="value"
    )
    raw = known.join(traits, on="subject_key", how="left")
    letters = [_letters(pl.col(name)).alias(name) for name in ("first_name", "last_name", "address")]
    digits = pl.col("phone").str.replace_all(r"\D", "").str.slice(-10).alias("phone")
    return raw.with_columns(
        *letters, digits, pl.col("zip_code").str.slice(0, 5), pl.col("sex").str.to_lowercase().str.slice(0, 1)
    )


def _letters(name: pl.Expr) -> pl.Expr:
    folded = name.str.normalize("NFKD").str.to_lowercase().str.replace_all(r"[^\p{L}\p{N}]+", "")
    return pl.when(folded != "").then(folded)


def _decide(anchors: pl.DataFrame, others: pl.DataFrame) -> pl.DataFrame:
    by_number = (
        others.filter(pl.col("student_number").is_not_null())
        .join(
            anchors.select(
                pl.col("source_id").alias("student_number"),
                pl.col("own_person_key").alias("anchor_person_key"),
            ),
            on="student_number",
        )
        .select("subject_key", "anchor_person_key")
    )
    found = [by_number]
    for rule in _RULES:
        decided = pl.concat(found).select("subject_key")
        found.append(_agree(anchors, others.join(decided, on="subject_key", how="anti"), rule))
    return pl.concat(found)


def _agree(anchors: pl.DataFrame, others: pl.DataFrame, rule: tuple[str, ...]) -> pl.DataFrame:
    whole = pl.all_horizontal(pl.col(name).is_not_null() for name in rule)
    one_anchor = anchors.filter(whole).filter(pl.len().over(rule) == 1)
    one_record = others.filter(whole).filter(
        (pl.len().over("namespace", *rule) == 1) | pl.col("namespace").str.ends_with("/client")
    )
    pairs = one_record.join(
        one_anchor.select(
            *rule, pl.col("own_person_key").alias("anchor_person_key"), pl.col("sex").alias("anchor_sex")
        ),
        on=list(rule),
    )
    same_sex = (
        pl.col("sex").is_null() | pl.col("anchor_sex").is_null() | (pl.col("sex") == pl.col("anchor_sex"))
    )
    return pairs.filter(same_sex).select("subject_key", "anchor_person_key")
