"""Records of any shape on their way to a chunk: where each goes, with which cells, or why it is held."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import polars as pl

from wellbridge.etl.reading import HELD_SCHEMA, Chunk

Cells = dict[str, str | None]  # source header → text

OTHER: Final = "other"  # the resource of records that are counted and not loaded
MALFORMED: Final = "WB-R-003"
MISSING: Final = "WB-R-010"
NOT_A_DATE: Final = "WB-R-011"
NOT_A_NUMBER: Final = "WB-R-012"
UNKNOWN_CODE: Final = "WB-R-020"
TOTAL_DIFFERS: Final = "WB-R-034"


class RecordError(Exception):
    """A record that cannot be taken: the rule it breaks and the column at fault."""

    def __init__(self, column: str, rule: str = MALFORMED) -> None:
        super().__init__(rule)
        self.column = column
        self.rule = rule


@dataclass(frozen=True)
class Flat:
    """Where a record goes and with which cells."""

    resource: str
    cells: Cells
    deletes: bool = False


class Sheet:
    """Cells of one chunk's records, by resource and by whether they are deletions."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._rows: defaultdict[tuple[str, bool], list[Cells]] = defaultdict(list)
        self._numbers: defaultdict[tuple[str, bool], list[int]] = defaultdict(list)
        self._held: defaultdict[str, list[tuple[int, str | None, str]]] = defaultdict(list)

    def add(self, row: int, flat: Flat) -> None:
        """Take a record's cells."""
        self._rows[flat.resource, flat.deletes].append(flat.cells)
        self._numbers[flat.resource, flat.deletes].append(row)

    def hold(self, resource: str, row: int, column: str | None, rule: str) -> None:
        """Hold a record."""
        self._held[resource].append((row, column, rule))

    def chunks(self) -> Iterator[Chunk]:
        """Yield what was taken, held rows with the first chunk of their resource."""
        for resource, deletes in sorted({*self._rows, *((name, False) for name in self._held)}):
            held = [] if deletes else self._held.pop(resource, [])
            yield Chunk(
                resource, self._frame(resource, deletes),
                pl.DataFrame([(self._file, *one) for one in held], schema=HELD_SCHEMA, orient="row"), deletes,
            )

    def _frame(self, resource: str, deletes: bool) -> pl.DataFrame:
        rows, numbers = self._rows[resource, deletes], self._numbers[resource, deletes]
        headers = [*rows[0]] if rows else []
        return pl.DataFrame(
            {**{header: [cells[header] for cells in rows] for header in headers},
             "_file": [self._file] * len(rows), "_row": numbers},
            schema={**dict.fromkeys(headers, pl.String), "_file": pl.String, "_row": pl.Int64},
        )
