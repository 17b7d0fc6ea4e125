"""Why a person decided, in words: sealed, because words about two records name children.

A reason is sealed under the keys of all records that the decision is about, one inside the other. It opens as long as
each of them has its key, so who forgets a record, or buries it, also closes every reason that may name it, in older
copies of the vault too. The decision itself is never changed.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import Any, Final

from wellbridge.etl.identity.erasure import keyless
from wellbridge.etl.identity.sealed import Seals
from wellbridge.etl.vault import Vault

_MARK: Final = "sealed"
_KIND: Final = "reason"


def sealed_reason(vault: Vault, records: Sequence[str], reason: str) -> str:
    """Return a reason as it stands in the vault; see ``sealed_reasons``."""
    return sealed_reasons(vault, [records], reason)[0]


def sealed_reasons(vault: Vault, about: Sequence[Sequence[str]], reason: str) -> list[str]:
    """Return the one reason of several decisions as it stands in the vault with each of them.

    A record that no key may open any more draws none for this; of such records alone nothing would open.

    Args:
        vault: the vault.
        about: of each decision, ids of all records that it is about.
        reason: in the words of who decided.
    """
    gone = set(keyless(vault.store))
    named = [sorted(set(records) - gone) for records in about]
    texts = [reason if records else "" for records in named]
    for depth in range(max(map(len, named), default=0)):
        at = [place for place, records in enumerate(named) if len(records) > depth]
        sealed = vault.seals.seal([named[n][depth] for n in at], [_KIND] * len(at), [texts[n] for n in at])
        for place, text in zip(at, sealed, strict=True):
            texts[place] = b64encode(text).decode()
    return [f"{_MARK}:{','.join(records)}:{text}" for records, text in zip(named, texts, strict=True)]


def opened_reason(seals: Seals, reason: str | None) -> str | None:
    """Return a reason in the words of who decided; None where a record that it may name has lost its key.

    Automatic reasons, rules and the choices of reviewers stand in clear and are returned as they are.

    Raises:
        StoreError: WB-E-052 when it is not as it was sealed.
    """
    if reason is None or not reason.startswith(f"{_MARK}:"):
        return reason
    _, named, text = reason.split(":")
    opened: str | None = text or None
    for record in reversed(named.split(",")):
        opened = None if opened is None else seals.open([record], [_KIND], [b64decode(opened)])[0]
    return opened


def with_reasons(seals: Seals, decisions: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return decisions with their reasons opened."""
    return [{**one, "reason": opened_reason(seals, one["reason"])} for one in decisions]
