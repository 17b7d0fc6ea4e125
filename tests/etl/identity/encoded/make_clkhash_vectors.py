"""Make ``clkhash_vectors.bin`` with the real clkhash: run by the Python of its own environment, see `make clkhash`.

PYTHON tests/etl/identity/encoded/make_clkhash_vectors.py [CODI's folder of schemas]
"""

from __future__ import annotations

import json
import sys
from hashlib import blake2b
from pathlib import Path

from clkhash.clk import generate_clks
from clkhash.schema import from_json_dict
from clkhash_records import CODI, CODI_COUNT, CODI_KINDS, COUNT, DIGEST_BYTES, SCHEMAS, rows, secret


def digests(name, schema, kinds, count):
    filters = generate_clks(rows(name, kinds, count), from_json_dict(schema), secret(name), max_workers=1)
    return b"".join(blake2b(one.tobytes(), digest_size=DIGEST_BYTES).digest() for one in filters)


def main():
    here = Path(__file__).parent
    ours = b"".join(digests(name, schema, kinds, COUNT) for name, (schema, kinds) in SCHEMAS.items())
    (here / "clkhash_vectors.bin").write_bytes(ours)
    if len(sys.argv) > 1:
        folder = Path(sys.argv[1])
        read = {
            name: json.loads((folder / f"schema-name-sex-dob-{name}.json").read_text("utf-8"))
            for name in CODI
        }
        theirs = b"".join(digests(name, schema, CODI_KINDS, CODI_COUNT) for name, schema in read.items())
        (here / "codi_vectors.bin").write_bytes(theirs)


if __name__ == "__main__":
    main()
