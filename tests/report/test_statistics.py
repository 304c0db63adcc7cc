"""Intervals, lines, orders and the noise floor, against laws that are known."""

import numpy as np
import pytest

from odebench.report.frame import frame_of
from odebench.report.statistics import fit_line, interval, noise_floor, observed_order, seed_of, to_rounding
from tests.report.synthetic import record


def test_the_interval_holds_the_median_of_processes_that_differ():
    random = np.random.default_rng(3)
    groups = [random.normal(10 + shift, 0.01, 7) for shift in (-1, 0, 0.3, 1)]
    found = interval(groups, seed=1)
    assert found.low < found.value < found.high
    # Processes dominate: pooling the samples as if they were independent would give a far narrower interval.
    assert found.high - found.low > 0.5
    assert (found.processes, found.samples) == (4, 28)
    assert not found.indicative


def test_the_interval_is_the_same_for_the_same_seed_and_covers_about_as_often_as_it_says():
    random = np.random.default_rng(0)
    hits = 0
    for trial in range(60):
        groups = random.normal(random.normal(0, 1, (12, 1)), 0.1, (12, 5))
        found = interval(groups, seed=trial)
        assert found == interval(groups, seed=trial)
        hits += found.low <= 0 <= found.high
    assert hits >= 51


def test_one_process_gives_the_spread_of_its_samples_and_is_indicative():
    found = interval([[1.0, 2.0, 3.0, 4.0]])
    assert (found.value, found.least) == (2.5, 1.0)
    assert 1.0 <= found.low < found.high <= 4.0
    assert found.indicative


def test_processes_of_different_sizes_and_no_samples_at_all():
    assert interval([[1.0], [1.0, 1.0, 1.0], [1.0, 1.0]]).low == 1.0
    assert interval([]) is None
    assert interval([[], []]) is None


def test_samples_are_resampled_within_their_processes():
    found = interval([[1.0, 2.0, 3.0, 4.0, 5.0]] * 5)
    assert 1.0 < found.low < 3.0 < found.high < 5.0


def test_an_outlier_is_counted_and_not_dropped():
    found = interval([[1.0, 1.01, 1.02, 0.99, 50.0]])
    assert (found.outliers, found.samples) == (1, 5)


def test_a_line_is_found_with_the_share_that_it_explains():
    exact = fit_line([1, 2, 3], [5, 7, 9])
    assert (exact.slope, exact.intercept, exact.explained, exact.points) == (2, 3, 1, 3)
    assert fit_line([1, 2, 3, 4], [1, 3, 2, 4]).explained == pytest.approx(0.64)
    flat = fit_line([1, 2, 3], [7, 7, 7])
    assert (flat.slope, flat.explained) == (0, 1)
    assert fit_line([4, 4], [1, 2]) is None


@pytest.mark.parametrize("order", [1, 2, 4])
def test_the_observed_order_of_a_power_law(order):
    steps = [8, 16, 32, 64, 128]
    found, slopes = observed_order(steps, [0.05 / n**order for n in steps], "float64")
    assert found == pytest.approx(order)
    assert slopes >= 3


def test_errors_at_rounding_and_errors_that_are_large_say_nothing_about_the_order():
    steps = [1, 2, 4, 8, 16, 32]
    errors = [3.0, 1.0, 8e-3, 2e-3, 1e-13, 1e-13]
    assert observed_order(steps, errors, "float64") == (pytest.approx(2), 1)
    assert observed_order(steps, errors, "bfloat16") == (None, 0)


def test_to_rounding_is_the_rule_of_the_design():
    assert to_rounding("float64", 400) == pytest.approx(100 * 2.0**-52 * 20)


def test_a_seed_depends_on_the_text_alone():
    assert seed_of("cell forward") == 4154279437


def twins(pairs, ratio):
    """Records of pairs that differ in their twin number alone, the second `ratio` times as slow."""
    return [
        record("integrate", "mlp-field", "rk4", None, {"steps": 8 + pair}, slowdown=slowdown,
               parameters={"task": {"twin": twin}})
        for pair in range(pairs)
        for twin, slowdown in ((0, 1.0), (1, ratio))
    ]  # fmt: skip


def test_the_noise_floor_is_the_ratio_of_twins():
    assert 1.4 < noise_floor(frame_of(twins(12, 1.5))) < 1.8
    assert noise_floor(frame_of(twins(12, 1.0))) < 1.25
    # Of one pair it is what its intervals allow, which is more than the ratio of its medians.
    assert noise_floor(frame_of(twins(1, 1.5))) > 1.4


def test_without_twins_there_is_no_noise_floor(frame):
    assert noise_floor(frame) is None
