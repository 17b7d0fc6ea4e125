"""Encoded linkage: CPU seconds, accuracy and memory of ours, clkhash and anonlink beside them in the same run.

    python bench/encoded.py [--children 50000] [--large 400000] [--seed 7] [--clkhash PYTHON]

`make clkhash` installs clkhash and anonlink where this looks for them; without them our figures stand alone. Each side
is a process of its own; what it takes to start and to read files is not counted, what it takes to encode is.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from nightly import REPO

CLKHASH: Final = REPO / ".venv-clkhash/bin/python"
SECRET: Final = "a secret of the benchmark"
COLUMNS: Final = {"record_id": "unique_id", "last_name": "surname", "birth_date": "dob", "zip_code": "zip"}
NAMES: Final = ("unique_id", "first_name", "surname", "dob", "sex")
MIN_RECORDS_PER_CPU_S: Final = 100_000
MIN_RECALL: Final = 0.94
MIN_PRECISION: Final = 0.999
MAX_LARGE_CPU_S: Final = 31.0


def schema() -> dict[str, Any]:
    """Return a schema as CODI's are: pairs of letters of names, date and sex, 1,024 bits."""

    def feature(name: str, comparison: dict[str, Any], bits: int) -> dict[str, Any]:
        hashing = {
            "strategy": {"bitsPerFeature": bits},
            "comparison": comparison,
            "hash": {"type": "blakeHash"},
            "missingValue": {"sentinel": ""},
        }
        return {"identifier": name, "format": {"type": "string", "encoding": "utf-8"}, "hashing": hashing}

    pairs = {"type": "ngram", "n": 2, "positional": False}
    features = [feature(name, pairs, 200) for name in NAMES[1:4]] + [feature("sex", {"type": "exact"}, 60)]
    return {
        "version": 3,
        "clkConfig": {"l": 1024, "kdf": {"type": "HKDF"}},
        "features": [{"identifier": NAMES[0], "ignored": True}, *features],
    }


def make(folder: Path, children: int, seed: int) -> None:
    from wellbridge.pipelines.synth.pairs import write_pairs  # noqa: PLC0415 - the parent process stays small

    write_pairs(folder, children=children, seed=seed)


def filters(folder: Path) -> dict[str, Any]:
    """Encode by the schema as clkhash does."""
    import polars as pl  # noqa: PLC0415

    from wellbridge.etl.identity.encoded.clk import encode  # noqa: PLC0415
    from wellbridge.etl.identity.encoded.clks import match  # noqa: PLC0415
    from wellbridge.etl.identity.encoded.schema import schema_from  # noqa: PLC0415

    frames = [pl.read_csv(folder / f"{side}.csv", infer_schema=False) for side in ("left", "right")]
    read = schema_from(schema(), "bench")
    begin = time.process_time()
    found = encode(frames[0], read, SECRET.encode())
    encoded = time.process_time()
    other = encode(frames[1][:10_000], read, SECRET.encode())
    middle = time.process_time()
    alike = match(found[:2_000], other[:2_000], 0.8)
    return {
        "records": len(found),
        "encode_cpu_s": encoded - begin,
        "sha256": hashlib.sha256(found.tobytes()).hexdigest(),
        "cross": 4_000_000,
        "cross_cpu_s": time.process_time() - middle,
        "links": alike.height,
    }


def linkage(folder: Path) -> dict[str, Any]:
    """Encode both files by our own profile and link them."""
    import polars as pl  # noqa: PLC0415

    from wellbridge.etl.identity.encoded.linking import link  # noqa: PLC0415
    from wellbridge.etl.identity.encoded.partner import prepare  # noqa: PLC0415
    from wellbridge.etl.identity.encoded.profile import encode  # noqa: PLC0415
    from wellbridge.etl.identity.standard import standardise  # noqa: PLC0415

    def key(field: str) -> bytes:
        return hashlib.sha256(field.encode()).digest()

    frames = [pl.read_parquet(folder / f"{side}.parquet") for side in ("left", "right")]
    begin = time.process_time()
    sides = [prepare(frame, key, columns=COLUMNS) for frame in frames]
    prepared = time.process_time()
    found = link(sides[0].records, sides[1].records)
    linked = time.process_time()
    named = (
        frames[0].rename({theirs: ours for ours, theirs in COLUMNS.items()}).with_columns(source=pl.lit(""))
    )
    standard = standardise(named)
    again = time.process_time()
    costs = []
    for _ in range(3):
        begun = time.process_time()
        encode(standard, key)
        costs.append(time.process_time() - begun)
    who = [
        side.rows.join(
            frame.select(pl.col("unique_id").alias("record_id"), "pid", "double_surname", "twin"),
            on="record_id",
            maintain_order="left",
        )
        for side, frame in zip(sides, frames, strict=True)
    ]
    left, right = (
        one[found.links[f"{side}_row"] - 1] for one, side in zip(who, ("left", "right"), strict=True)
    )
    hit = left["pid"] == right["pid"]
    truth = frames[0].join(frames[1], on="pid")
    recall = {
        name: float((left.filter(hit)[name].sum()) / max(1, truth[name].sum()))
        for name in ("double_surname", "twin")
    }
    return {
        "records": frames[0].height,
        "encode_cpu_s": min(costs),
        "standardise_cpu_s": again - linked,
        "prepare_cpu_s": prepared - begin,
        "link_cpu_s": linked - prepared,
        "links": found.links.height,
        "precision": float(hit.mean() or 0.0),
        "recall": float(hit.sum() / truth.height),
        "wrong": int((~hit).sum()),
        "expected_false": found.calibration.false,
        "recall_by": recall,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def hardening(folder: Path) -> dict[str, Any]:
    """Link with and without salt and folding, each by a model of its own, trained on other children."""
    import polars as pl  # noqa: PLC0415

    from wellbridge.etl.identity.encoded.linking import link  # noqa: PLC0415
    from wellbridge.etl.identity.encoded.matching import compared  # noqa: PLC0415
    from wellbridge.etl.identity.encoded.profile import encode  # noqa: PLC0415
    from wellbridge.etl.identity.encoded.scorer import train  # noqa: PLC0415
    from wellbridge.etl.identity.standard import standardise  # noqa: PLC0415
    from wellbridge.pipelines.synth.pairs import COVERAGE, make_pairs  # noqa: PLC0415

    def whole(frame: pl.DataFrame) -> pl.DataFrame:
        named = frame.rename({column: trait for trait, column in COLUMNS.items()})
        return standardise(named.with_columns(source=pl.lit(""))).drop_nulls(
            ["first_name", "last_name", "birth_date"]
        )

    files = [whole(pl.read_parquet(folder / f"{side}.parquet")) for side in ("left", "right")]
    others = [whole(frame) for frame in make_pairs(children=files[0].height, seed=91_001)]
    truth = files[0].join(files[1], on="pid").height
    found: dict[str, Any] = {}
    for is_salted, folds in ((True, 1), (True, 0), (False, 1), (False, 0)):

        def key(field: str) -> bytes:
            return hashlib.sha256(field.encode()).digest()

        def encoded(frame: pl.DataFrame, is_salted: bool = is_salted, folds: int = folds) -> Any:
            return encode(frame, key, is_salted=is_salted, folds=folds)

        pairs = compared(encoded(others[0]), encoded(others[1]))
        is_match = others[0]["pid"].to_numpy()[pairs.left] == others[1]["pid"].to_numpy()[pairs.right]
        told = {"name": "", "trained_on": "", "date": "", "reviewer": ""}
        model = train(pairs, is_match, children=others[0].height, share=COVERAGE, **told)
        begin = time.process_time()
        sides = encoded(files[0]), encoded(files[1])
        cost = time.process_time() - begin
        links = link(*sides, model=model).links
        hit = files[0]["pid"].gather(links["left_row"] - 1) == files[1]["pid"].gather(links["right_row"] - 1)
        name = f"{'birth year' if is_salted else 'no salt':<10} {'folded' if folds else 'not folded'}"
        found[name] = {
            "recall": float(hit.sum() / truth),
            "precision": float(hit.mean() or 0.0),
            "encode_cpu_s": cost,
        }
    return found


def child(step: str, *arguments: str) -> dict[str, Any]:
    """Run one step in a process of its own."""
    roots = ":".join(str(REPO / floor) for floor in ("etl", "schemas", "pipelines", "privacy", "bench"))
    done = subprocess.run(
        [sys.executable, __file__, "--step", step, *arguments],
        env={"PYTHONPATH": roots},
        check=True,
        capture_output=True,
        text=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def theirs(python: Path, folder: Path) -> dict[str, Any]:
    (folder / "schema.json").write_text(json.dumps(schema()), "utf-8")
    done = subprocess.run(
        [
            str(python),
            str(REPO / "bench/clkhash_numbers.py"),
            str(folder / "left.csv"),
            str(folder / "right.csv"),
            "--schema",
            str(folder / "schema.json"),
            "--secret",
            SECRET,
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def line(name: str, value: float, target: float, unit: str, *, at_most: bool = True) -> bool:
    fits = value <= target if at_most else value >= target
    print(
        f"{name:<58} {value:>12,.4f} {unit:<6} {'≤' if at_most else '≥'} {target:>11,.3f}  {'yes' if fits else 'NO'}"
    )
    return fits


def report(found: dict[str, Any], *, is_large: bool) -> None:
    size = found["records"]
    whole = 2 * found["encode_cpu_s"] + found["link_cpu_s"]
    print(
        f"{size:,} x {size:,}: {found['links']:,} links, {found['wrong']} wrong where at most "
        f"{found['expected_false']:.0f} were expected; peak {found['peak_mb']:,.0f} MB"
    )
    print(
        f"  standardise one file {found['standardise_cpu_s']:.2f}, encode it {found['encode_cpu_s']:.2f}, link "
        f"{found['link_cpu_s']:.2f} CPU-s; both files read to links {found['prepare_cpu_s'] + found['link_cpu_s']:.2f}"
    )
    print("  recall " + ", ".join(f"{name} {value:.4f}" for name, value in found["recall_by"].items()))
    if is_large:
        line("  encode both, block, score, decide", whole, MAX_LARGE_CPU_S, "CPU-s")
    else:
        rate = size / found["encode_cpu_s"]
        line("  five filters and seven tokens, least of three", rate, MIN_RECORDS_PER_CPU_S, "rec/s", at_most=False)
        line("  recall, the limit found without the truth", found["recall"], MIN_RECALL, "", at_most=False)
    line("  precision", found["precision"], MIN_PRECISION, "", at_most=False)
    if is_large:
        print(f"  recall {found['recall']:.4f}")


def compare(given: argparse.Namespace, folder: Path) -> None:
    """Encode the same names by the same schema here and in clkhash."""
    ours = child("filters", str(folder))
    rate = ours["records"] / ours["encode_cpu_s"]
    line("  clkhash's blakeHash filters, our encoder", rate, MIN_RECORDS_PER_CPU_S, "rec/s", at_most=False)
    if not given.clkhash.exists():
        return
    other = theirs(given.clkhash, folder)
    print(
        f"  clkhash {other['records'] / other['encode_cpu_s']:,.0f} rec/s; the filters are "
        f"{'the same' if other['sha256'] == ours['sha256'] else 'DIFFERENT'}"
    )
    line(
        "  times faster than clkhash",
        rate / (other["records"] / other["encode_cpu_s"]),
        5,
        "×",
        at_most=False,
    )
    if "cross" in other:
        full = other["cross_cpu_s"] / other["cross"] * ours["records"] ** 2
        rates = [one["cross"] / one["cross_cpu_s"] / 1e6 for one in (other, ours)]
        print(
            f"  all with all: anonlink {rates[0]:,.0f} M/s (these files: {full:,.1f} CPU-s), ours {rates[1]:,.0f} M/s; "
            "joined by tokens: see above"
        )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--children", type=int, default=50_000)
    parser.add_argument("--large", type=int, default=400_000, help="0 leaves it out")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--clkhash", type=Path, default=CLKHASH)
    parser.add_argument("--hardening", action="store_true", help="measure what salt and folding cost")
    parser.add_argument("--step", choices=["filters", "linkage", "hardening"])
    parser.add_argument("folder", type=Path, nargs="?")
    given = parser.parse_args(arguments)
    if given.step:
        steps = {"filters": filters, "linkage": linkage, "hardening": hardening}
        print(json.dumps(steps[given.step](given.folder)))
        return
    for size in (given.children, given.large):
        if not size:
            continue
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            make(folder, size, given.seed)
            report(child("linkage", name), is_large=size == given.large)
            if size == given.children:
                import polars as pl  # noqa: PLC0415

                for side in ("left", "right"):
                    pl.read_parquet(folder / f"{side}.parquet").select(NAMES).write_csv(
                        folder / f"{side}.csv"
                    )
                compare(given, folder)
                if given.hardening:
                    for variant, one in child("hardening", name).items():
                        print(
                            f"  {variant:<24} recall {one['recall']:.4f}, precision {one['precision']:.4f}, "
                            f"both encoded in {one['encode_cpu_s']:.2f} CPU-s"
                        )


if __name__ == "__main__":
    main()
