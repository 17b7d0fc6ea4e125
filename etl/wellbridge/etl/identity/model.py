"""The model: weights of the levels and the limits, as a versioned JSON file that names who answers for it.

A model says nothing of today's data, so a pair scored in one night and a pair scored in another are comparable, and
the order of deliveries does not matter. Its SHA-256 stands in every decision.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from wellbridge.etl.identity.comparisons import Comparison, comparison
from wellbridge.etl.identity.decide import Limits
from wellbridge.etl.identity.standard import STANDARD_VERSION
from wellbridge.etl.identity.statements import is_column
from wellbridge.privacy.seal import wrote_new
from wellbridge.schemas.errors import ConfigurationError, StoreError

FORMAT: Final = 1
CHILDREN: Final = "children-v1"
M_FLOOR: Final = (
    0.002  # no level is rarer than this among true pairs: a wrong sex happens (linkage.md 4.1 (3))
)
U_FLOOR: Final = 1e-9
GUARDS: Final = (
    "first_name",
    "twin",
)  # children's; where homes are not compared there are no siblings to guard


@dataclass(frozen=True)
class Weight:
    """How often a level holds.

    Attributes:
        m: share of true pairs that are at this level.
        u: share of other pairs that are; None where ``others`` is given.
        others: for levels that mean one home: how many records of OTHER children are at this level with a record, on
            average. Of N records that is others / N of the pairs; the N is in the prior too, and cancels.
        linked: share of the links of the training files that are at this level; what drift is measured from.
    """

    m: float
    u: float | None = None
    others: float | None = None
    linked: float | None = None

    @property
    def bits(self) -> float:
        """Return the evidence of the level in bits."""
        expected = self.u if self.others is None else self.others
        return math.log2(max(self.m, M_FLOOR)) - math.log2(max(expected or 0.0, U_FLOOR))


@dataclass(frozen=True)
class Compared:
    """A comparison with its weights, from the lowest level to the highest."""

    comparison: Comparison
    weights: tuple[Weight, ...]


@dataclass(frozen=True)
class Model:
    """What a score depends on.

    Attributes:
        name: "children", with ``version``: goes up with every change.
        compared: comparisons and weights; a pair's digits follow this order.
        blocking: each a list of keys (``blocking.KEYS`` or columns); pairs that agree in all keys of one are scored.
        needs: each a list of columns of which one must be filled, for a link without a person.
        limits: where a weight becomes a link or a question.
        born: first and last birth date that are believed.
        guards: of ``GUARDS``, those that are asked.
        about: where it comes from: made (date), reviewer, trained_on, method.
    """

    name: str
    version: int
    compared: tuple[Compared, ...]
    blocking: tuple[tuple[str, ...], ...]
    needs: tuple[tuple[str, ...], ...]
    limits: Limits
    born: tuple[date, date]
    guards: tuple[str, ...] = GUARDS
    about: Mapping[str, str] = field(default_factory=dict)

    @property
    def comparisons(self) -> tuple[Comparison, ...]:
        """Return the comparisons in the order of the digits."""
        return tuple(one.comparison for one in self.compared)

    @cached_property
    def content(self) -> dict[str, Any]:
        """Return all that the hash is over."""
        return {
            "format": FORMAT,
            "name": self.name,
            "version": self.version,
            "standard_version": STANDARD_VERSION,
            "about": dict(self.about),
            "born": [day.isoformat() for day in self.born],
            "limits": {name: getattr(self.limits, name) for name in Limits.__dataclass_fields__},
            "guards": list(self.guards),
            "needs": [list(one) for one in self.needs],
            "blocking": [list(one) for one in self.blocking],
            "comparisons": [
                {
                    "name": one.comparison.name,
                    "levels": [
                        {"label": level.label, **{k: v for k, v in vars(weight).items() if v is not None}}
                        for level, weight in zip(one.comparison.levels, one.weights, strict=True)
                    ],
                }
                for one in self.compared
            ],
        }

    @cached_property
    def sha256(self) -> str:
        """Return the hash of the content: JSON, keys sorted, without spaces."""
        return sha256(json.dumps(self.content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    def level(self, comparison_name: str, digits: str) -> int:
        """Return a comparison's digit in ``levels`` of a scored pair."""
        return int(digits[[one.name for one in self.comparisons].index(comparison_name)])

    @property
    def _text(self) -> str:
        return json.dumps({**self.content, "sha256": self.sha256}, indent=1) + "\n"

    def write(self, path: Path) -> None:
        """Write the model with its hash, in place of what is there."""
        path.write_text(self._text, "utf-8")

    def write_new(self, path: Path) -> None:
        """Write the model where no file is: never over a model in force.

        Raises:
            StoreError: WB-E-050, a file is there, or the folder does not take one.
        """
        if not wrote_new(path, lambda file: file.write(self._text.encode())):
            raise StoreError(
                "WB-E-050", "The model cannot be written.", f"file {path.name}",
                todo="Name a new file in a folder that exists and may be written to",
            )  # fmt: skip

    @property
    def linked_shares(self) -> dict[str, list[float]]:
        """Return the shares of levels among the links of the training files, by comparison."""
        known = [one for one in self.compared if all(weight.linked is not None for weight in one.weights)]
        return {one.comparison.name: [weight.linked or 0.0 for weight in one.weights] for one in known}

    def with_linked_shares(self, shares: Mapping[str, Sequence[float]]) -> Model:
        """Return the model with what its links looked like."""
        return replace(
            self,
            compared=tuple(
                replace(
                    one,
                    weights=tuple(
                        replace(weight, linked=share)
                        for weight, share in zip(one.weights, shares[one.comparison.name], strict=True)
                    ),
                )
                for one in self.compared
            ),
        )

    def with_limits(self, **changes: float) -> Model:
        """Return the model with other limits."""
        return replace(self, limits=replace(self.limits, **changes))


def shipped(name: str = CHILDREN) -> Model:
    """Return a model that comes with Wellbridge."""
    return _read(
        files("wellbridge.etl.identity").joinpath(f"models/{name}.json").read_text("utf-8"), f"{name}.json"
    )


def read_model(path: Path) -> Model:
    """Read a model.

    Raises:
        ConfigurationError: WB-E-102, it cannot be read, its hash does not fit its content, or its levels are not
            those of this version.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeError):
        text = ""
    return _read(text, path.name)


def _read(text: str, where: str) -> Model:
    try:
        found = json.loads(text)
        claimed = found.pop("sha256")
        model = Model(
            name=str(found["name"]),
            version=int(found["version"]),
            compared=tuple(_compared(one, where) for one in found["comparisons"]),
            blocking=tuple(tuple(_named(name) for name in one) for one in found["blocking"]),
            needs=tuple(tuple(_named(name) for name in one) for one in found["needs"]),
            limits=Limits(**{name: float(value) for name, value in found["limits"].items()}),
            born=(date.fromisoformat(found["born"][0]), date.fromisoformat(found["born"][1])),
            guards=tuple(guard for guard in GUARDS if guard in found["guards"]),
            about={str(name): str(value) for name, value in found["about"].items()},
        )
        is_whole = model.sha256 == claimed and model.content == found
    except (KeyError, TypeError, ValueError, IndexError, AttributeError):
        is_whole = False
    if not is_whole:
        raise ConfigurationError(
            "WB-E-102", "A model is not as it was written, or is of another version.", f"file {where}"
        )
    return model


def _named(column: object) -> str:
    """Return a key's or column's name; a model is a file, so its names are checked before they meet SQL."""
    if not isinstance(column, str) or not is_column(column):
        raise ValueError("not the name of a column")
    return column


def _compared(found: dict[str, Any], where: str) -> Compared:
    known = comparison(str(found["name"]))
    labels = [level["label"] for level in found["levels"]]
    if labels != [level.label for level in known.levels]:
        raise ConfigurationError(
            "WB-E-102", "A model's levels are not those of this version.", f"file {where}"
        )
    weights = tuple(
        Weight(float(level["m"]), level.get("u"), level.get("others"), level.get("linked"))
        for level in found["levels"]
    )
    return Compared(known, weights)
