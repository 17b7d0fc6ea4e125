"""``privacy anonymize --crosswalk``: codes and date shifts that later files of one scope share, and others do not."""

from __future__ import annotations

import stat
from pathlib import Path

import polars as pl
import pytest

from pipelines.answer import Answer
from pipelines.test_privacy_records import CANARY, GRADES, POLICY, pupils, run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pupils().write_csv(tmp_path / "pupils.csv", separator=";")
    (tmp_path / "grade.csv").write_text(GRADES, encoding="utf-8")
    return tmp_path


def released(folder: Path, out: str, *more: str | Path, scope: str = "sea", file: str = "pupils.csv") -> Answer:
    policy = folder / f"policy-{out}.toml"
    policy.write_text(f'scope = "{scope}"\n{POLICY}', encoding="utf-8")
    return run("anonymize", folder / file, "--policy", policy, "--out", folder / out, "--crosswalk",
               folder / "crosswalk", "--key", folder / "key", "--json", *more)


def of(folder: Path, out: str) -> dict[str, str]:
    """Code → date of a released file."""
    frame = pl.read_csv(folder / out, separator=";", infer_schema=False)
    return dict(frame.select("student", "seen").iter_rows())


def test_later_files_of_a_scope_have_the_same_codes_and_shifts_and_another_scope_has_none_of_them(folder: Path) -> None:
    assert released(folder, "one.csv").exit == 0
    assert released(folder, "two.csv").exit == 0
    assert released(folder, "other.csv", scope="university").exit == 0
    one, two, other = (of(folder, name) for name in ("one.csv", "two.csv", "other.csv"))
    assert len(one) > 200
    assert set(one) == set(two)
    assert one == two
    assert not set(one) & set(other)
    assert len({*one.values()}) > 50  # one date, moved by as many days as there are persons


def test_new_pupils_get_new_codes_and_the_others_keep_theirs(folder: Path) -> None:
    released(folder, "one.csv")
    pupils(360).write_csv(folder / "more.csv", separator=";")
    assert released(folder, "two.csv", file="more.csv").exit == 0
    one, two = of(folder, "one.csv"), of(folder, "two.csv")
    assert set(one) <= set(two) or len(set(one) & set(two)) > 250
    assert len(two) > len(one)


def test_the_crosswalk_is_private_sealed_and_nothing_in_it_can_be_read(folder: Path) -> None:
    released(folder, "one.csv")
    for name in ("crosswalk", "key"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    content = (folder / "crosswalk").read_bytes()
    assert CANARY.encode() not in content
    assert not any(code.encode() in content for code in list(of(folder, "one.csv"))[:20])


def test_a_changed_crosswalk_another_key_or_none_refuses_and_writes_nothing(folder: Path) -> None:
    released(folder, "one.csv")
    content = bytearray((folder / "crosswalk").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "crosswalk").write_bytes(content)
    assert released(folder, "two.csv").error["code"] == "WB-E-052"
    content[len(content) // 2] ^= 1
    (folder / "crosswalk").write_bytes(content)
    (folder / "key").rename(folder / "kept")
    assert released(folder, "two.csv").error["code"] == "WB-E-011"
    (folder / "key").write_bytes(b"\0" * 32)
    (folder / "key").chmod(0o600)
    assert released(folder, "two.csv").error["code"] == "WB-E-052"
    (folder / "key").chmod(0o644)
    assert released(folder, "two.csv").error["code"] == "WB-E-051"
    assert not (folder / "two.csv").exists()


def test_a_crosswalk_for_nothing_or_without_its_key_is_refused(folder: Path) -> None:
    plain = ("anonymize", folder / "pupils.csv", "--qi", "sex", "--out", folder / "o.csv", "--json")
    for more in (("--crosswalk", folder / "c", "--key", folder / "k"), ("--crosswalk", folder / "c"),
                 ("--key", folder / "k")):
        assert run(*plain, *more).error["code"] == "WB-E-011"
    same = run("anonymize", folder / "pupils.csv", "--policy", _policy(folder), "--out", folder / "o.csv",
               "--crosswalk", folder / "k", "--key", folder / "k", "--json")
    assert same.error["code"] == "WB-E-011"
    assert not (folder / "o.csv").exists()
    assert not (folder / "k").exists()


def _policy(folder: Path) -> Path:
    (folder / "policy.toml").write_text(POLICY, encoding="utf-8")
    return folder / "policy.toml"


def test_shifts_farther_than_a_later_policy_allows_are_refused(folder: Path) -> None:
    released(folder, "one.csv")
    policy = folder / "short.toml"
    policy.write_text(f'scope = "sea"\nmax_days = 3\n{POLICY}', encoding="utf-8")
    short = run("anonymize", folder / "pupils.csv", "--policy", policy, "--out", folder / "o.csv", "--crosswalk",
                folder / "crosswalk", "--key", folder / "key", "--json")
    assert short.error["code"] == "WB-E-011"
    assert not (folder / "o.csv").exists()
