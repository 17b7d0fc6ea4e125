"""Bombs: refused or held within five seconds and 300 MB, with nothing written beside the landing folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAX_SECONDS = 5.0
MAX_BYTES = 300 * 1024 * 1024

SCRIPT = '''
import gzip, io, json, struct, sys, time, zipfile
from pathlib import Path
from wellbridge.etl.reading import Deferred, Refused
from wellbridge.etl.readers.delimited import read_delimited
from wellbridge.etl.readers.fixed_width import read_fixed_width
from wellbridge.etl.readers.hl7v2 import read_messages
from wellbridge.etl.readers.json_records import read_json_array, read_ndjson
from wellbridge.etl.readers.packages import open_zip

folder = Path(sys.argv[1])
to = folder / "to"
to.mkdir()
MB = 1 << 20

def peak():
    # Not ru_maxrss: a process inherits that of the one that started it.
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line]
    return int(line.split()[1]) * 1024

def repeated(name, piece, times, start=b"", end=b"\\n"):
    with (folder / name).open("wb") as handle:
        handle.write(start)
        for _ in range(times):
            handle.write(piece)
        handle.write(end)
    return folder / name

def zipped(name, size, lie=None):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a.csv", "w") as member:
        for _ in range(size // MB):
            member.write(b"0" * MB)
    content = bytearray(buffer.getvalue())
    for mark, offset in ((b"PK\\x01\\x02", 24), (b"PK\\x03\\x04", 22)) if lie else ():
        struct.pack_into("<L", content, content.index(mark) + offset, lie)
    (folder / name).write_bytes(content)
    return folder / name

def extract(path):
    package = open_zip(path)
    return [package.extract(name, to) for name in package.names]

def overlapping(name):
    data = zipfile.ZipFile(buffer := io.BytesIO(), "w", zipfile.ZIP_DEFLATED)
    with data:
        data.writestr("a000", b"0" * MB)
    content = buffer.getvalue()
    at, end = content.index(b"PK\\x01\\x02"), content.index(b"PK\\x05\\x06")
    entries = b"".join(content[at:end].replace(b"a000", b"a%03d" % n) for n in range(1000))
    tail = struct.pack("<4s4H2LH", b"PK\\x05\\x06", 0, 0, 1000, 1000, len(entries), at, 0)
    (folder / name).write_bytes(content[:at] + entries + tail)
    return folder / name

def counted(chunks):
    rows = held = 0
    for chunk in chunks:
        kept, bad = chunk if isinstance(chunk, tuple) else (chunk.rows, chunk.held)
        rows += len(kept)
        held += bad.height
    return rows, held

def csv(path, headers=("a", "b")):
    return lambda: counted(read_delimited(path, name="f", headers=headers))

def gz(name, *layers):
    data = b"0" * (64 * MB)
    for _ in range(*layers):
        data = gzip.compress(data, 6)
    (folder / name).write_bytes(data)
    return folder / name

ndjson = lambda path: lambda: counted(read_ndjson(path, name="f"))
cases = {
    "zip of 300 MB in 300 kB": (lambda p: lambda: extract(p))(zipped("a.zip", 300 * MB)),
    "zip with a lying header": (lambda p: lambda: extract(p))(zipped("b.zip", 300 * MB, lie=100)),
    "zip of 1000 overlapping entries": (lambda p: lambda: extract(p))(overlapping("c.zip")),
    "gzip bomb": ndjson(gz("d.gz", 1)),
    "gzip in gzip": ndjson(gz("e.gz", 2)),
    "header of 1000000 columns": csv(repeated("f.csv", b"x,", 1_000_000)),
    "field of 400 MB": csv(repeated("g.csv", b"x" * MB, 400, b"a,b\\n1,2\\n", b",2\\n3,4\\n")),
    "quote never closed in 20 MB": csv(repeated("h.csv", b"1,2\\n" * (MB // 4), 20, b'a,b\\n"1,2\\n')),
    "a quote in each of 2 million lines": csv(repeated("i.csv", b'"1,2\\n' * 200_000, 10, b"a,b\\n", b"")),
    "quotes and nothing else": csv(repeated("j.csv", b'"' * MB, 40, b"a,b\\n")),
    "returns and nothing else": csv(repeated("k.csv", b"\\r" * MB, 40, b"a,b\\n", b"1,2\\n")),
    "line ends and nothing else": csv(repeated("l.csv", b"\\n" * MB, 200, b"a,b\\n")),
    "JSON line of 400 MB": ndjson(repeated("m.ndjson", b"x" * MB, 400)),
    "JSON line of brackets": ndjson(repeated("n.ndjson", b"[" * MB, 10)),
    "JSON page of 400 MB": lambda: counted(read_json_array(PAGE, name="f")),
    "fixed-width line of 400 MB": lambda: counted(read_fixed_width(LINE, name="f", fields={"a": (1, 3)})),
    "HL7 file of 400 MB": lambda: read_messages(LINE, name="f"),
}
PAGE = repeated("o.json", b" " * MB, 400, b"[")
LINE = folder / "m.ndjson"
results = {}
for name, run in cases.items():
    start = time.process_time()
    try:
        outcome = run()
    except (Refused, Deferred) as error:
        outcome = error.rule
    results[name] = [str(outcome), time.process_time() - start, peak()]
print(json.dumps(results))
'''


pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's process status")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, float, int]]:
    folder = tmp_path_factory.mktemp("bombs")
    paths = os.pathsep.join(str(ROOT / part) for part in ("etl", "schemas", "pipelines", "privacy"))
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder)], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": paths}, cwd=folder,
    )
    for file in folder.glob("*.*"):
        file.unlink()
    assert run.returncode == 0, run.stderr[-2000:]
    assert [file.name for file in folder.iterdir()] == ["to"]
    assert list((folder / "to").iterdir()) == []
    found: dict[str, tuple[str, float, int]] = json.loads(run.stdout)
    return found


def test_every_bomb_is_refused_or_held(results: dict[str, tuple[str, float, int]]) -> None:
    assert {name: outcome for name, (outcome, _, _) in results.items()} == {
        "zip of 300 MB in 300 kB": "WB-D-007",
        "zip with a lying header": "WB-D-007",
        "zip of 1000 overlapping entries": "WB-D-007",
        "gzip bomb": "WB-D-007",
        "gzip in gzip": "WB-D-007",
        "header of 1000000 columns": "WB-D-003",
        "field of 400 MB": "(2, 1)",
        "quote never closed in 20 MB": "(5242880, 1)",
        "a quote in each of 2 million lines": "(0, 2000000)",
        "quotes and nothing else": "(0, 1)",
        "returns and nothing else": "(0, 1)",
        "line ends and nothing else": "(0, 0)",
        "JSON line of 400 MB": "(0, 1)",
        "JSON line of brackets": "(0, 1)",
        "JSON page of 400 MB": "WB-D-007",
        "fixed-width line of 400 MB": "(0, 1)",
        "HL7 file of 400 MB": "WB-D-007",
    }


def test_no_bomb_costs_more_than_five_seconds(results: dict[str, tuple[str, float, int]]) -> None:
    assert {name: seconds for name, (_, seconds, _) in results.items() if seconds >= MAX_SECONDS} == {}


def test_no_bomb_costs_more_than_300_megabytes(results: dict[str, tuple[str, float, int]]) -> None:
    assert {name: size for name, (_, _, size) in results.items() if size >= MAX_BYTES} == {}
