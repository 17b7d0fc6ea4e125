"""The shipped model as a floor: a site's own may be stricter, never looser.

The hash in a model's file shows that it was not changed since it was written, and nothing of who wrote it. So what
keeps children apart whatever the weights (guards, lead, what a record must say, who is compared) is not a site's to
switch off. Weights are its own: they are what training measures.
"""

from __future__ import annotations

from wellbridge.etl.identity.model import Model


def looser_parts(model: Model, floor: Model) -> list[str]:
    """Return the parts of a model in which it is looser than another, named as in its file.

    Args:
        model: a site's.
        floor: the shipped one.
    """
    ours, least = model.limits, floor.limits
    is_strict = {
        "guards": set(model.guards) >= set(floor.guards),
        "limits.auto": least.auto <= ours.auto < 1,
        "limits.margin": ours.margin >= least.margin,
        # What is below is not asked about, and a pair that nobody is asked about is no child's.
        "limits.review": 0 < ours.review <= least.review,
        "limits.share": 0 < ours.share <= least.share,
        # An alternative more is less that is asked of a record.
        "needs": all(any(set(own) <= set(one) for own in model.needs if own) for one in floor.needs),
        # A record that is not compared is nobody's rival.
        "blocking": set(model.blocking) >= set(floor.blocking) and all(model.blocking),
        "comparisons": set(model.comparisons) >= set(floor.comparisons),
        "born": floor.born[0] <= model.born[0] and model.born[1] <= floor.born[1],
    }
    return [part for part, holds in is_strict.items() if not holds]
