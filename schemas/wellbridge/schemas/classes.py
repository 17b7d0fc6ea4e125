"""Privacy classes: what a column says about a child, and so what may happen to it.

The classes and the rule "no class, no load" keep 34 CFR 99.3 (personally identifiable information) and
45 CFR 164.514(b)(2) (the eighteen identifiers); see ``wellbridge.privacy.policy`` for what each class allows.
"""

from __future__ import annotations

from enum import StrEnum


class PrivacyClass(StrEnum):
    """What a column says about a person.

    DIRECT: names the person or a relative, alone (name, address, phone, source id); never leaves the vault.
    KEY: a random key of the vault, standing for a DIRECT id; stays in the warehouse, never in an extract.
    QUASI: identifies in combination (birth date, ZIP, grade, school, race); generalised as policy says.
    SENSITIVE: what must not be learnt about a known child (score, discipline, diagnosis, service).
    PLAIN: says nothing about a person (dates of a calendar, codes of a program, counts of an area).
    FREE_TEXT: may hold anything, so treated as DIRECT.
    """

    DIRECT = "direct"
    KEY = "key"
    QUASI = "quasi"
    SENSITIVE = "sensitive"
    PLAIN = "plain"
    FREE_TEXT = "free_text"


class Regime(StrEnum):
    """The law a record arrives under, set by its contract and never inferred from its content."""

    FERPA = "FERPA"
    HIPAA = "HIPAA"
    PART2 = "PART2"
    PUBLIC = "PUBLIC"
