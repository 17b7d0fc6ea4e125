"""What clkhash and anonlink take for a CSV of records, as JSON: run by a Python of an environment of its own.

See `make clkhash`. PYTHON bench/clkhash_numbers.py RECORDS.csv OTHERS.csv --schema SCHEMA.json --secret TEXT
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import time
from pathlib import Path

from clkhash.clk import generate_clks
from clkhash.schema import from_json_dict


def encoded(path: Path, schema: dict, secret: str) -> tuple[list, float]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))[1:]
    begin = time.process_time()
    found = generate_clks(rows, from_json_dict(schema), secret, validate=False, max_workers=1)
    return found, time.process_time() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", type=Path, nargs=2)
    parser.add_argument("--schema", type=Path, required=True)
    parser.add_argument("--secret", required=True)
    parser.add_argument("--threshold", type=float, default=0.8)
    parser.add_argument(
        "--cross", type=int, default=10_000, help="records of either file that anonlink compares"
    )
    given = parser.parse_args()
    schema = json.loads(given.schema.read_text("utf-8"))
    sides = [encoded(file, schema, given.secret) for file in given.files]
    result = {
        "records": len(sides[0][0]),
        "encode_cpu_s": sides[0][1],
        "sha256": hashlib.sha256(b"".join(one.tobytes() for one in sides[0][0])).hexdigest(),
    }
    try:
        from anonlink.similarities import dice_coefficient  # noqa: PLC0415 - no wheel for every Python
    except ImportError:
        dice_coefficient = None
    if dice_coefficient is not None:
        parts = [side[0][: given.cross] for side in sides]
        begin = time.process_time()
        found = dice_coefficient(parts, given.threshold)
        result |= {
            "cross": len(parts[0]) * len(parts[1]),
            "cross_cpu_s": time.process_time() - begin,
            "alike": len(found[0]),
        }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
