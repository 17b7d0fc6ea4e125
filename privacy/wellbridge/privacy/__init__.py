"""What may be known: policy, agreements, sealing, table and record protection.

The functions behind ``wellbridge privacy`` bear its commands' names::

    from wellbridge.privacy import assess, anonymize, protect, attack, certify, verify

``assess`` and ``anonymize`` take a frame of records, ``protect`` a frame of counts; ``attack``, ``certify`` and
``verify`` take folders of published tables. Each is loaded when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from wellbridge.privacy.records.anonymize import anonymize as anonymize
    from wellbridge.privacy.records.assess import assess as assess
    from wellbridge.privacy.tables.folders import attack as attack
    from wellbridge.privacy.tables.folders import certify as certify
    from wellbridge.privacy.tables.protection import protect as protect
    from wellbridge.privacy.tables.verifier import verify as verify

_HOME: Final = {
    "assess": "records.assess",
    "anonymize": "records.anonymize",
    "protect": "tables.protection",
    "attack": "tables.folders",
    "certify": "tables.folders",
    "verify": "tables.verifier",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
