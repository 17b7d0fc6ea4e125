"""What the rules in force ask of published tables: the book, the state's practice and the site's own rules in one.

Every table that is shown or leaves goes by this: extracts, the lead's page and measures alike.
"""

from __future__ import annotations

from dataclasses import dataclass

from wellbridge.privacy.rules.book import Book
from wellbridge.privacy.rules.states import Bands, all_bands, profiles


@dataclass(frozen=True)
class Practice:
    """What is asked of published tables.

    Attributes:
        min_cell: smallest count of persons that may be shown.
        hide_zeros: whether a count of nobody is hidden like a small one.
        percent_only: whether shares stand without the counts behind them.
        bands: lists of ranges that shares are published in, all of them obeyed at once; empty: shares stay exact.
        symbol: what stands for a hidden number on a page; empty: the page's own word.
    """

    min_cell: int
    hide_zeros: bool = False
    percent_only: bool = False
    bands: tuple[Bands, ...] = ()
    symbol: str = ""

    @property
    def has_ranges(self) -> bool:
        """Whether shares are published as ranges."""
        return bool(self.bands)

    def range_of(self, numerator: int, size: int) -> tuple[int, int] | None:
        """Return the least range in percent that is as coarse as each list asks; None: nothing is published.

        Args:
            numerator, size: the persons counted, and the group.
        """
        found = [bands.range_of(numerator, size) for bands in self.bands]
        known = [one for one in found if one is not None]
        if len(known) < len(found) or not found:
            return None
        return min(low for low, _ in known), max(high for _, high in known)


def practice(book: Book) -> Practice:
    """Return what a book of rules asks of published tables."""
    named = book.limit("bands")
    state = profiles().get(book.profile)
    # "N<10" would be untrue of a number that is hidden for others' sake, and which those are is not told.
    says_a_bound = state is not None and any(letter.isdigit() for letter in state.symbol)
    return Practice(
        book.number("min_cell"), bool(book.limit("hide_zeros")), bool(book.limit("percent_only")),
        tuple(all_bands()[name] for name in sorted(named if isinstance(named, frozenset) else ())),
        "" if state is None or says_a_bound else state.symbol,
    )
