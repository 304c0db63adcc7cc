"""Crossings of polylines, beside a brute force in fractions and hand-made cases."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import combinations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from odebench.errors import IncompatibleError
from odebench.numerics import crossings
from odebench.numerics.crossings import count_crossings


def by_brute_force(trajectories, labels):
    """Sorted (row, row, x, y) of all proper intersections, computed in fractions, with another formula than the code's."""
    rows = [[tuple(map(Fraction, state)) for state in row] for row in trajectories.transpose(0, 1).tolist()]
    found = []
    for i, j in combinations(range(len(rows)), 2):
        if labels[i] == labels[j]:
            continue
        for p, q in zip(rows[i], rows[i][1:], strict=False):
            for r, s in zip(rows[j], rows[j][1:], strict=False):
                # p + m (q - p) = r + n (s - r), by Cramer's rule.
                a, b, c, d = q[0] - p[0], r[0] - s[0], q[1] - p[1], r[1] - s[1]
                determinant = a * d - b * c
                if determinant == 0:
                    continue
                m = ((r[0] - p[0]) * d - b * (r[1] - p[1])) / determinant
                n = (a * (r[1] - p[1]) - (r[0] - p[0]) * c) / determinant
                if 0 < m < 1 and 0 < n < 1:
                    found.append((i, j, p[0] + m * a, p[1] + m * c))
    return sorted(found)


def assert_equal_to_brute_force(trajectories, labels):
    found = count_crossings(trajectories, labels)
    expected = by_brute_force(trajectories, labels.tolist())
    assert found.count == len(expected) == len(found.pairs) == len(found.points)
    got = sorted((*pair, *point) for pair, point in zip(found.pairs.tolist(), found.points.tolist(), strict=True))
    for mine, theirs in zip(got, expected, strict=True):
        assert mine[:2] == theirs[:2]
        assert mine[2:] == pytest.approx([float(x) for x in theirs[2:]], rel=1e-9, abs=1e-9)
    return found


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 8, 13])
def test_random_walks_agree_with_brute_force(steps):
    generator = torch.Generator().manual_seed(steps)
    trajectories = torch.randn(steps + 1, 9, 2, generator=generator, dtype=torch.float64).cumsum(0)
    labels = torch.randint(3, (9,), generator=generator)
    found = assert_equal_to_brute_force(trajectories, labels)
    assert steps < 3 or found.count > 3


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.data())
def test_points_of_a_small_lattice_agree_with_brute_force(data):
    """Where most segments touch, overlap or have no length."""
    number = st.integers(0, 3)
    state = st.tuples(number, number)
    rows = data.draw(st.lists(st.lists(state, min_size=4, max_size=4), min_size=2, max_size=4))
    trajectories = torch.tensor(rows, dtype=torch.float32).transpose(0, 1)
    labels = torch.tensor(data.draw(st.lists(st.integers(0, 1), min_size=len(rows), max_size=len(rows))))
    assert_equal_to_brute_force(trajectories, labels)


def test_a_cross_is_found_where_it_is():
    one, other = [[0.0, 0.0], [2.0, 2.0]], [[0.0, 1.0], [1.0, 0.0]]
    found = count_crossings(torch.tensor([one, other]).transpose(0, 1), torch.tensor([0, 1]))
    assert found.count == 1
    assert found.pairs.tolist() == [[0, 1]]
    assert found.points.tolist() == [[0.5, 0.5]]


def test_trajectories_of_one_class_may_cross():
    one, other = [[0.0, 0.0], [2.0, 2.0]], [[0.0, 1.0], [1.0, 0.0]]
    assert count_crossings(torch.tensor([one, other]).transpose(0, 1), torch.tensor([4, 4])).count == 0


def test_two_trajectories_that_cross_three_times_count_three():
    zigzag = [[0.0, -1.0], [1.0, 1.0], [2.0, -1.0], [3.0, 1.0]]
    straight = [[-1.0, 0.0], [4.0, 0.0], [4.0, 5.0], [4.0, 6.0]]
    found = count_crossings(torch.tensor([zigzag, straight]).transpose(0, 1), torch.tensor([1, 0]))
    assert found.count == 3
    assert found.pairs.tolist() == [[0, 1]] * 3
    assert sorted(x for x, _ in found.points.tolist()) == [0.5, 1.5, 2.5]


@pytest.mark.parametrize("lift", [0.0, 5e-324, 2.0**-1000, 2.0**-60])
def test_a_hair_decides(lift):
    """One trajectory ends on the other, or a last place beyond it: float64 alone cannot tell."""
    base = [[-1.0, -lift / 2 if lift > 5e-324 else 0.0], [3.0, 0.0]]
    other = [[1.0 / 3.0, 1.0], [1.0 / 3.0, -lift]]
    trajectories = torch.tensor([base, other], dtype=torch.float64).transpose(0, 1)
    assert_equal_to_brute_force(trajectories, torch.tensor([0, 1]))


def test_almost_collinear_points_are_decided_exactly():
    """Points beside a diagonal at the last place, as in Kettner et al., "Classroom examples of robustness problems"."""
    ulp = 2.0**-53
    for i in range(8):
        for j in range(8):
            base = [[12.0, 12.0], [24.0, 24.0]]
            other = [[0.5 + i * ulp, 0.5 + j * ulp], [30.0, 30.0 - j * 2.0**-48]]
            trajectories = torch.tensor([base, other], dtype=torch.float64).transpose(0, 1)
            assert_equal_to_brute_force(trajectories, torch.tensor([0, 1]))


@pytest.mark.parametrize("scale", [1e-320, 1e-200, 1e160, 1e307])
def test_tiny_and_huge_states_are_decided_exactly(scale):
    generator = torch.Generator().manual_seed(3)
    trajectories = torch.randn(6, 5, 2, generator=generator, dtype=torch.float64) * scale
    labels = torch.tensor([0, 1, 0, 1, 1])
    assert count_crossings(trajectories, labels).count == len(by_brute_force(trajectories, labels.tolist())) > 0


def test_a_state_that_is_not_finite_costs_its_segments_only():
    one = [[0.0, 0.0], [2.0, 2.0], [math.nan, 1.0], [math.inf, 0.0]]
    other = [[0.0, 1.0], [1.0, 0.0], [5.0, 0.0], [6.0, 0.0]]
    assert count_crossings(torch.tensor([one, other]).transpose(0, 1), torch.tensor([0, 1])).count == 1


def test_blocks_do_not_change_the_answer(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    trajectories = torch.randn(17, 30, 2, generator=generator).cumsum(0)
    labels = torch.arange(30) % 2
    whole = count_crossings(trajectories, labels)
    monkeypatch.setattr(crossings, "PAIRS_AT_ONCE", 100)
    parts = count_crossings(trajectories, labels)
    assert whole.count > 100
    assert torch.equal(whole.pairs, parts.pairs) and torch.equal(whole.points, parts.points)


def test_circles_of_an_exact_flow_do_not_cross():
    """Rotations about the origin with radii well apart: chords of 64 steps stay in their own rings."""
    angle = torch.linspace(0, 2 * math.pi, 65, dtype=torch.float64)[:, None]
    radius = torch.linspace(1, 2, 40, dtype=torch.float64)
    trajectories = torch.stack((radius * angle.cos(), radius * angle.sin()), dim=2)
    assert count_crossings(trajectories, torch.arange(40)).count == 0


@pytest.mark.parametrize("shape", [(1, 5, 2), (0, 5, 2), (9, 1, 2), (9, 0, 2)])
def test_nothing_to_cross_is_no_crossing(shape):
    found = count_crossings(torch.zeros(shape), torch.zeros(shape[1], dtype=torch.int64))
    assert (found.count, found.pairs.shape, found.points.shape) == (0, (0, 2), (0, 2))


def test_other_shapes_are_refused():
    with pytest.raises(IncompatibleError, match=r"trajectories have the shape \(4, 3, 3\)"):
        count_crossings(torch.zeros(4, 3, 3), torch.zeros(3))
