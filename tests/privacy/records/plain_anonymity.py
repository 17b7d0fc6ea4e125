"""What the engine computes, once more in plain Python loops: slow, short, and with nothing of ours in it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import product

Row = Mapping[str, str]
# column → value → its labels from the value itself to the coarsest.
Trees = Mapping[str, Mapping[str, Sequence[str]]]
Signature = tuple[tuple[str, ...], ...]


def signatures(rows: Sequence[Row], quasi: Sequence[str], person: str | None = None) -> dict[str, Signature]:
    """Return for each person all of their rows, in an order that says nothing."""
    found: dict[str, list[tuple[str, ...]]] = {}
    for number, row in enumerate(rows):
        owner = str(number) if person is None else row[person]
        found.setdefault(owner, []).append(tuple(row[name] for name in quasi))
    return {owner: tuple(sorted(seen)) for owner, seen in found.items()}


def smallest_class(rows: Sequence[Row], quasi: Sequence[str], person: str | None = None) -> int:
    return min(Counter(signatures(rows, quasi, person).values()).values())


def recoded(rows: Sequence[Row], trees: Trees, node: Mapping[str, int]) -> list[dict[str, str]]:
    return [{**row, **{name: trees[name][row[name]][level] for name, level in node.items()}} for row in rows]


def share(tree: Mapping[str, Sequence[str]], label: str, level: int) -> float:
    """Return the share of the domain that a label leaves open."""
    under = sum(1 for labels in tree.values() if labels[level] == label)
    return (under - 1) / (len(tree) - 1) if len(tree) > 1 else 0.0


def outcome(
    rows: Sequence[Row], trees: Trees, node: Mapping[str, int], k: int, weights: Mapping[str, float]
) -> tuple[float, int]:
    """Return the loss of a node and how many rows it leaves out; every row is a person."""
    shown = recoded(rows, trees, node)
    sizes = Counter(tuple(row[name] for name in trees) for row in shown)
    total = sum(weights.get(name, 1.0) for name in trees)
    loss, left_out = 0.0, 0
    for row in shown:
        if sizes[tuple(row[name] for name in trees)] < k:
            loss, left_out = loss + 1.0, left_out + 1
        else:
            loss += sum(
                weights.get(name, 1.0) * share(trees[name], row[name], level) for name, level in node.items()
            ) / total
    return loss / len(rows), left_out


def exhaustive(
    rows: Sequence[Row], trees: Trees, k: int, allowed: int, weights: Mapping[str, float] | None = None
) -> float | None:
    """Return the least loss over all nodes that leave out few enough; None where there is none."""
    best = None
    heights = [len(next(iter(tree.values()))) for tree in trees.values()]
    for levels in product(*(range(height) for height in heights)):
        loss, left_out = outcome(rows, trees, dict(zip(trees, levels, strict=True)), k, weights or {})
        if left_out <= allowed and left_out < len(rows) and (best is None or loss < best):
            best = loss
    return best


def classes(rows: Sequence[Row], quasi: Sequence[str]) -> list[list[Row]]:
    found: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        found.setdefault(tuple(row[name] for name in quasi), []).append(row)
    return list(found.values())


def distinct_l(rows: Sequence[Row], quasi: Sequence[str], sensitive: str) -> int:
    return min(len({row[sensitive] for row in one}) for one in classes(rows, quasi))


def entropy_l(rows: Sequence[Row], quasi: Sequence[str], sensitive: str) -> float:
    least = math.inf
    for one in classes(rows, quasi):
        shares = [n / len(one) for n in Counter(row[sensitive] for row in one).values()]
        least = min(least, math.exp(-sum(p * math.log(p) for p in shares)))
    return least


def t_equal(rows: Sequence[Row], quasi: Sequence[str], sensitive: str) -> float:
    whole = Counter(row[sensitive] for row in rows)
    worst = 0.0
    for one in classes(rows, quasi):
        own = Counter(row[sensitive] for row in one)
        worst = max(worst, sum(abs(own[v] / len(one) - n / len(rows)) for v, n in whole.items()) / 2)
    return worst


def t_ordered(rows: Sequence[Row], quasi: Sequence[str], sensitive: str, order: Sequence[str]) -> float:
    whole = Counter(row[sensitive] for row in rows)
    worst = 0.0
    for one in classes(rows, quasi):
        own, carried, moved = Counter(row[sensitive] for row in one), 0.0, 0.0
        for value in order:
            carried += own[value] / len(one) - whole[value] / len(rows)
            moved += abs(carried)
        worst = max(worst, moved / (len(order) - 1))
    return worst


def t_hierarchical(
    rows: Sequence[Row], quasi: Sequence[str], sensitive: str, tree: Mapping[str, Sequence[str]]
) -> float:
    """Li, Li and Venkatasubramanian (2007), section 4.2: what siblings cannot settle is settled one level up."""
    whole = Counter(row[sensitive] for row in rows)
    height = len(next(iter(tree.values()))) - 1
    worst = 0.0
    for one in classes(rows, quasi):
        own, moved = Counter(row[sensitive] for row in one), 0.0
        for level in range(1, height + 1):
            below: dict[str, dict[str, float]] = {}
            for value, labels in tree.items():
                extra = own[value] / len(one) - whole[value] / len(rows)
                siblings = below.setdefault(labels[level], {})
                siblings[labels[level - 1]] = siblings.get(labels[level - 1], 0.0) + extra
            for siblings in below.values():
                more = sum(extra for extra in siblings.values() if extra > 0)
                less = -sum(extra for extra in siblings.values() if extra < 0)
                moved += level / height * min(more, less)
        worst = max(worst, moved)
    return worst
