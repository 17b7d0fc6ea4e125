"""The review sheet as a page: a reviewer answers in it, offline, and saves a file that goes back."""

from __future__ import annotations

from collections.abc import Sequence

from wellbridge.etl.identity.cards import MARKS, Card
from wellbridge.etl.identity.review import OUTCOMES, WHY
from wellbridge.etl.identity.sheet import Sheet
from wellbridge.pipelines.report.html import render_page


def render_review_sheet(sheet: Sheet, seal: str, cards: Sequence[Card]) -> str:
    """Return the sheet as HTML, UTF-8, self-contained; its one script fetches nothing and sends nothing.

    Args:
        sheet: who is asked, and until when.
        seal: of the sheet; goes back with the answers.
        cards: what is asked.
    """
    return render_page(
        "review.html.j2",
        "page.css",
        "review.css",
        script="review.js",
        sheet=sheet,
        seal=seal,
        cards=cards,
        outcomes=OUTCOMES,
        why=WHY,
        marks=MARKS,
    )
