"""Intervals of paired changes: against closed forms, tables of others, and what they promise to hold."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from odebench.validation.intervals import paired_change, samples_needed, tango_interval


def answers(gains, losses, same, right=0.9):
    """Scores under two solvers with so many changes each way."""
    own = np.concatenate((np.zeros(gains), np.ones(losses), np.arange(same) < right * same))
    other = np.concatenate((np.ones(gains), np.zeros(losses), np.arange(same) < right * same))
    return own, other


@pytest.mark.parametrize("samples", [1, 5, 20, 100, 1000])
def test_without_a_change_the_interval_is_the_closed_form_and_no_point(samples):
    """With no discordant pairs Tango's equation reads n d² = z² d (1 - d)."""
    z = stats.norm.ppf(0.975)
    change = paired_change(np.ones(samples), np.ones(samples))
    assert change.mean == 0
    assert change.high == pytest.approx(z**2 / (samples + z**2), abs=1e-12)
    assert change.low == pytest.approx(-change.high, abs=1e-12)


@pytest.mark.parametrize(
    ("gains", "losses", "samples"), [(3, 0, 30), (12, 5, 50), (0, 1, 44), (53, 16, 656), (0, 9, 9)]
)
def test_the_ends_solve_the_score_equation(gains, losses, samples):
    """At each end the score statistic, with the nuisance share maximised on a fine grid instead of in closed form, is z."""
    low, high = tango_interval(gains, losses, samples)
    shares = np.linspace(0, 1, 2_000_001)
    for end, sign in ((low, 1), (high, -1)):
        if abs(end) > 1 - 1e-9:
            continue
        losing, gaining = shares - min(end, 0), shares + max(end, 0)
        inside = gaining + losing <= 1
        with np.errstate(divide="ignore", invalid="ignore"):
            likelihood = (
                np.where(gains > 0, gains * np.log(gaining), 0)
                + np.where(losses > 0, losses * np.log(losing), 0)
                + np.where(samples > gains + losses, (samples - gains - losses) * np.log1p(-gaining - losing), 0)
            )
        best = np.nanargmax(np.where(inside, likelihood, -np.inf))
        variance = samples * (gaining[best] + losing[best] - end**2)
        statistic = (gains - losses - samples * end) / math.sqrt(variance)
        assert statistic == pytest.approx(sign * stats.norm.ppf(0.975), abs=2e-4)


def test_mirrored_changes_mirror_the_interval():
    low, high = tango_interval(7, 2, 60)
    assert tango_interval(2, 7, 60) == pytest.approx((-high, -low), abs=1e-12)


def test_the_bootstrap_agrees_with_its_limit():
    """With many samples both intervals are the normal one."""
    own, other = answers(300, 700, 9000)
    change = paired_change(own, other)
    half = stats.norm.ppf(0.975) * (other - own).std() / math.sqrt(10_000)
    assert (change.low, change.high) == pytest.approx((-0.04 - half, -0.04 + half), abs=3e-4)


def test_the_same_seed_gives_the_same_interval_and_blocks_do_not_matter():
    generator = np.random.default_rng(0)
    own = generator.normal(size=3000)
    other = own + generator.normal(0.1, 0.5, size=3000)
    first, second = paired_change(own, other, seed=5), paired_change(own, other, seed=5)
    assert first == second
    assert first.low < 0.1 < first.high
    half = stats.t.ppf(0.975, 2999) * (other - own).std(ddof=1) / math.sqrt(3000)
    assert (change_width := first.high - first.low) == pytest.approx(2 * half, rel=0.06), change_width


@pytest.mark.parametrize("gaining", [0.0, 0.01, 0.1])
@pytest.mark.parametrize("samples", [12, 40, 150])
def test_the_interval_holds_the_truth_as_often_as_it_says(samples, gaining):
    """Coverage over repeated samples of a population with 5 % losses, also where nearly no sample changes."""
    generator = np.random.default_rng(samples)
    covered = 0
    trials = 300
    for trial in range(trials):
        drawn = generator.choice([0, 1, 2], p=[0.05, gaining, 0.95 - gaining], size=samples)
        change = paired_change((drawn != 1) * 1.0, (drawn != 0) * 1.0, seed=trial, resamples=400)
        covered += change.low <= gaining - 0.05 <= change.high
    assert covered / trials > 0.95 - 3 * math.sqrt(0.05 * 0.95 / trials)


def test_values_that_do_not_change_leave_room_by_clopper_and_pearson():
    own = np.array([-3.0, -1.0, 0.25, 1.0])
    change = paired_change(own, own.copy())
    share = stats.beta.ppf(0.975, 1, 4)  # the exact upper bound for 0 of 4
    assert (change.mean, change.low, change.high) == (0, pytest.approx(-4 * share), pytest.approx(4 * share))


def test_one_sample_of_values_says_nothing():
    change = paired_change(np.array([0.5]), np.array([0.4]))
    assert (change.low, change.high) == (-math.inf, math.inf)


def test_samples_that_fail_under_both_solvers_have_not_changed():
    own, other = np.array([-math.inf, 0.1, 0.2, 0.4]), np.array([math.nan, 0.1, 0.2, 0.4])
    assert paired_change(own, other).mean == 0


def test_failures_under_the_other_solver_are_an_infinite_loss_once_there_are_enough():
    own = np.linspace(0, 1, 100)
    few, many = own.copy(), own.copy()
    few[:1], many[:20] = -math.inf, -math.inf
    assert paired_change(own, many).outside(0.02)
    change = paired_change(own, few)
    assert change.mean == -math.inf and not change.outside(0.02) and not change.inside(0.02)


@pytest.mark.parametrize(("gains", "losses", "same"), [(0, 0, 30), (1, 2, 60), (0, 4, 40), (3, 3, 20), (0, 30, 70)])
def test_as_many_samples_as_are_said_to_do_would_do_and_one_fewer_would_not(gains, losses, same):
    own, other = answers(gains, losses, same)
    total = len(own)
    needed = samples_needed(own, other, 0.02)
    for samples, expected in ((needed, True), (needed - 1, False)):
        low, high = tango_interval(gains * samples / total, losses * samples / total, samples)
        assert ((low > -0.02 and high < 0.02) or high < -0.02 or low > 0.02) == expected


def test_for_values_the_number_follows_the_spread():
    generator = np.random.default_rng(1)
    own = generator.normal(size=200)
    other = own + generator.normal(size=200)
    other += 0.1 - (other - own).mean()
    deviation = (other - own).std(ddof=1)
    needed = samples_needed(own, other, 0.3)
    assert needed == pytest.approx((stats.norm.ppf(0.975) * deviation / 0.2) ** 2, rel=0.05)


def test_no_number_would_do_where_the_change_is_the_threshold():
    own, other = answers(0, 2, 98)
    assert samples_needed(own, other, 0.02) is None
