"""Every reason for which a row, a delivery or a cell is held, removed or hidden, by permanent code.

``WB-R`` holds one row, ``WB-D`` holds or defers a whole delivery, ``WB-P`` removes a row by policy.
The column at fault is stored beside the code, so that one code serves every column.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Rule:
    """One reason: a permanent code, its meaning, and what mends it."""

    code: str
    title: str
    why: str
    todo: str


_ALL = (
    # -- rows: shape -----------------------------------------------------------------------------------
    Rule(
        "WB-R-001",
        "ragged row",
        "The row has more or fewer fields than the header, so its cells cannot be told apart.",
        "The partner sends the row again with every field, quoted where it holds a separator.",
    ),
    Rule(
        "WB-R-002",
        "undecodable text",
        "The row's bytes are not valid in the feed's declared encoding; guessing could change a name.",
        "The partner sends the file in UTF-8, or the feed's file declares the encoding.",
    ),
    Rule(
        "WB-R-003",
        "malformed record",
        "The line, object or message breaks its format's grammar.",
        "The partner's export is mended and sent again.",
    ),
    Rule(
        "WB-R-004",
        "unknown record type",
        "No contract covers records of this type, and denied unless allowed is the rule.",
        "Add a contract for the type, or ask the partner not to send it.",
    ),
    # -- rows: cells -----------------------------------------------------------------------------------
    Rule(
        "WB-R-010",
        "required value missing",
        "The contract cannot be met without this cell.",
        "The partner fills the cell and sends the row again.",
    ),
    Rule(
        "WB-R-011",
        "not a date",
        "The cell cannot be read as a date or time in any form the contract allows.",
        "The partner mends the date.",
    ),
    Rule("WB-R-012", "not a number", "The cell cannot be read as a number.", "The partner mends the number."),
    Rule(
        "WB-R-013",
        "not a yes or no",
        "The cell is no boolean the contract knows.",
        "The partner mends the cell.",
    ),
    Rule(
        "WB-R-014",
        "implausible date",
        "The date lies outside the years the contract allows; such dates are typing errors.",
        "The partner mends the date.",
    ),
    Rule(
        "WB-R-020",
        "unknown code",
        "The code is in no code list of the contract, so its meaning is not known.",
        "Map the code in the feed's file, then release the rows; or the partner mends it.",
    ),
    Rule(
        "WB-R-021",
        "out of range",
        "The number lies outside what the contract allows.",
        "The partner mends the number.",
    ),
    Rule(
        "WB-R-022",
        "wrong form",
        "The text does not have the form the contract asks for.",
        "The partner mends the cell.",
    ),
    # -- rows: between rows ----------------------------------------------------------------------------
    Rule(
        "WB-R-030",
        "duplicate key",
        "An earlier row of the same delivery has the same key; loading both would count a child twice.",
        "The partner sends one row a key.",
    ),
    Rule(
        "WB-R-031",
        "orphan",
        "The row refers to a record that no delivery has brought yet.",
        "Nothing: the row is tried again by itself when the record arrives.",
    ),
    Rule(
        "WB-R-032", "contradiction", "Two cells of the row cannot both be true.", "The partner mends the row."
    ),
    Rule(
        "WB-R-033",
        "outside the period",
        "The row's date is not in the period its file declares, so a restated file could not replace it.",
        "The partner puts the row into the file of its own period.",
    ),
    Rule(
        "WB-R-034",
        "stated total differs",
        "The total that the record states is not the sum of its items.",
        "The partner checks the scoring.",
    ),
    # -- deliveries ------------------------------------------------------------------------------------
    Rule(
        "WB-D-001",
        "empty file",
        "An empty file cannot be told from a failed export.",
        "The partner sends the file again; a file with only its header is a valid empty delivery.",
    ),
    Rule(
        "WB-D-002",
        "still uploading",
        "The file is shorter than its sidecar says, does not end as its format must, or a member is missing.",
        "Wait for the upload to end; the next run takes it.",
    ),
    Rule(
        "WB-D-003",
        "header drift",
        "The header is not the contract's: a column is missing, renamed or unknown. "
        "No row is loaded, because nothing says what the new column holds.",
        "Ask the partner; or map the name in the feed's file and release the delivery.",
    ),
    Rule(
        "WB-D-004",
        "wrong encoding",
        "The file is not text in the feed's declared encoding.",
        "The partner sends UTF-8; or declare the encoding in the feed's file and release the delivery.",
    ),
    Rule(
        "WB-D-005",
        "conflict",
        "Another delivery of the same feed, period and revision has other content. Nothing says which one is "
        "right, and the order in which they came must not decide it: all of them are held, and no row of them is "
        "in the warehouse. A refusal in any of them is honoured.",
        "The partner sends the right one under the next number (…_r2). Or choose: held discard --delivery ID for "
        "each wrong one, then held release --delivery ID.",
    ),
    Rule(
        "WB-D-006",
        "unknown file",
        "No contract of the feed covers a file of this name.",
        "Rename the file as the feed's contract says, or add a contract.",
    ),
    Rule(
        "WB-D-007",
        "unreadable package",
        "The archive or envelope is damaged, unsafe or not what its feed declares.",
        "The partner sends it again.",
    ),
    Rule(
        "WB-D-008",
        "counts differ",
        "The number of records is not what the manifest or trailer declares.",
        "The partner sends the delivery again, whole.",
    ),
    # -- policy ----------------------------------------------------------------------------------------
    Rule(
        "WB-P-001",
        "consent denied",
        "A consent in force forbids this disclosure.",
        "Nothing: the refusal is honoured.",
    ),
    Rule(
        "WB-P-002",
        "42 CFR Part 2 without consent",
        "The record is labelled as substance use disorder treatment and "
        "no consent in force covers it (42 CFR 2.31, 2.33).",
        "Nothing, unless the patient consents in writing.",
    ),
    Rule("WB-P-003", "opted out", "The family opted out of sharing.", "Nothing: the choice is honoured."),
    Rule(
        "WB-P-004",
        "read for its keys only",
        "The record is of a kind that is read for its keys only and never loaded.",
        "Nothing: it is counted here so that every row is accounted for.",
    ),
)

RULES: Final[dict[str, Rule]] = {rule.code: rule for rule in _ALL}
