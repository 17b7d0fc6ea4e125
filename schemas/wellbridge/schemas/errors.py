"""One error tree for the whole house: five parts, a permanent code, an exit status, never a value.

    SafeError                 every failure that a person is told about
    ├── UsageError             2  command line not understood
    ├── ConfigurationError    10  project, contract, policy or selection wrong
    ├── SourceError           11  delivery missing, late, still uploading, unreadable
    ├── ContractError         12  contract broken, nothing loaded
    ├── HeldError             13  more rows held than the limit allows
    ├── PrivacyError          14  the privacy gate refused
    ├── StoreError            15  warehouse or vault unreachable, full, or refused
    ├── LockedError           16  another run holds the lock
    └── IdentityError          1  counts do not add up: our fault

A cell's value must never reach one of these: name files, row numbers, columns, counts and codes only.
Raise them *after* the ``except`` block that caught a third party's exception, so that the original
(which often quotes the value) does not travel on in ``__context__``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, ClassVar, Final


class Exit(IntEnum):
    """Exit codes of every command; permanent, documented in ``--help`` and in docs/exit-codes.md."""

    DONE = 0
    BUG = 1
    USAGE = 2
    CONFIGURATION = 10
    SOURCE = 11
    CONTRACT = 12
    HELD = 13
    PRIVACY = 14
    WAREHOUSE = 15
    LOCKED = 16
    HOLD = 17
    VERIFY = 18
    NOTHING_NEW = 99


OUTCOMES: Final[dict[Exit, str]] = {
    Exit.DONE: "done",
    Exit.BUG: "bug",
    Exit.USAGE: "usage",
    Exit.CONFIGURATION: "configuration",
    Exit.SOURCE: "source",
    Exit.CONTRACT: "contract",
    Exit.HELD: "held",
    Exit.PRIVACY: "privacy",
    Exit.WAREHOUSE: "warehouse",
    Exit.LOCKED: "locked",
    Exit.HOLD: "hold",
    Exit.VERIFY: "verify",
    Exit.NOTHING_NEW: "nothing_new",
}


@dataclass(frozen=True)
class Meaning:
    """What an exit code tells a person, and whether a scheduler should try again by itself."""

    text: str
    is_retry_useful: bool = False


MEANINGS: Final[dict[Exit, Meaning]] = {
    Exit.DONE: Meaning("Loaded, built or verified as planned."),
    Exit.BUG: Meaning("Our fault. Nothing was committed, and nothing that was read is shown."),
    Exit.USAGE: Meaning("The command line is not understood."),
    Exit.CONFIGURATION: Meaning("Project, contract, policy or selection is wrong."),
    Exit.SOURCE: Meaning("A delivery is missing, still uploading or unreadable.", is_retry_useful=True),
    Exit.CONTRACT: Meaning("A contract is broken and nothing was loaded."),
    Exit.HELD: Meaning(
        "Loaded, but more rows are held than the site's limit allows, or a delivery is held whole."
    ),
    Exit.PRIVACY: Meaning("The privacy gate refused: policy, agreement or disclosure check."),
    Exit.WAREHOUSE: Meaning(
        "Warehouse or vault cannot be reached, is full or refused.", is_retry_useful=True
    ),
    Exit.LOCKED: Meaning("Another run holds the lock.", is_retry_useful=True),
    Exit.HOLD: Meaning("A significant change waits for a person."),
    Exit.VERIFY: Meaning("A check found a violation; each is named."),
    Exit.NOTHING_NEW: Meaning("No delivery since the last run; nothing was touched."),
}


@dataclass(frozen=True)
class Advice:
    """The two parts of a message that depend on its code alone."""

    why: str
    todo: str


# Permanent. A retired code stays here, so that it is never used again.
ADVICE: Final[dict[str, Advice]] = {
    "WB-E-001": Advice(
        "Wellbridge stopped before committing, so the stores are as they were.",
        "Run again; if it repeats, report the code and the step.",
    ),
    "WB-E-002": Advice(
        "A run whose rows do not add up could have lost some, so nothing was committed.",
        "Report this with the run's JSON: it holds counts only.",
    ),
    "WB-E-010": Advice(
        "Without a project file there is no telling which feeds, stores and keys are meant.",
        "wellbridge init DIR, or name the folder with --project DIR",
    ),
    "WB-E-011": Advice(
        "A setting that is guessed could send records to the wrong place.",
        "Mend the file at the place named, then: wellbridge doctor",
    ),
    "WB-E-012": Advice(
        "A misspelt selection that quietly selects nothing looks like success.",
        "Use one of the names that are known",
    ),
    "WB-E-013": Advice(
        "Files in a folder that no feed owns are never read, so their rows would be lost unseen.",
        "Move the files, or add feeds/NAME.toml for them",
    ),
    "WB-E-014": Advice(
        "A column without a privacy class cannot load, because nothing says whether it identifies a child.",
        "Give every column of the contract a privacy class, then: wellbridge contract list",
    ),
    "WB-E-015": Advice(
        "A name that is not known is refused rather than guessed.",
        "Use one of the near names, or list them with the command's list form",
    ),
    "WB-E-016": Advice(
        "A command line that is guessed at could do what nobody asked for.",
        "wellbridge --help, or the command's own --help",
    ),
    "WB-E-017": Advice(
        "An extract of an empty warehouse would say that nobody was helped.",
        "wellbridge run, then build the extract again",
    ),
    "WB-E-020": Advice(
        "A feed whose folder is missing cannot be told from a partner that sent nothing.",
        "Create the folder named, or mend `path` in the feed's file",
    ),
    "WB-E-021": Advice(
        "A delivery that is still growing or lacks a member would load in part.",
        "Wait for the upload to end, then: wellbridge run",
    ),
    "WB-E-022": Advice(
        "The delivery cannot be read as the kind its feed declares, so none of its rows was taken.",
        "Ask the partner to send it again; the file is kept under its hash in the landing store",
    ),
    "WB-E-023": Advice(
        "A file that is missing, empty or no table holds no record that could be examined or recoded.",
        "Name a CSV with a header line, or a Parquet file",
    ),
    "WB-E-030": Advice(
        "Columns that changed name could carry another meaning, so no row of the file was loaded.",
        "Ask the partner, or map the new name in the feed's file, then: wellbridge held release --delivery ID",
    ),
    "WB-E-031": Advice(
        "Rows that break their contract are kept apart: none is lost, and none is counted with a wrong meaning.",
        "wellbridge held show; mend the cause, then: wellbridge held release",
    ),
    "WB-E-040": Advice(
        "An extract without an agreement in force does not leave.",
        "Renew the agreement in policy/agreements/, then build again",
    ),
    "WB-E-041": Advice(
        "A column that the agreement does not list may not be disclosed (34 CFR 99.31(a)(6)(iii)(C)).",
        "Drop the columns from the extract's definition, or amend the agreement",
    ),
    "WB-E-042": Advice(
        "The cells asked for cannot all be protected: some could be worked out from what is published.",
        "Drop the margin or dimension named, or raise the minimum cell",
    ),
    "WB-E-043": Advice(
        "Too few children share the same traits for any grouping to hide one of them.",
        "Release fewer quasi-identifiers, or widen the cohort",
    ),
    "WB-E-044": Advice(
        "A local setting may be stricter than the built-in one, never looser.",
        "Raise the setting to the floor named",
    ),
    "WB-E-045": Advice(
        "A release that does not match its manifest may have been changed after it left.",
        "Do not use the files; build the extract again and compare",
    ),
    "WB-E-046": Advice(
        "Protection rests on cells that add up: a table that does not cannot be examined, so it is not released.",
        "Mend the table: whole counts from zero, each combination once, every margin the sum of its cells",
    ),
    "WB-E-047": Advice(
        "A value that no level covers, or that two branches share, would be shown as it is or hide less than it seems.",
        "Mend the hierarchy: every value once, as many levels on every line, each label under one parent",
    ),
    "WB-E-048": Advice(
        "What was released is out for good: a new release made beside only part of it could give small counts away.",
        "Restore the folders named under their own names, with .sizes, from backup; the ledger's digests tell whether "
        "they are whole, so a recipient's copy of a folder does as well",
    ),
    "WB-E-050": Advice(
        "The warehouse or vault could not be opened, so nothing was read or written.",
        "wellbridge doctor",
    ),
    "WB-E-051": Advice(
        "A store or key that other accounts can read is not private.",
        "chmod 600 the file named (700 for folders)",
    ),
    "WB-E-052": Advice(
        "A sealed file that does not open with the site's key was changed or belongs to another site.",
        "Restore the key named in wellbridge.toml, or the file from backup",
    ),
    "WB-E-053": Advice(
        "What a source said is read from its deliveries again when an opt-out ends, a model changes or rows are tried.",
        "Restore the site's landing folder from backup, as old as the stores or newer",
    ),
    "WB-E-060": Advice(
        "Two runs at once could each load half of a delivery.",
        "Wait for the other run, or stop it; the lock frees itself when its process ends",
    ),
    "WB-E-070": Advice(
        "A rule that is not understood would not be kept, so none of the file is used.",
        "Mend the place named, then: wellbridge policy check",
    ),
    "WB-E-071": Advice(
        "Who is believed to know whom an answer is about would recognise the child however few traits are shown "
        "(34 CFR 99.3, personally identifiable information (g)).",
        "Do not release it; ask the parents for consent instead",
    ),
    "WB-E-072": Advice(
        "Who has not destroyed what an earlier agreement gave, or has disclosed it further, receives nothing new "
        "(34 CFR 99.35(b)(2), 20 USC 1232g(b)(4)(B)).",
        "Have destruction attested by a document: wellbridge policy attest AGREEMENT DOCUMENT --on DAY; build again",
    ),
    "WB-E-073": Advice(
        "What the rules do not cover is not shown to be safe, so nobody can prove that every rule was kept.",
        "wellbridge policy explain NAME COLUMN; give the column a class, or mend the setting named",
    ),
    "WB-E-074": Advice(
        "A rule in force forbids this in a release.",
        "Take it out of the extract's definition; wellbridge policy explain RULE says why",
    ),
    "WB-E-075": Advice(
        "Noise protects only while the losses of all releases together stay within what was granted.",
        "Ask for less, use what was published already, or wait for another agreement; a budget is never raised",
    ),
    "WB-E-076": Advice(
        "What was spent cannot be told from a ledger that was changed, so nothing more may be spent.",
        "Restore the ledger and its head from backup; releases after the backup must be added by hand to be safe",
    ),
    "WB-E-077": Advice(
        "Whoever holds these files can work out counts that were withheld, from the printed numbers alone.",
        "Publish nothing that goes with them; protect the tables together: wellbridge privacy protect --after",
    ),
    "WB-E-080": Advice(
        "Double hashing has so few codes per token that names can be read from filters (Kroll and Steinmetzer 2015).",
        "Agree with the partner on a schema that says blakeHash in every feature",
    ),
    "WB-E-081": Advice(
        "Two sides that read a schema differently make filters that never match, which looks like no shared child.",
        "Mend the place named; only version 3 of clkhash's schemas is read",
    ),
    "WB-E-082": Advice(
        "A record that lacks what a link needs, or breaks its schema, would be encoded into something that matches "
        "nobody.",
        "Mend the columns or records named, then encode again",
    ),
    "WB-E-083": Advice(
        "A bundle that was cut, changed or sealed for somebody else could match wrongly, so none of it was used.",
        "Ask the partner to send it again, sealed to the key of this linkage",
    ),
    "WB-E-084": Advice(
        "Records encoded with different keys never match, which looks exactly like no shared child.",
        "Give both sides the same key file, then encode again",
    ),
    "WB-E-085": Advice(
        "Records encoded for one agreement may not be linked under another.",
        "Name the agreement that both bundles were encoded for, or encode again",
    ),
    "WB-E-086": Advice(
        "Keys change with every epoch, so bundles of different epochs never match.",
        "Encode both sides for the same epoch",
    ),
    "WB-E-087": Advice(
        "Filters that were made differently cannot be compared.",
        "Encode both sides with the same version of wellbridge",
    ),
    "WB-E-088": Advice(
        "Names that were put into form by different rules agree less than they should.",
        "Encode both sides with the same version of wellbridge",
    ),
    "WB-E-089": Advice(
        "A key that is missing, of another kind or open to other accounts cannot keep what it encodes.",
        "wellbridge identity new-key --help; chmod 600 the file named",
    ),
    "WB-E-090": Advice(
        "With another file of rows a link would put one child's care on another child; nothing was destroyed.",
        "Take the .rows.csv that encode wrote beside this bundle, whole",
    ),
    "WB-E-091": Advice(
        "The links are written, but what was linked is still there, as sensitive as the names.",
        "Delete the files named by hand; what is not named is destroyed",
    ),
    "WB-E-092": Advice(
        "A link whose two children or origin are not known could put one child's care on another child.",
        "Take the file as link-bundle wrote it, with --left-rows and --right-rows, whole",
    ),
    "WB-E-095": Advice(
        "An answer counts only for what the reviewer saw; the records have changed, or the question was settled.",
        "wellbridge identity review next",
    ),
    "WB-E-096": Advice(
        "A sheet that was altered, or comes from another site, could put an answer on the wrong child.",
        "Take the file as the page saved it; in CSV fill in the columns answer and why, and change nothing else",
    ),
    "WB-E-097": Advice(
        "A sheet holds names of children, so it is not kept for ever, and its answers are not taken for ever.",
        "Delete it, then: wellbridge identity review export",
    ),
    "WB-E-098": Advice(
        "Names of children would go where others may read them.",
        "Run it at a terminal, or: wellbridge identity review export, to a folder outside the site's own",
    ),
    "WB-E-100": Advice(
        "Weights learnt from a handful of pairs would link by chance.",
        "Label at least 50 pairs of one child, drawn at random, or train without --labels",
    ),
    "WB-E-101": Advice(
        "A matcher that finds one group of children less often than another makes them look unhelped.",
        "Look at the groups and weights named; train on labelled pairs of your own, or ask for review of that group",
    ),
    "WB-E-102": Advice(
        "Links made by a model that was changed since it was written cannot be explained afterwards.",
        "Restore the file, or train a new one: wellbridge identity train",
    ),
    "WB-E-103": Advice(
        "An engine that is slow or wrong on a thousand records would take a night, or merge children, on a district.",
        "Install the locked set again: make install",
    ),
    "WB-E-104": Advice(
        "Spark is large, so only a site that has a cluster installs it.",
        "pip install 'wellbridge[spark]', or leave the engine to DuckDB",
    ),
    "WB-E-105": Advice(
        "Links that miss one group more than others, or that changed at a stroke, hide or misplace children's care.",
        "Look at what the feeds sent; then wellbridge run --gates warn takes the night, and its questions are answered "
        "by: wellbridge identity review next",
    ),
    "WB-E-106": Advice(
        "A model that nobody has checked would decide whose record is whose.",
        "Check its links and questions (identity evaluate), then train it again with --reviewer",
    ),
    "WB-E-107": Advice(
        "Guards, limits and needs keep children apart whatever the weights say; a site may ask more, never less.",
        "Put the parts named back as the shipped model has them: wellbridge identity train writes them so",
    ),
    "WB-E-108": Advice(
        "A gate that judged nothing cannot say that links are good, so it does not let them pass.",
        "Give what it judges by: --truth COLUMN for recall by group, --last FILE for drift",
    ),
    "WB-E-110": Advice(
        "A site that asks for two reviewers does not want one person alone to say whose record is whose.",
        "Name the other person who agreed: --second NAME",
    ),
    "WB-E-111": Advice(
        "An undoing also ends what reviewers answered about the pair, so it is not written down for nothing.",
        "wellbridge identity explain A B lists the decisions about two records; undo the last that stands",
    ),
}


class SafeError(Exception):
    """A failure in five parts: what, where, why it matters, what to do, code.

    Args:
        code: a key of ``ADVICE``; permanent.
        what: one sentence in the reader's words. Never a cell value.
        where: file, row, column, feed or setting, joined by " · ". Never a cell value.
        todo: overrides the code's usual next step.
        facts: names and counts that stand in a command's document beside the error.
    """

    exit: ClassVar[Exit] = Exit.BUG

    def __init__(
        self,
        code: str,
        what: str,
        where: str = "",
        *,
        todo: str | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(f"{code}: {what}")
        self.code = code
        self.what = what
        self.where = where
        self.why = ADVICE[code].why
        self.todo = todo or ADVICE[code].todo
        self.facts = dict(facts or {})

    def as_dict(self) -> dict[str, Any]:
        """Return the five parts for a JSON document."""
        return {
            "code": self.code,
            "exit_code": int(self.exit),
            "what": self.what,
            "where": self.where,
            "why": self.why,
            "todo": self.todo,
        }

    def render(self) -> str:
        """Return the five parts as lines for a person, always in the same order."""
        return render(self.as_dict())


def render(parts: Mapping[str, Any]) -> str:
    """Return the five parts of ``SafeError.as_dict`` as lines for a person."""
    lines = [parts["what"]]
    if parts["where"]:
        lines.append(f"  where: {parts['where']}")
    lines += [
        f"  why:   {parts['why']}",
        f"  do:    {parts['todo']}",
        f"  {parts['code']} · exit {parts['exit_code']}",
    ]
    return "\n".join(lines)


class ConfigurationError(SafeError):
    """Project, contract, policy or selection is wrong."""

    exit = Exit.CONFIGURATION


class SourceError(SafeError):
    """A delivery is missing, late, still uploading or unreadable."""

    exit = Exit.SOURCE


class ContractError(SafeError):
    """A contract is broken and nothing was loaded."""

    exit = Exit.CONTRACT


class HeldError(SafeError):
    """More rows are held than the site's limit allows."""

    exit = Exit.HELD


class PrivacyError(SafeError):
    """The privacy gate refused."""

    exit = Exit.PRIVACY


class StoreError(SafeError):
    """The warehouse or the vault is unreachable, full or refused."""

    exit = Exit.WAREHOUSE


class UsageError(SafeError):
    """The command line is not understood."""

    exit = Exit.USAGE


class LockedError(SafeError):
    """Another run holds the lock."""

    exit = Exit.LOCKED


class IdentityError(SafeError):
    """The counts of a run do not add up."""

    exit = Exit.BUG


class VerifyError(SafeError):
    """A check of a release found a violation."""

    exit = Exit.VERIFY
