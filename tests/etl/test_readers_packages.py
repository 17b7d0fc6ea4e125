"""Archives and uploads: whole, safe, or not taken at all."""

from __future__ import annotations

import hashlib
import io
import stat
import struct
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wellbridge.etl.readers.completeness import check_complete, check_sidecar, check_text_end
from wellbridge.etl.readers.packages import Limits, open_zip
from wellbridge.etl.reading import Deferred, Refused

SMALL = Limits(ratio=100, floor_bytes=1000, entries=5, entry_bytes=10_000, total_bytes=20_000)


def archive(*members: tuple[str | zipfile.ZipInfo, bytes], packing: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", packing) as target:
        for name, content in members:
            target.writestr(name, content)
    return buffer.getvalue()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "f.zip"


def refuses(path: Path, content: bytes, **options: object) -> None:
    path.write_bytes(content)
    with pytest.raises(Refused) as caught:
        open_zip(path, **options)  # type: ignore[arg-type]
    assert (caught.value.rule, caught.value.file, caught.value.__context__) == ("WB-D-007", "f.zip", None)


# -- whole or not ------------------------------------------------------------------------------------------


def test_members_are_listed_and_written_under_the_hash_of_their_content(path: Path, tmp_path: Path) -> None:
    path.write_bytes(archive(("users.csv", b"a,b\n"), ("orgs.csv", b"")))
    package = open_zip(path)
    assert package.names == ("users.csv", "orgs.csv")
    target = tmp_path / "to"
    target.mkdir()
    users = package.extract("users.csv", target)
    assert (users.name, users.read_bytes()) == (hashlib.sha256(b"a,b\n").hexdigest(), b"a,b\n")
    assert stat.S_IMODE(users.stat().st_mode) == 0o600
    assert package.extract("orgs.csv", target).read_bytes() == b""
    assert len(list(target.iterdir())) == 2


def test_every_prefix_of_a_zip_file_is_still_uploading(path: Path) -> None:
    whole = archive(("a.csv", b"a\n"), ("b.csv", b"b\n" * 50))
    for size in range(1, len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(Deferred) as caught:
            open_zip(path)
        assert caught.value.rule == "WB-D-002"


def test_a_zip_file_of_no_bytes_is_refused_as_empty(path: Path) -> None:
    path.write_bytes(b"")
    with pytest.raises(Refused) as caught:
        open_zip(path)
    assert caught.value.rule == "WB-D-001"


def test_what_is_no_zip_file_or_has_bytes_around_it_is_refused(path: Path) -> None:
    whole = archive(("a.csv", b"a\n"))
    refuses(path, b"a,b\n1,2\n")
    refuses(path, b"#!/bin/sh\n" + whole)
    refuses(path, whole + b"x")


# -- unsafe names ------------------------------------------------------------------------------------------

EVIL = ["../a", "..\\a", "/a", "\\a", "C:a", "C:\\a", "\\\\host\\a", "a/../../b", "a\0b", "a:b", "con",
        "NUL.csv", ".", "..", "a ", "a.", "a\nb", "\x7f", "./a", "a//b", "lpt1.txt"]


@pytest.mark.parametrize("name", EVIL)
@pytest.mark.parametrize("nested", [False, True])
def test_names_that_could_leave_the_folder_are_refused(path: Path, name: str, nested: bool) -> None:
    entry = zipfile.ZipInfo("placeholder")
    entry.filename = name
    refuses(path, archive((entry, b"x")), nested=nested)


def test_folders_are_refused_unless_allowed(path: Path) -> None:
    content = archive(("d/", b""), ("d/a.csv", b"x"))
    refuses(path, content)
    assert open_zip(path, nested=True).names == ("d/a.csv",)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12))
def test_whatever_a_member_is_called_nothing_is_written_outside(tmp_path: Path, name: str) -> None:
    entry = zipfile.ZipInfo("placeholder")
    entry.filename = name
    path = tmp_path / "f.zip"
    path.write_bytes(archive((entry, b"x")))
    target = tmp_path / "deep" / "to"
    target.mkdir(parents=True, exist_ok=True)
    try:
        package = open_zip(path, nested=True)
        written = [package.extract(member, target) for member in package.names]
    except Refused:
        written = []
    assert all(one.parent == target and one.name == hashlib.sha256(b"x").hexdigest() for one in written)
    assert {one.name for one in tmp_path.iterdir()} == {"f.zip", "deep"}
    assert {one.name for one in target.iterdir()} <= {hashlib.sha256(b"x").hexdigest()}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("other", ["a.csv", "A.CSV"])
def test_two_members_of_one_name_are_refused(path: Path, other: str) -> None:
    refuses(path, archive(("a.csv", b"1"), (other, b"2")))


# -- unsafe content ----------------------------------------------------------------------------------------


def test_links_and_devices_are_refused(path: Path) -> None:
    for kind in (stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR):
        entry = zipfile.ZipInfo("a.csv")
        entry.external_attr = (kind | 0o644) << 16
        refuses(path, archive((entry, b"/etc/passwd")))


def test_encrypted_members_and_other_packings_are_refused(path: Path) -> None:
    encrypted = bytearray(archive(("a.csv", b"x")))
    at = encrypted.index(b"PK\x01\x02")
    encrypted[at + 8] |= 1
    refuses(path, bytes(encrypted))
    refuses(path, archive(("a.csv", b"x"), packing=zipfile.ZIP_BZIP2))
    refuses(path, archive(("a.csv", b"x"), packing=zipfile.ZIP_LZMA))


def test_too_many_or_too_large_members_are_refused_before_any_is_expanded(path: Path) -> None:
    refuses(path, archive(*((f"{n}.csv", b"x") for n in range(6))), limits=SMALL)
    refuses(path, archive(("a", b"x" * 10_001), packing=zipfile.ZIP_STORED), limits=SMALL)
    three = archive(*((f"{n}", b"x" * 9_000) for n in range(3)), packing=zipfile.ZIP_STORED)
    refuses(path, three, limits=SMALL)


def test_a_bomb_is_refused_by_its_own_account(path: Path) -> None:
    refuses(path, archive(("a.csv", b"\n" * (1 << 24))))


def test_a_bomb_with_a_lying_header_is_stopped_while_it_expands(path: Path, tmp_path: Path) -> None:
    content = bytearray(archive(("a.csv", b"\n" * (1 << 24))))
    for mark, offset in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        struct.pack_into("<L", content, content.index(mark) + offset, 100)
    path.write_bytes(content)
    package = open_zip(path)
    with pytest.raises(Refused) as caught:
        package.extract("a.csv", tmp_path)
    assert (caught.value.rule, caught.value.__context__) == ("WB-D-007", None)
    assert [one.name for one in tmp_path.iterdir()] == ["f.zip"]


def test_members_together_may_not_exceed_the_total_while_expanding(path: Path, tmp_path: Path) -> None:
    path.write_bytes(archive(("a", b"a" * 900), ("b", b"b" * 900)))
    package = open_zip(path, limits=Limits(total_bytes=1_800))
    package.extract("a", tmp_path)
    package.extract("b", tmp_path)
    with pytest.raises(Refused):
        package.extract("a", tmp_path)


def test_entries_that_share_bytes_are_refused(path: Path) -> None:
    """One member's data, listed a thousand times: 49 kB that claim a gigabyte."""
    content = archive(("a000", b"x" * 500))
    at = content.index(b"PK\x01\x02")
    end = content.index(b"PK\x05\x06")
    entries = b"".join(content[at:end].replace(b"a000", b"a%03d" % n) for n in range(900))
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 900, 900, len(entries), at, 0)
    refuses(path, content[:at] + entries + tail)


@pytest.mark.parametrize("inner", [archive(("a", b"x")), b"\x1f\x8b\x08\x00", b"BZh91AY"])
def test_an_archive_inside_an_archive_is_refused(path: Path, tmp_path: Path, inner: bytes) -> None:
    path.write_bytes(archive(("a.csv", inner)))
    with pytest.raises(Refused):
        open_zip(path).extract("a.csv", tmp_path)


def test_damaged_content_is_refused_and_leaves_nothing(path: Path, tmp_path: Path) -> None:
    content = bytearray(archive(("a.csv", b"abcdefgh" * 20), packing=zipfile.ZIP_STORED))
    content[60] ^= 1
    path.write_bytes(content)
    with pytest.raises(Refused):
        open_zip(path).extract("a.csv", tmp_path)
    assert [one.name for one in tmp_path.iterdir()] == ["f.zip"]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_flipped_byte_gives_the_content_or_a_refusal(tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(archive(("a.csv", b"abc\n" * 30), ("b.csv", b"x")))
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path = tmp_path / "f.zip"
    path.write_bytes(content)
    try:
        package = open_zip(path)
        got = [package.extract(name, tmp_path).read_bytes() for name in package.names]
    except (Refused, Deferred):
        return
    assert got == [b"abc\n" * 30, b"x"]


# -- completeness ------------------------------------------------------------------------------------------


def test_no_prefix_of_a_file_with_a_sidecar_is_complete(tmp_path: Path) -> None:
    whole = b"id,name\n" + b"".join(b"%04d,x\n" % n for n in range(290))
    assert len(whole) > 2_000
    path = tmp_path / "f.csv"
    (tmp_path / "f.csv.done").write_text(f"{hashlib.sha256(whole).hexdigest()}  {len(whole)}\n")
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(Deferred) as caught:
            check_complete(path)
        assert (caught.value.rule, caught.value.file) == ("WB-D-002", "f.csv")
    path.write_bytes(whole)
    check_complete(path)
    assert check_sidecar(path)


def test_no_prefix_of_a_sidecar_completes_a_file(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_bytes(b"x" * 123)
    line = f"{hashlib.sha256(b'x' * 123).hexdigest()}  123\n"
    for size in range(len(line) - 1):
        (tmp_path / "f.csv.done").write_text(line[:size])
        with pytest.raises(Deferred):
            check_sidecar(path)


def test_a_file_of_the_right_size_and_other_content_is_not_complete(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_bytes(b"abc\n")
    (tmp_path / "f.csv.done").write_text(f"{hashlib.sha256(b'abd ').hexdigest()}  4\n")
    with pytest.raises(Deferred):
        check_complete(path)


def test_text_without_a_sidecar_must_end_with_a_line_end(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    for content in (b"", b"a\n", b"a\r\n", b"a\r"):
        path.write_bytes(content)
        check_complete(path)
    assert not check_sidecar(path)
    for content in (b"a", b"a\nb"):
        path.write_bytes(content)
        with pytest.raises(Deferred):
            check_text_end(path)
