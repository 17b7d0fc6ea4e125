"""What a recipient's other agreements say of it: data not destroyed in time, or a bar after an improper redisclosure.

Source: 34 CFR 99.35(b)(2), 99.31(a)(6)(iii)(B) (destruction when no longer needed); 20 USC 1232g(b)(4)(B) (no access
for at least five years to a party that redisclosed or did not destroy). Rules F-07 and F-09.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

from wellbridge.privacy.agreements import Agreement, load_agreement
from wellbridge.privacy.attestations import is_attested
from wellbridge.schemas.errors import PrivacyError


def is_overdue(folder: Path, agreement: Agreement, today: date) -> bool:
    """Whether the day of destruction is past and no document attests that the data are destroyed.

    Args:
        folder: the site's folder of agreements.
        agreement: one of them.
        today: the day that counts.
    """
    return agreement.destruction_date < today and not is_attested(folder, agreement)


def is_barred(agreement: Agreement, today: date) -> bool:
    """Whether the recipient has no access yet."""
    return agreement.debarred_until is not None and today < agreement.debarred_until


def check_party(folder: Path, agreement: Agreement, today: date) -> None:
    """Refuse a release to a recipient who owes destruction, or is barred, under any agreement.

    A file that cannot be understood is no reason to refuse another's agreement; ``policy check`` names it.

    Raises:
        PrivacyError: WB-E-072, naming the agreements.
    """
    others = [other for other in _readable(folder) if _party(other) == _party(agreement)]
    owed = sorted(other.id for other in others if is_overdue(folder, other, today))
    barred = sorted(other.id for other in others if is_barred(other, today))
    if owed or barred:
        parts = [
            *([f"destruction is overdue under {', '.join(owed)} (F-07)"] if owed else []),
            *([f"the recipient is barred under {', '.join(barred)} (F-09)"] if barred else []),
        ]
        raise PrivacyError(
            "WB-E-072", "The recipient has not kept an earlier agreement.",
            f"agreement {agreement.id} · {' · '.join(parts)}",
        )


def _party(agreement: Agreement) -> str:
    return " ".join(agreement.recipient.casefold().split())


def _readable(folder: Path) -> Iterator[Agreement]:
    for path in sorted(folder.glob("*.toml")):
        found = None
        try:
            found = load_agreement(path)
        except PrivacyError:
            found = None
        if found is not None:
            yield found
