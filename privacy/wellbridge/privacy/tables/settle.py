"""What single sums give: the quick part of an attack, after which little is left for programs."""

from __future__ import annotations

import numpy as np

from wellbridge.privacy.tables.attacker import Published
from wellbridge.schemas.errors import PrivacyError


def settled(published: Published) -> Published:
    """Fill in what single sums give: the last blank of a sum, and blanks that add up to nothing.

    Raises:
        PrivacyError: WB-E-046 when the printed counts contradict each other.
    """
    links = published.links
    values, hidden = np.where(published.hidden, 0, published.shown), published.hidden.copy()
    while True:
        known = links.residuals(values)
        blank = hidden[links.cell]
        row, cell, sign = links.row[blank], links.cell[blank], links.sign[blank]
        count = np.bincount(row, minlength=links.rows)
        if known[count == 0].any():
            raise PrivacyError("WB-E-046", "The printed counts of the releases contradict each other.")
        alone = count[row] == 1
        # Parts of a printed sum that leave nothing over are nothing each.
        is_signed = (sign < 0) | (published.lower[cell] < 0)
        mixed = np.bincount(row, weights=is_signed, minlength=links.rows) > 0
        empty = (known[row] == 0) & ~mixed[row]
        if not alone.any() and not empty.any():
            return Published(values, hidden, published.lower, published.upper, links)
        values[cell[alone]] = -known[row[alone]] * sign[alone]
        hidden[cell[alone]] = False
        hidden[cell[empty]] = False
        found = cell[alone | empty]
        if (values[found] < published.lower[found]).any() or (values[found] > published.upper[found]).any():
            raise PrivacyError("WB-E-046", "The printed counts of the releases contradict each other.")
