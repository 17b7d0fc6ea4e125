"""Train the model of encoded linkage on made-up children, and write it into the package.

    python scripts/train_encoded.py [--children 50000] [--seeds 81001 81002 81003]

Its seeds are its own: no test or benchmark uses them. The same arguments give the same model.
"""

from __future__ import annotations

import argparse
from dataclasses import fields
from datetime import date
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from source_tree import REPO
from wellbridge.etl.identity.encoded.matching import Pairs, compared
from wellbridge.etl.identity.encoded.partner import prepare
from wellbridge.etl.identity.encoded.scorer import train
from wellbridge.pipelines.synth.pairs import COVERAGE, make_pairs

MODEL: Final = REPO / "etl/wellbridge/etl/identity/encoded/models/encoded-v1.json"
COLUMNS: Final = {"record_id": "unique_id", "last_name": "surname", "birth_date": "dob", "zip_code": "zip"}


def key(field: str) -> bytes:
    """Return a key that is none; what is learnt does not depend on it, since all keys scatter alike."""
    return field.encode().ljust(32, b".")[:32]


def population(children: int, seed: int) -> tuple[Pairs, NDArray[np.bool_]]:
    """Return the pairs of two encoded files that share a token, and which of them are one child."""
    files = make_pairs(children=children, seed=seed)
    sides = [prepare(file, key, columns=COLUMNS) for file in files]
    pairs = compared(sides[0].records, sides[1].records)
    child = [
        side.rows.join(
            file.select(pl.col("unique_id").alias("record_id"), "pid"), on="record_id", maintain_order="left"
        )["pid"].to_numpy()
        for side, file in zip(sides, files, strict=True)
    ]
    return pairs, child[0][pairs.left] == child[1][pairs.right]


def together(parts: list[Pairs]) -> Pairs:
    """Put the pairs of several populations one after the other."""
    return Pairs(*(np.concatenate([getattr(part, one.name) for part in parts]) for one in fields(Pairs)))


def main() -> None:
    """Train and write the model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--children", type=int, default=50_000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[81001, 81002, 81003])
    parser.add_argument("--out", type=Path, default=MODEL)
    given = parser.parse_args()
    made = [population(given.children, seed) for seed in given.seeds]
    model = train(
        together([pairs for pairs, _ in made]),
        np.concatenate([truth for _, truth in made]),
        name="encoded-v1",
        trained_on=f"synth pairs, {given.children} children a file, seeds {given.seeds}",
        date=date.today().isoformat(),
        reviewer="",
        children=given.children,
        share=COVERAGE,
    )
    given.out.write_text(model.text(), "utf-8")
    print(model.sha256)


if __name__ == "__main__":
    main()
