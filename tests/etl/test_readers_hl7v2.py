"""HL7 v2: messages by their own separators, counted against their envelope."""

from __future__ import annotations

from pathlib import Path

import pytest

from wellbridge.etl.readers.completeness import check_complete
from wellbridge.etl.readers.hl7v2 import Hl7File, Message, Segment, Separators, read_messages
from wellbridge.etl.reading import Deferred, Refused

SAMPLES = Path(__file__).parents[2] / "../shared/data/health/hl7v2"
needs_data = pytest.mark.skipif(not SAMPLES.exists(), reason="shared data is not here")

MSH = "MSH|^~\\&|HOSP|A|WB|B|20261019||ADT^A01^ADT_A01|1|P|2.5.1"
PID = "PID|1||H1^^^HOSP^MR~9^^^SSA^SS||DOE^JANE||20110203|F"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "f.hl7"


def read(path: Path, *lines: str | bytes, end: bytes = b"\r") -> Hl7File:
    path.write_bytes(b"".join((line.encode() if isinstance(line, str) else line) + end for line in lines))
    return read_messages(path, name="f")


def held(found: Hl7File) -> list[tuple[int, str]]:
    return list(found.held.select("_row", "rule").iter_rows())


def only(path: Path, *lines: str | bytes, end: bytes = b"\r") -> Message:
    found = read(path, *lines, end=end)
    assert held(found) == []
    [message] = found.messages
    return message


# -- fields ------------------------------------------------------------------------------------------------


def test_values_are_fetched_by_field_repetition_component_and_subcomponent(path: Path) -> None:
    message = only(path, MSH, "PID|1||A^B&C~D^E|x")
    [pid] = message.segments("PID")
    assert [pid.get(3), pid.get(3, component=2), pid.get(3, component=2, subcomponent=2), pid.get(3, 1)] == [
        "A",
        "B",
        "C",
        "D",
    ]
    assert [pid.get(2), pid.get(9), pid.get(3, 5), pid.get(3, component=7), pid.get(0)] == [None] * 5
    assert [pid.repetitions(3), pid.repetitions(2)] == [2, 0]
    assert message.get("PID", 4) == "x"
    assert (message.segment("PV1"), message.segments("PV1"), message.get("PV1", 2)) == (None, [], None)


def test_the_header_counts_its_separator_as_a_field(path: Path) -> None:
    message = only(path, MSH)
    assert [message.get("MSH", field) for field in (1, 2, 3, 9, 12)] == ["|", "^~\\&", "HOSP", "ADT", "2.5.1"]
    assert message.type == "ADT^A01"


def test_separators_are_the_messages_own(path: Path) -> None:
    message = only(path, "MSH#*!?@#HOSP#A#WB#B#2026##ADT*A08#1#P#2.5", "PID#1##A*B@C!D##?F?|?S?^")
    assert message.type == "ADT^A08"
    assert message.get("PID", 3, component=2) == "B"
    assert message.get("PID", 3, repetition=1) == "D"
    assert message.get("PID", 5) == "#|*^"


def test_a_doubled_backslash_in_the_header_is_one(path: Path) -> None:
    message = only(path, MSH.replace("^~\\&", "^~\\\\&"), "PID|1||A&B^C")
    assert message.get("PID", 3, component=2) == "C"
    assert message.segments("PID")[0].get(3, subcomponent=2) == "B"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("a\\F\\b\\S\\c\\T\\d\\R\\e\\E\\f", "a|b^c&d~e\\f"),
        ("one\\.br\\two", "one\ntwo"),
        ("\\H\\bold\\N\\", "bold"),
        ("\\X41C3A9\\", "A\u00e9"),
        ("\\XE9\\", "\u00e9"),
        ("\\X00\\", "\\X00\\"),
        ("\\X4\\", "\\X4\\"),
        ("bad\\Zfoo\\end", "bad\\Zfoo\\end"),
        ("C:\\dir", "C:\\dir"),
        ("\\E\\F\\E\\", "\\F\\"),
    ],
)
def test_escapes_are_resolved_and_unknown_ones_stay(path: Path, written: str, meant: str) -> None:
    assert only(path, MSH, f"PID|1||{written}").get("PID", 3) == meant


def test_two_quotes_mean_delete_and_are_not_the_same_as_nothing(path: Path) -> None:
    message = only(path, MSH, 'PID|1||""||""^JANE')
    assert (message.get("PID", 3), message.get("PID", 5), message.get("PID", 4)) == ("", "", None)


def test_segments_keep_their_order(path: Path) -> None:
    message = only(path, MSH, "OBR|1", "OBX|1", "OBR|2", "OBX|1", "OBX|2")
    assert [(s.id, s.get(1)) for s in message.all[1:]] == [
        ("OBR", "1"),
        ("OBX", "1"),
        ("OBR", "2"),
        ("OBX", "1"),
        ("OBX", "2"),
    ]


def test_a_segment_stands_on_its_own() -> None:
    assert Segment("ZZZ", ("ZZZ", "a^b"), Separators()).get(1, component=2) == "b"


# -- lines -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [b"\r", b"\n", b"\r\n", b"\r\r\n", b"\x1c\r"])
@pytest.mark.parametrize("start", ["", "\ufeff", "\x0b"])
def test_any_line_end_byte_order_mark_and_frame_give_the_same_message(
    path: Path, end: bytes, start: str
) -> None:
    message = only(path, start + MSH, PID, end=end)
    assert (message.type, message.get("PID", 5, component=2)) == ("ADT^A01", "JANE")


def test_text_that_only_looks_like_a_header_begins_no_message(path: Path) -> None:
    assert only(path, MSH, "NTE|1||note", "MSHA patient said").get("NTE", 3) == "note\nMSHA patient said"


def test_a_line_that_begins_no_segment_goes_on_with_the_field_before_it(path: Path) -> None:
    message = only(path, MSH, "NTE|1||first line", "second: line|X", PID)
    assert [message.get("NTE", 3), message.get("NTE", 4)] == ["first line\nsecond: line", "X"]
    assert message.get("PID", 5) == "DOE"


def test_messages_without_envelope_are_numbered_from_one(path: Path) -> None:
    found = read(path, MSH, PID, MSH, PID)
    assert [message.row for message in found.messages] == [1, 2]


def test_character_sets_are_the_declared_ones(path: Path) -> None:
    header = MSH + "|" * 6 + "8859/1"
    assert only(path, header, b"PID|1||Jos\xe9").get("PID", 3) == "Jos\u00e9"
    found = read(path, MSH, b"PID|1||Jos\xe9", header.replace("8859/1", "BIG-5"), PID, MSH, PID)
    assert held(found) == [(1, "WB-R-002"), (2, "WB-R-002")]
    assert [message.row for message in found.messages] == [3]


@pytest.mark.parametrize(
    "header",
    [
        "MSH",
        "MSH|",
        "MSH|^~\\&",
        "MSH|^~\\&|HOSP",
        "MSH|^~\\&" + "|" * 9,
        "MSH|^^\\&|H|A|W|B|2||ADT^A01",
        "MSHX^~\\&|H|A|W|B|2||ADT^A01",
        "EVN|A01",
        "MSH||H|A|W|B|2||ADT^A01",
    ],
)
def test_a_message_without_a_usable_header_is_held_and_the_next_one_is_read(path: Path, header: str) -> None:
    found = read(path, header, PID, MSH, PID)
    assert held(found) == [(1, "WB-R-003")]
    assert [message.row for message in found.messages] == [2]


# -- envelope ----------------------------------------------------------------------------------------------

FHS, BHS = "FHS|^~\\&|HOSP", "BHS|^~\\&|HOSP"


@pytest.mark.parametrize(
    "lines",
    [
        (FHS, BHS, MSH, PID, MSH, PID, "BTS|2", "FTS|1"),
        (FHS, BHS, MSH, "BTS|1", BHS, MSH, "BTS|1", "FTS|2"),
        (FHS, MSH, MSH, "FTS|1"),
        (BHS, MSH, MSH, "BTS|2"),
        (BHS, MSH, MSH, "BTS|0002|note", "FTS|1"),
        (FHS, BHS, MSH, MSH, "BTS", "FTS"),
        (MSH, MSH, "BTS|2"),
        (FHS, BHS, MSH, MSH, "BTS||", "FTS|"),
        (FHS, BHS, MSH, "BTS|1", "FTS|1", FHS, BHS, MSH, "BTS|1", "FTS|1"),
    ],
)
def test_envelopes_whose_counts_agree_are_taken(path: Path, lines: tuple[str, ...]) -> None:
    assert len(read(path, *lines).messages) == 2


def test_an_empty_batch_is_a_valid_empty_delivery(path: Path) -> None:
    assert read(path, FHS, BHS, "BTS|0", "FTS|1").messages == []


def test_held_messages_count_in_their_batch(path: Path) -> None:
    found = read(path, FHS, BHS, "EVN|A04", PID, MSH, PID, "BTS|2", "FTS|1")
    assert (held(found), [message.row for message in found.messages]) == ([(1, "WB-R-003")], [2])


@pytest.mark.parametrize(
    ("lines", "rule"),
    [
        ((FHS, BHS, MSH, "BTS|2", "FTS|1"), "WB-D-008"),
        ((FHS, BHS, MSH, "BTS|1", "FTS|2"), "WB-D-008"),
        ((FHS, BHS, MSH, "BTS|one", "FTS|1"), "WB-D-008"),
        ((FHS, BHS, MSH, "BTS|0", "FTS|1"), "WB-D-008"),
        ((FHS, BHS, MSH, "FTS|1"), "WB-D-007"),
        ((FHS, BHS, MSH, BHS, PID, "BTS|1", "FTS|1"), "WB-D-007"),
        ((FHS, BHS, MSH, FHS, PID, "BTS|1", "FTS|1"), "WB-D-007"),
    ],
)
def test_envelopes_that_do_not_agree_refuse_the_file(path: Path, lines: tuple[str, ...], rule: str) -> None:
    with pytest.raises(Refused) as caught:
        read(path, *lines)
    assert (caught.value.rule, caught.value.rows) == (rule, 1)


@pytest.mark.parametrize("lines", [(FHS, BHS, MSH, "BTS|1"), (BHS, MSH), (FHS,), (FHS, BHS, MSH, PID)])
def test_an_envelope_that_is_not_closed_is_still_uploading(path: Path, lines: tuple[str, ...]) -> None:
    with pytest.raises(Deferred) as caught:
        read(path, *lines)
    assert caught.value.rule == "WB-D-002"


def test_no_prefix_of_a_batch_is_complete(path: Path) -> None:
    whole = "\r".join((FHS, BHS, *(MSH, PID) * 12, "BTS|12", "FTS|1", "")).encode()

    def take(size: int) -> Hl7File:
        path.write_bytes(whole[:size])
        check_complete(path)
        return read_messages(path, name="f")

    for size in range(1, len(whole)):
        with pytest.raises(Deferred):
            take(size)
    assert len(take(len(whole)).messages) == 12


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"", "WB-D-001"),
        (b"\r\n\r\n", "WB-D-001"),
        (MSH.encode("utf-16"), "WB-D-004"),
        (b"MSH|\0", "WB-D-004"),
    ],
)
def test_what_is_no_text_is_refused(path: Path, content: bytes, rule: str) -> None:
    path.write_bytes(content)
    with pytest.raises(Refused) as caught:
        read_messages(path, name="f")
    assert caught.value.rule == rule


# -- samples -----------------------------------------------------------------------------------------------


@needs_data
def test_of_the_117_samples_116_are_one_message_and_the_one_without_header_is_held() -> None:
    files = [
        file
        for folder in ("ms_fhir_converter", "linuxforhealth", "phdi")
        for file in sorted((SAMPLES / folder).glob("*.hl7"))
    ]
    found = {file.name: read_messages(file, name=file.name) for file in files}
    assert len(found) == 117
    assert [name for name, one in found.items() if one.held.height] == [
        "FileSingleMessageInvalidSegments.hl7"
    ]
    assert [len(one.messages) for one in found.values()].count(1) == 116
    assert all(one.messages[0].type for one in found.values() if one.messages)
    assert sum(len(one.messages[0].all) > 1 for one in found.values() if one.messages) == 116


@needs_data
@pytest.mark.parametrize(
    ("name", "outcome"),
    [
        ("sample_file", [6]),
        ("sample_file1", [6, 6, 6]),
        ("sample_file2", [6, 6]),
        ("sample_file3", "WB-D-002"),
        ("sample_file4", [6]),
        ("sample_file5", "WB-D-007"),
        ("sample_file6", [6]),
        ("sample_batch", [6]),
        ("sample_batch1", [6, 6]),
        ("sample_batch2", [6, 6]),
        ("sample_batch3", "WB-D-002"),
        ("sample_batch4", [6]),
        ("sample_bad_batch", []),
        ("sample_bad_batch1", "WB-D-007"),
        ("sample_bad_file", []),
        ("sample_bad_file1", "WB-D-007"),
        ("sample_bad_file2", "WB-D-007"),
        ("sample_bad_file3", []),
        ("rep_sample_hl7", [2]),
        ("sample_hl7", [5]),
        ("sample_msh", [9]),
    ],
)
def test_batch_samples_are_read_deferred_or_refused(name: str, outcome: list[int] | str) -> None:
    file = SAMPLES / "python_hl7/extracted" / f"{name}.hl7"
    if isinstance(outcome, str):
        with pytest.raises((Deferred, Refused), match=outcome):
            read_messages(file, name=name)
        return
    found = read_messages(file, name=name)
    assert [len(message.all) for message in found.messages] == outcome
    assert found.held.height == (0 if outcome else 1)
