"""Differentially private counts: OpenDP's own account, the error that was promised, and a budget that is kept."""

from __future__ import annotations

import json
import math
import random
import sys
import threading
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import opendp.prelude as dp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wellbridge.privacy.noise.budget import EVERYBODY, Account, BudgetLedger, Loss, Measure, open_ledger
from wellbridge.privacy.noise.private import Noise, epsilon_of, mechanism
from wellbridge.schemas.errors import ConfigurationError, Exit, PrivacyError

dp.enable_features("contrib")

WHO = Account("sea-2027", "students-2026")
HALF = Loss(Measure.ZCDP, Fraction(1, 2))


def rho(amount: str) -> Loss:
    return Loss(Measure.ZCDP, Fraction(amount))


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(list(Noise)), st.floats(0.001, 8), st.integers(1, 200))
def test_no_loss_is_larger_than_what_was_asked_nor_much_smaller(noise: Noise, amount: float, cells: int) -> None:
    loss = mechanism(noise, amount, cells_of_one=cells).loss
    assert float(loss.amount) <= amount
    assert float(loss.amount) >= amount * (1 - 1e-9)


def test_accounted_losses_of_several_releases_are_those_of_opendp_s_composition(tmp_path: Path) -> None:
    mechanisms = [mechanism(Noise.GAUSSIAN, amount, cells_of_one=24) for amount in (0.1, 0.02, 0.3)]
    with open_ledger(tmp_path / "b") as ledger:
        ledger.grant(WHO, HALF)
        for made in mechanisms:
            ledger.spend(WHO, made.loss, "00")
        balance = ledger.balance(WHO)
    assert balance is not None
    composed = dp.c.make_composition([made._measurement for made in mechanisms])
    theirs = composed.map(math.nextafter(math.sqrt(24), math.inf))
    assert float(balance.spent) == pytest.approx(theirs, rel=1e-12)
    ours = epsilon_of(balance.spent, 1e-6)
    assert ours == pytest.approx(dp.c.make_zCDP_to_approxDP(composed).map(math.sqrt(24)).epsilon(1e-6), rel=1e-9)
    # Bun and Steinke's own bound is looser.
    assert ours <= theirs + 2 * math.sqrt(theirs * math.log(1e6))


def test_laplace_in_a_budget_of_rho_counts_as_opendp_converts_it(tmp_path: Path) -> None:
    made = mechanism(Noise.LAPLACE, 0.6, cells_of_one=12)
    with open_ledger(tmp_path / "b") as ledger:
        ledger.grant(WHO, HALF)
        ledger.spend(WHO, made.loss, "00")
        balance = ledger.balance(WHO)
    assert balance is not None
    assert float(balance.spent) == pytest.approx(dp.c.make_pureDP_to_zCDP(made._measurement).map(12), rel=1e-12)


@pytest.mark.parametrize(("noise", "amount"), [(Noise.LAPLACE, 2.0), (Noise.GAUSSIAN, 0.5)])
def test_measured_error_is_what_the_scale_says(noise: Noise, amount: float) -> None:
    size = 40_000
    made = mechanism(noise, amount, cells_of_one=12)
    error = made.draw(np.zeros(size, dtype=np.int64))
    if noise is Noise.LAPLACE:
        fall = math.exp(-1 / made.scale)
        variance, fourth = 2 * fall / (1 - fall) ** 2, 6.0
    else:
        variance, fourth = made.scale**2, 3.0
    # Six standard deviations: of the mean, of the variance, and of the share within the stated accuracy.
    assert abs(error.mean()) < 6 * math.sqrt(variance / size)
    assert abs(error.var() / variance - 1) < 6 * math.sqrt((fourth - 1) / size)
    within = (np.abs(error) <= made.accuracy).mean()
    assert within > 0.95 - 6 * math.sqrt(0.95 * 0.05 / size)


def test_a_spent_budget_refuses_with_exit_14(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "b") as ledger:
        with pytest.raises(PrivacyError) as nothing:
            ledger.check(WHO, rho("0.1"))
        ledger.grant(WHO, HALF)
        ledger.spend(WHO, rho("0.3"), "aa")
        ledger.spend(WHO, rho("0.2"), "bb")  # to the last digit
        with pytest.raises(PrivacyError) as spent:
            ledger.spend(WHO, rho("1/1000000"), "cc")
        ledger.grant(Account("sea-2027", "staff"), HALF)
        ledger.check(Account("sea-2027", "staff"), HALF)  # others' budgets are their own
    for refused in (nothing, spent):
        assert (refused.value.code, refused.value.exit) == ("WB-E-075", Exit.PRIVACY)


def test_a_granted_budget_is_never_changed(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "b") as ledger:
        ledger.grant(WHO, HALF)
        ledger.grant(WHO, HALF)
        assert len(ledger) == 1
        for other in (rho("0.6"), Loss(Measure.PURE, Fraction(1, 2))):
            with pytest.raises(PrivacyError) as refused:
                ledger.grant(WHO, other)
            assert refused.value.code == "WB-E-044"


def test_all_agreements_together_stay_within_the_population_s_budget(tmp_path: Path) -> None:
    other = Account("another", WHO.population)
    with open_ledger(tmp_path / "b") as ledger:
        for whose in (WHO, other, Account(EVERYBODY, WHO.population)):
            ledger.grant(whose, HALF)
        ledger.spend(WHO, rho("0.3"), "aa")
        ledger.spend(other, rho("0.2"), "bb")
        with pytest.raises(PrivacyError) as refused:
            ledger.check(other, rho("0.1"))  # 0.3 is left to it, nothing to the population
        with pytest.raises(PrivacyError):
            ledger.spend(Account(EVERYBODY, WHO.population), rho("0.1"), "cc")
        balance = ledger.balance(Account(EVERYBODY, WHO.population))
    assert refused.value.code == "WB-E-075"
    assert balance is not None
    assert balance.left == 0


@pytest.mark.parametrize("amount", ["0", "-1/2"])
def test_nothing_gives_budget_back(amount: str) -> None:
    with pytest.raises(PrivacyError):
        rho(amount)


def test_gaussian_noise_is_not_paid_from_a_pure_budget(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "b") as ledger:
        ledger.grant(WHO, Loss(Measure.PURE, Fraction(1)))
        ledger.spend(WHO, Loss(Measure.PURE, Fraction(1, 2)), "aa")
        with pytest.raises(PrivacyError) as refused:
            ledger.check(WHO, rho("0.001"))
    assert refused.value.code == "WB-E-075"


def written(path: Path) -> list[bytes]:
    with open_ledger(path) as ledger:
        ledger.grant(WHO, HALF)
        for amount in ("0.1", "0.05", "0.2"):
            ledger.spend(WHO, rho(amount), "ab")
    return path.read_bytes().splitlines(keepends=True)


def changed(path: Path) -> bool:
    try:
        with open_ledger(path):
            return False
    except PrivacyError as error:
        return error.code == "WB-E-076"


def test_every_changed_byte_shows(tmp_path: Path) -> None:
    path = tmp_path / "b"
    content = b"".join(written(path))
    assert not changed(path)
    chance = random.Random(5)
    for _ in range(200):
        place = chance.randrange(len(content))
        other = bytes([(content[place] + chance.randrange(1, 256)) % 256])
        path.write_bytes(content[:place] + other + content[place + 1:])
        assert changed(path)


@pytest.mark.parametrize("change", [
    lambda lines: lines[:-1], lambda lines: lines[:1], lambda lines: [], lambda lines: lines[1:],
    lambda lines: [lines[0], *lines[2:]], lambda lines: [lines[0], lines[2], lines[1], lines[3]],
    lambda lines: [*lines, lines[-1]], lambda lines: [*lines[:-1], lines[-1][:-1]], lambda lines: [*lines, b"{}\n"],
])
def test_lines_taken_out_put_in_or_cut_off_show(
    tmp_path: Path, change: Callable[[list[bytes]], list[bytes]]
) -> None:
    path = tmp_path / "b"
    lines = written(path)
    path.write_bytes(b"".join(change(lines)))
    assert changed(path)


def test_a_process_killed_between_line_and_head_has_spent(tmp_path: Path) -> None:
    path = tmp_path / "b"
    with open_ledger(path) as ledger:
        ledger.grant(WHO, HALF)
    head = path.with_name("b.head").read_bytes()
    with open_ledger(path) as ledger:
        ledger.spend(WHO, rho("0.4"), "aa")
    path.with_name("b.head").write_bytes(head)
    with open_ledger(path) as ledger, pytest.raises(PrivacyError):
        ledger.check(WHO, rho("0.2"))


def test_of_two_releases_at_once_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "b"
    with open_ledger(path) as ledger:
        ledger.grant(WHO, HALF)
    outcomes: list[str] = []

    def release() -> None:
        try:
            with open_ledger(path) as ledger:
                ledger.spend(WHO, rho("0.3"), "aa")
            outcomes.append("published")
        except PrivacyError as error:
            outcomes.append(error.code)

    threads = [threading.Thread(target=release) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["WB-E-075"] * 3 + ["published"]


def test_the_ledger_is_private_and_holds_no_count(tmp_path: Path) -> None:
    path = tmp_path / "b"
    lines = written(path)
    assert path.stat().st_mode & 0o077 == 0
    assert {name for line in lines for name in json.loads(line)} == {
        "seq", "at", "kind", "agreement", "population", "measure", "amount", "release", "previous", "hash"
    }


def test_without_opendp_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opendp.prelude", None)
    with pytest.raises(ConfigurationError) as refused:
        mechanism(Noise.LAPLACE, 1.0, cells_of_one=1)
    assert "wellbridge[dp]" in refused.value.todo


@pytest.mark.parametrize("amount", [0.0, -1.0, math.inf, math.nan])
def test_a_loss_that_is_no_positive_number_is_refused(amount: float) -> None:
    with pytest.raises(ConfigurationError):
        mechanism(Noise.GAUSSIAN, amount, cells_of_one=1)


def test_a_folder_that_is_not_there_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError), open_ledger(tmp_path / "no" / "b"):
        pass


def test_ledger_type_is_what_open_ledger_yields(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "b") as ledger:
        assert isinstance(ledger, BudgetLedger)
        assert ledger.balance(WHO) is None
