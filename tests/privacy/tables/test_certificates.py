"""Certificates: true ones verify, changed ones do not, and the public one says nothing of the truth."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import random
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import count, islice, product
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from privacy.tables.independent_judge import Judge, read_completions, written
from privacy.tables.random_tables import Sample, sample
from wellbridge.privacy import release_verifier
from wellbridge.privacy.signing import Signer, new_signing_key, origin, read_public_keys
from wellbridge.privacy.tables import verifier
from wellbridge.privacy.tables.certificate import (
    attacked,
    public_certificate,
    sealed_certificate,
    table_bytes,
    write_release,
)
from wellbridge.privacy.tables.linked import Need
from wellbridge.privacy.tables.protection import ProtectedTable
from wellbridge.privacy.tables.suppress import EXACT, QUICK
from wellbridge.privacy.tables.verifier import verify
from wellbridge.schemas.errors import ConfigurationError

Json = dict[str, Any]
TABLES = 60
CHANGED = 1_000


@dataclass
class Release:
    """What leaves, and what the auditor holds, open to be changed."""

    lines: list[str]
    public: Json
    sealed: Json
    is_digest_kept: bool = False  # else both certificates are made to fit what was changed

    def write(self, folder: Path) -> None:
        folder.mkdir()
        content = "\n".join(self.lines).encode()
        if not self.is_digest_kept:
            self.public["sha256"] = hashlib.sha256(content).hexdigest()
            self.sealed["certificate"] = hashlib.sha256(json.dumps(self.public).encode()).hexdigest()
        (folder / "table.csv").write_bytes(content)
        (folder / "certificate.json").write_text(json.dumps(self.public), encoding="utf-8")


def protected(seed: int) -> tuple[Sample, ProtectedTable | None]:
    table = sample(seed)
    return table, table.protected(QUICK if seed % 3 else EXACT)


def with_hidden_cells() -> Iterator[tuple[int, Sample, ProtectedTable]]:
    """Yield random tables of which something is hidden."""
    for seed in count():
        table, found = protected(seed)
        if found is not None and found.primary:
            yield seed, table, found


def released(found: ProtectedTable, folder: Path, signer: Signer | None = None) -> Release:
    public = write_release(found, folder, signer=signer)
    assert json.loads((folder / "certificate.json").read_text(encoding="utf-8")) == public
    lines = (folder / "table.csv").read_text(encoding="utf-8").split("\n")
    return Release(lines, public, sealed_certificate(found, public))


def test_every_certificate_verifies_and_is_true(tmp_path: Path) -> None:
    for seed, _, found in islice(with_hidden_cells(), TABLES):
        release = released(found, tmp_path / str(seed))
        assert verify(tmp_path / str(seed)) == [], seed
        assert verify(tmp_path / str(seed), release.sealed) == [], seed
        assert Judge(release.public["axes"], "n").holds(tmp_path / str(seed), release.sealed), seed


@pytest.mark.parametrize("seed", [87, 125, 153])
def test_completions_are_found_where_others_must_move_further_than_the_cell_itself(seed: int, tmp_path: Path) -> None:
    found = sample(seed).protected(EXACT)
    assert found is not None
    write_release(found, tmp_path / "out")


def test_a_small_cell_that_must_rise_is_not_content_when_the_larger_one_that_goes_with_it_falls(tmp_path: Path) -> None:
    counts = {("S0", "R0"): 9, ("S1", "R0"): 10, ("S1", "R1"): 1, ("S1", "R2"): 20, ("S2", "R0"): 31, ("S2", "R1"): 9,
              ("S2", "R2"): 11}
    rows = pl.DataFrame([(*cell, n) for cell, n in counts.items()], schema=["school", "race", "n"], orient="row")
    found = Sample(rows, (("school",), ("race",)), 10, Need.STRONG).protected(EXACT)
    assert found is not None
    write_release(found, tmp_path / "out")


# -- changed certificates --------------------------------------------------------------------------------------


def changed(certificate: Json, how: Callable[[list[list[int]]], None]) -> None:
    """Change the completions of a certificate, each a list of the blanks' counts."""
    completions = read_completions(certificate)
    how(completions)
    certificate["completions"] = written(completions, certificate["digits"])


def some(draw: random.Random, completions: list[list[int]], first: int = 1) -> list[int]:
    return completions[draw.randrange(min(first, len(completions) - 1), len(completions))]


def count_of_a_completion(draw: random.Random, release: Release, certificate: Json) -> None:
    def how(completions: list[list[int]]) -> None:
        counts = some(draw, completions)
        counts[draw.randrange(len(counts))] += draw.choice([-2, -1, 1, 2])

    changed(certificate, how)


def counts_swapped(draw: random.Random, release: Release, certificate: Json) -> None:
    def how(completions: list[list[int]]) -> None:
        counts = some(draw, completions)
        one, two = draw.randrange(len(counts)), draw.randrange(len(counts))
        counts[one], counts[two] = counts[two], counts[one]

    changed(certificate, how)


def completion_turned_round(draw: random.Random, release: Release, certificate: Json) -> None:
    """As far from the first, or three times as far, on its other side."""
    def how(completions: list[list[int]]) -> None:
        counts, far = some(draw, completions), draw.choice([1, 3])
        counts[:] = [base - far * (n - base) for n, base in zip(counts, completions[0], strict=True)]

    changed(certificate, how)


def completion_dropped(draw: random.Random, release: Release, certificate: Json) -> None:
    changed(certificate, lambda completions: completions.remove(some(draw, completions, 0)))


def completions_dropped(draw: random.Random, release: Release, certificate: Json) -> None:
    def how(completions: list[list[int]]) -> None:
        del completions[draw.randrange(1, 3):]

    changed(certificate, how)


def count_of_the_first(draw: random.Random, release: Release, certificate: Json) -> None:
    def how(completions: list[list[int]]) -> None:
        completions[0][draw.randrange(len(completions[0]))] += draw.choice([-3, -1, 1, 7])

    changed(certificate, how)


def completions_in_another_order(draw: random.Random, release: Release, certificate: Json) -> None:
    changed(certificate, draw.shuffle)


def blanks_swapped(draw: random.Random, release: Release, certificate: Json) -> None:
    lines = certificate["completions"]
    one, two = draw.randrange(len(lines)), draw.randrange(len(lines))
    lines[one], lines[two] = lines[two], lines[one]


def blank_cut(draw: random.Random, release: Release, certificate: Json) -> None:
    certificate["completions"].pop()


def digit(draw: random.Random, release: Release, certificate: Json) -> None:
    lines = certificate["completions"]
    which = draw.randrange(len(lines))
    place, other = draw.randrange(len(lines[which])), draw.choice([*"0123456789abcdef", "g", "-", "", "00"])
    lines[which] = lines[which][:place] + other + lines[which][place + 1:]


def digits_of_a_count(draw: random.Random, release: Release, certificate: Json) -> None:
    certificate["digits"] += draw.choice([-1, 1, certificate["digits"], 16])


def line(draw: random.Random, release: Release, wanted: Callable[[str], bool]) -> int:
    return draw.choice([n for n, text in enumerate(release.lines[1:-1], start=1) if wanted(text)])


def is_shown(text: str) -> bool:
    return not text.endswith(",")


def printed(draw: random.Random, release: Release, place: int) -> None:
    before, _, number = release.lines[place].rpartition(",")
    release.lines[place] = f"{before},{int(number) + draw.choice([-1, 1, 10])}"


def published_cell(draw: random.Random, release: Release, certificate: Json) -> None:
    printed(draw, release, line(draw, release, is_shown))


def margin(draw: random.Random, release: Release, certificate: Json) -> None:
    if any(is_shown(text) and "all" in text for text in release.lines[1:-1]):
        printed(draw, release, line(draw, release, lambda text: is_shown(text) and "all" in text))


def blank_to_nothing(draw: random.Random, release: Release, certificate: Json) -> None:
    release.lines[line(draw, release, lambda text: text.endswith(","))] += "0"


def blank_to_a_small_count(draw: random.Random, release: Release, certificate: Json) -> None:
    place = line(draw, release, lambda text: text.endswith(","))
    release.lines[place] += str(draw.randrange(1, release.public["min_cell"]))


def cell_blanked(draw: random.Random, release: Release, certificate: Json) -> None:
    place = line(draw, release, is_shown)
    release.lines[place] = release.lines[place].rpartition(",")[0] + ","


def rows_swapped(draw: random.Random, release: Release, certificate: Json) -> None:
    one, two = draw.sample(range(1, len(release.lines) - 1), 2)
    release.lines[one], release.lines[two] = release.lines[two], release.lines[one]


def row_dropped(draw: random.Random, release: Release, certificate: Json) -> None:
    del release.lines[draw.randrange(len(release.lines) - 1)]


def parent_of_an_axis(draw: random.Random, release: Release, certificate: Json) -> None:
    parents = draw.choice(release.public["axes"])["parent"]
    parents[draw.randrange(len(parents))] = draw.randrange(-1, len(parents))


def label_of_an_axis(draw: random.Random, release: Release, certificate: Json) -> None:
    labels = draw.choice(release.public["axes"])["labels"]
    labels[draw.randrange(len(labels))] = draw.choice([*labels, "other"])


def digest(draw: random.Random, release: Release, certificate: Json) -> None:
    release.is_digest_kept = True
    which = draw.choice([(release.public, "sha256"), (release.sealed, "certificate")])
    which[0][which[1]] = which[0][which[1]][:-1] + draw.choice("0123456789abcdef")


def table_under_its_old_digest(draw: random.Random, release: Release, certificate: Json) -> None:
    release.is_digest_kept = True
    published_cell(draw, release, certificate)


def min_cell(draw: random.Random, release: Release, certificate: Json) -> None:
    release.public["min_cell"] = draw.choice([0, 2, 3, 4, 7, 11, 15, 30, 60])


def need(draw: random.Random, release: Release, certificate: Json) -> None:
    release.public["need"] = draw.choice(["weak", "strong", "none"])


def other_words(draw: random.Random, release: Release, certificate: Json) -> None:
    release.public[draw.choice(["format", "count", "file"])] = draw.choice(["n", "table.csv", "other"])


MUTATIONS = [
    count_of_a_completion, counts_swapped, completion_turned_round, completion_dropped, completions_dropped,
    count_of_the_first, completions_in_another_order, blanks_swapped, blank_cut, digit, digits_of_a_count,
    published_cell, margin, blank_to_nothing, blank_to_a_small_count, cell_blanked, rows_swapped, row_dropped,
    parent_of_an_axis, label_of_an_axis, digest, table_under_its_old_digest, min_cell, need, other_words,
]


def no_signature(draw: random.Random, release: Release, signature: Path, others: list[Signer]) -> None:
    signature.unlink()


def signature_of_another_release(draw: random.Random, release: Release, signature: Path, others: list[Signer]) -> None:
    other = json.dumps({**release.public, "sha256": hashlib.sha256(draw.randbytes(8)).hexdigest()}).encode()
    signature.write_bytes(others[0].sign("certificate.json", other))


def signature_of_another_kind(draw: random.Random, release: Release, signature: Path, others: list[Signer]) -> None:
    content = (signature.parent / "certificate.json").read_bytes()
    signature.write_bytes(others[0].sign(draw.choice(["manifest.json", "certificate", ""]), content))


def signature_of_another_key(draw: random.Random, release: Release, signature: Path, others: list[Signer]) -> None:
    content = (signature.parent / "certificate.json").read_bytes()
    signature.write_bytes(draw.choice(others[1:]).sign("certificate.json", content))


def bit_of_a_signature(draw: random.Random, release: Release, signature: Path, others: list[Signer]) -> None:
    text = signature.read_text(encoding="ascii")
    lines = text.split("\n")
    blob = bytearray(base64.b64decode("".join(lines[1:-2])))
    blob[draw.randrange(len(blob))] ^= 1 << draw.randrange(8)
    signature.write_text("\n".join([lines[0], base64.b64encode(blob).decode(), *lines[-2:]]), encoding="ascii")


def character_of_a_signature(draw: random.Random, release: Release, signature: Path, others: list[Signer]) -> None:
    text = signature.read_text(encoding="ascii")
    place = draw.choice([at for at, character in enumerate(text) if character != "\n"])
    other = draw.choice([c for c in "abcXYZ019+/=-_ !" if c != text[place]])
    how = draw.choice([text[place + 1:], other + text[place + 1:], other + text[place:]])
    signature.write_text(text[:place] + how, encoding="ascii", newline="")


def certificate_spaced(draw: random.Random, release: Release, signature: Path, others: list[Signer]) -> None:
    (signature.parent / "certificate.json").write_text(json.dumps(release.public, indent=1), encoding="utf-8")


SIGNATURES = [no_signature, signature_of_another_release, signature_of_another_kind, signature_of_another_key,
              bit_of_a_signature, character_of_a_signature, certificate_spaced]


def test_signed_certificates_verify_and_300_changed_signatures_are_refused(tmp_path: Path) -> None:
    draw, refused = random.Random(5), Counter[str]()
    signers = [new_signing_key(tmp_path / f"key-{number}") for number in range(3)]
    signed = [(tmp_path / str(seed), released(found, tmp_path / str(seed), signers[0]))
              for seed, _, found in islice(with_hidden_cells(), 20)]
    for number in range(300):
        mutation, (folder, release) = SIGNATURES[number % len(SIGNATURES)], draw.choice(signed)
        assert verify(folder, keys=signers[0].public) == verify(folder) == []
        changed = Path(shutil.copytree(folder, tmp_path / "changed"))
        mutation(draw, release, changed / "certificate.json.sig", signers)
        assert verify(changed, keys=signers[0].public), mutation.__name__
        # Who has no key to compare with sees what is broken, not who signed.
        is_whole = mutation in (no_signature, signature_of_another_key)
        assert (verify(changed) == []) == is_whole, mutation.__name__
        refused[mutation.__name__] += 1
        shutil.rmtree(changed)
    print(dict(refused))


def test_1000_changed_certificates_are_refused_and_those_that_are_true_still_are_not(tmp_path: Path) -> None:
    draw, refused, still_true = random.Random(3), Counter[str](), Counter[str]()
    releases = [
        released(found, tmp_path / str(seed)) for seed, _, found in islice(with_hidden_cells(), TABLES)
    ]
    judges = [Judge(release.public["axes"], "n") for release in releases]
    number = 0
    while sum(refused.values()) < CHANGED or min(refused[one.__name__] for one in MUTATIONS) < 15:
        mutation, place = MUTATIONS[number % len(MUTATIONS)], draw.randrange(len(releases))
        number += 1
        release = copy.deepcopy(releases[place])
        mutation(draw, release, draw.choice([release.public, release.sealed]))
        folder = tmp_path / "changed"
        release.write(folder)
        is_true = judges[place].holds(folder, release.sealed)
        problems = verify(folder, release.sealed)
        assert (not problems) == is_true, (mutation.__name__, number, problems)
        (still_true if is_true else refused)[mutation.__name__] += 1
        shutil.rmtree(folder)
    print(f"{sum(refused.values())} refused, {sum(still_true.values())} changed into other true ones: "
          f"{dict(still_true)}")


def test_small_cells_whose_completions_are_gone_are_found_in_the_auditors_certificate(tmp_path: Path) -> None:
    for seed, _, found in islice(with_hidden_cells(), 20):
        release = released(found, tmp_path / str(seed))
        bare = bare_with_the_truth_alone(release)
        changed(release.sealed, lambda completions: completions.__delitem__(slice(1, None)))
        assert verify(tmp_path / str(seed), release.sealed) == bare, seed


def bare_with_the_truth_alone(release: Release) -> list[str]:
    """What should be said where the public completions are all that is left to prove small cells with."""
    seen, truth = np.array(read_completions(release.public)), np.array(read_completions(release.sealed)[0])
    least, is_strong = release.public["min_cell"], release.public["need"] == "strong"
    up = np.where(is_strong, least, truth + 1)
    down = truth - np.where(is_strong, np.minimum(3, truth), 1)
    bare = (truth > 0) & (truth < least) & ((seen.max(axis=0) < up) | (seen.min(axis=0) > down))
    return [f"{bare.sum()} small cell(s) are not proved protected"] if bare.any() else []


def test_completions_that_add_up_only_because_a_digit_runs_over_into_the_next_are_refused(tmp_path: Path) -> None:
    """Two blanks that make 9: the second is what the first leaves of the long number 9, 9, 9, with borrowed digits."""
    axis = {"columns": ["s"], "labels": ["a", "b", "c", "all"], "parent": [3, 3, 3, -1]}
    content = b"s,n\na,\nb,\nc,20\nall,29\n"
    (tmp_path / "table.csv").write_bytes(content)
    certificate = {
        "format": verifier.FORMAT, "file": "table.csv", "sha256": hashlib.sha256(content).hexdigest(), "count": "n",
        "min_cell": 3, "need": "weak", "axes": [axis],
    }
    judge, looked = Judge([axis], "n"), Counter[tuple[bool, bool]]()
    for digits in (1, 2, 3):
        size = 16**digits
        whole = 9 * (1 + size + size**2)
        for counts in product({n % size for n in (0, 3, 7, 9, 10, 64, 127, 250, 255, 2_000, -9, -1)}, repeat=3):
            first = sum(count * size**place for place, count in enumerate(counts))
            if first <= whole:
                lines = [f"{number:0{3 * digits}x}" for number in (first, whole - first)]
                text = json.dumps({**certificate, "digits": digits, "completions": lines})
                (tmp_path / "certificate.json").write_text(text, encoding="utf-8")
                looked[judge.holds(tmp_path), not verify(tmp_path)] += 1
    assert not looked[False, True]
    assert not looked[True, False]
    assert min(looked.values()) > 50
    print(dict(looked))


def test_an_auditors_certificate_of_another_release_is_refused(tmp_path: Path) -> None:
    (_, _, one), (_, _, two) = islice(with_hidden_cells(), 2)
    released(one, tmp_path / "one")
    other = released(two, tmp_path / "two")
    assert verify(tmp_path / "one", other.sealed) == ["the auditor's certificate is of another release"]


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, "", "null", "[]", "{}", '{"format": "wellbridge-table/2", "file": "table.csv"}',
     '{"format": "wellbridge-table/2", "file": "/dev/zero"}', '{"format": "wellbridge-table/2", "file": 7}',
     '{"format": "wellbridge-table/1", "file": "table.csv", "base": [], "moves": []}'],
    ids=["deep", "empty", "null", "list", "nothing", "no digest", "a device", "a number", "an earlier form"],
)
def test_a_certificate_that_is_none_is_a_violation_and_no_fault(text: str, tmp_path: Path) -> None:
    _, _, found = next(with_hidden_cells())
    released(found, tmp_path / "out")
    (tmp_path / "out" / "certificate.json").write_text(text, encoding="utf-8")
    assert len(verify(tmp_path / "out")) == 1


@pytest.mark.parametrize("value", [float("inf"), float("nan"), 10.0, "10", True, None, [], {}, 10**400, -1])
@pytest.mark.parametrize("name", ["min_cell", "need", "axes", "digits", "completions", "count", "sha256"])
def test_a_certificate_of_wrong_types_is_a_violation_and_no_fault(name: str, value: object, tmp_path: Path) -> None:
    _, _, found = next(with_hidden_cells())
    release = released(found, tmp_path / "out")
    release.public[name] = value
    (tmp_path / "out" / "certificate.json").write_text(json.dumps(release.public), encoding="utf-8")
    assert verify(tmp_path / "out")


def test_a_certificate_of_words_that_no_format_has_is_refused(tmp_path: Path) -> None:
    _, _, found = next(with_hidden_cells())
    release = released(found, tmp_path / "out")
    path = tmp_path / "out" / "certificate.json"
    for change in ({"truth": [1, 2]}, {"axes": [{**axis, "truth": 1} for axis in release.public["axes"]]}):
        path.write_text(json.dumps({**release.public, **change}), encoding="utf-8")
        assert len(verify(tmp_path / "out")) == 1
    # The last of two would be read here and the first elsewhere.
    twice = json.dumps(release.public).replace('"need": ', '"need": "weak", "need": ', 1)
    for text in (twice, json.dumps({**release.public, "cohort": float("nan")})):
        path.write_text(text, encoding="utf-8")
        assert verify(tmp_path / "out") == ["the release cannot be read (ValueError)"]
    path.write_text(json.dumps(release.public), encoding="utf-8")
    assert verify(tmp_path / "out") == []


@pytest.mark.parametrize("name", ["truth.csv", ".table.csv.swp", "inner/table.csv"])
def test_a_folder_that_holds_other_files_than_a_tables_is_refused(name: str, tmp_path: Path) -> None:
    _, _, found = next(with_hidden_cells())
    released(found, tmp_path / "out", new_signing_key(tmp_path / "key"))
    assert verify(tmp_path / "out") == []
    (tmp_path / "out" / name).parent.mkdir(exist_ok=True)
    (tmp_path / "out" / name).write_text("a,1\n", encoding="utf-8")
    assert verify(tmp_path / "out") == ["the folder holds other files than a table, its certificate and a signature"]


def test_a_key_that_is_commented_out_has_not_signed(tmp_path: Path) -> None:
    _, _, found = next(with_hidden_cells())
    signer, other = new_signing_key(tmp_path / "key"), new_signing_key(tmp_path / "other")
    released(found, tmp_path / "out", signer)
    path, (kind, key, *_) = tmp_path / "out" / "certificate.json", signer.public.split()
    for keys in (f"#{signer.public}", f"# revoked: {signer.public}", f"# {key}\n{other.public}", f"ssh-rsa {key}", key,
                 f"{other.public} {key}", f"{kind}\n{key}", ""):
        assert verify(tmp_path / "out", keys=keys) == ["certificate.json: is not signed with a key that was given"]
        assert origin(path, keys).endswith(", no key that was given.")
    for keys in (f"# {other.public}\r\n\t{signer.public}\r\n", f"{other.public}\n{kind} {key}"):
        assert verify(tmp_path / "out", keys=keys) == []
        assert origin(path, keys).endswith(", a key that was given.")
    (tmp_path / "revoked.pub").write_text(f"# {signer.public}\n", encoding="ascii")
    with pytest.raises(ConfigurationError, match="WB-E-011"):
        read_public_keys(tmp_path / "revoked.pub")


# -- nothing of the truth --------------------------------------------------------------------------------------


def another_truth(found: ProtectedTable) -> ProtectedTable | None:
    """Return the release as it would be of the table that a proof's move leads to; only hidden counts differ."""
    for number in range(found.found.moves.shape[0]):
        values = found.task.values + found.found.moves[[number]].toarray()[0]
        if not np.array_equal(values, found.task.values):
            assert (values[~found.found.hidden] == found.task.values[~found.found.hidden]).all()
            return replace(found, task=replace(found.task, values=values))
    return None


def test_the_public_certificate_of_100_tables_is_the_same_for_another_truth_with_the_same_published_part() -> None:
    for seed, _, found in islice(with_hidden_cells(), 100):
        other = another_truth(found)
        assert other is not None, seed
        one, two = (public_certificate(each, table_bytes(each), attacked(each)) for each in (found, other))
        assert json.dumps(one) == json.dumps(two), seed


def test_a_table_that_happens_to_be_published_alike_gives_the_same_files(tmp_path: Path) -> None:
    """The whole way from the rows: another true table whose pattern is the same leaves byte for byte the same."""
    compared = 0
    for seed, table, found in with_hidden_cells():
        other = another_truth(found)
        assert other is not None
        moved = found.table.with_columns(n=other.task.values)  # all margins, in the order of the grid
        again = table.protected(QUICK if seed % 3 else EXACT, rows=moved)
        if again is None or not np.array_equal(again.found.hidden, found.found.hidden):
            continue
        for name, each in (("one", found), ("two", again)):
            write_release(each, tmp_path / f"{seed}{name}")
        for name in ("table.csv", "certificate.json"):
            assert (tmp_path / f"{seed}one" / name).read_bytes() == (tmp_path / f"{seed}two" / name).read_bytes()
        compared += 1
        if compared == 15 or seed > 150:
            break
    assert compared == 15


# -- the verifier alone ----------------------------------------------------------------------------------------


def test_the_verifier_runs_alone_on_the_standard_library_in_200_lines(tmp_path: Path) -> None:
    source = Path(verifier.__file__)
    assert len(source.read_text(encoding="utf-8").splitlines()) <= 200
    alone = tmp_path / "verifier.py"
    shutil.copy(source, alone)
    _, _, found = next(with_hidden_cells())
    release = released(found, tmp_path / "out", new_signing_key(tmp_path / "key"))
    new_signing_key(tmp_path / "other")
    sealed = tmp_path / "sealed.json"

    def run(*arguments: Path | str) -> tuple[int, str]:
        # -I: neither the environment nor this folder is looked at; -S: no installed package is.
        done = subprocess.run(
            [sys.executable, "-I", "-S", alone, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert not done.stderr
        return done.returncode, done.stdout.strip()

    sealed.write_text(json.dumps(release.sealed), encoding="utf-8")
    sound = (0, f"sound: minimum cell {release.public['min_cell']}, {release.public['need']} need")
    assert run(tmp_path / "out") == run(tmp_path / "out", "--sealed", sealed) == sound
    assert run(tmp_path / "out", "--sealed", sealed, "--key", tmp_path / "key.pub") == sound
    limits = {name: release.public[name] for name in ("min_cell", "need")}
    assert release_verifier.checked(tmp_path / "out") == limits
    assert sound[1] == f"sound: {release_verifier.in_words(limits)}"
    assert run(tmp_path / "out", "--key", tmp_path / "other.pub") == (
        18, "certificate.json: is not signed with a key that was given")
    release.sealed["completions"] = release.public["completions"]
    sealed.write_text(json.dumps({**release.sealed, "certificate": ""}), encoding="utf-8")
    assert run(tmp_path / "out", "--sealed", sealed) == (18, "the auditor's certificate is of another release")
    (tmp_path / "out" / "table.csv").write_text("", encoding="utf-8")
    assert run(tmp_path / "out") == (18, "the table is not the one that was certified")
