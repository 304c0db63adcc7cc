"""Separation by planes, against exact geometry."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from odebench.errors import NotKnownError
from odebench.numerics.separation import separation_margin


def turn(a, b, c) -> int:
    """Sign of the area of the triangle: whether c lies left of the way from a to b. Exact, for whole numbers."""
    area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
    return (area > 0) - (area < 0)


def on_segment(p, a, b) -> bool:
    return turn(a, b, p) == 0 and all(min(a[k], b[k]) <= p[k] <= max(a[k], b[k]) for k in (0, 1))


def in_triangle(p, a, b, c) -> bool:
    if any(on_segment(p, *side) for side in itertools.combinations((a, b, c), 2)):
        return True
    return len({turn(a, b, p), turn(b, c, p), turn(c, a, p)}) == 1 and turn(a, b, c) != 0


def segments_meet(a, b, c, d) -> bool:
    if on_segment(a, c, d) or on_segment(b, c, d) or on_segment(c, a, b) or on_segment(d, a, b):
        return True
    return turn(a, b, c) * turn(a, b, d) < 0 and turn(c, d, a) * turn(c, d, b) < 0


def apart(left, right) -> bool:
    """Whether a line separates two sets of points of the plane: it does unless it fails for two and two, or one and three.

    Kirchberger's theorem: P. Kirchberger, Mathematische Annalen 57, 1903.
    """
    for one, other in ((left, right), (right, left)):
        if any(in_triangle(p, *three) for p in one for three in itertools.combinations_with_replacement(other, 3)):
            return False
    return not any(
        segments_meet(*two, *also)
        for two in itertools.combinations(left, 2)
        for also in itertools.combinations(right, 2)
    )


def test_two_classes_of_the_plane_are_separable_where_geometry_says_so():
    generator = np.random.default_rng(0)
    seen = {True: 0, False: 0}
    for _ in range(200):
        sizes = generator.integers(1, 5, 2)
        points = generator.integers(-4, 5, (sizes.sum(), 2))
        left, right = points[: sizes[0]].tolist(), points[sizes[0] :].tolist()
        expected = apart(left, right)
        seen[expected] += 1
        assert (separation_margin(points, np.repeat((7, 3), sizes)) > 0.0) == expected, (left, right)
    assert min(seen.values()) > 40


@pytest.mark.parametrize(
    ("points", "classes", "margin"),
    [
        ([[-1.0], [1.0]], [0, 1], 1.0),
        ([[0.0], [1.0], [3.0], [4.0]], [0, 0, 1, 1], 0.5),
        ([[0.0], [2.0], [4.0]], [0, 1, 0], 0.0),
        # In the maximum norm the diagonal is no longer than the side.
        ([[-1.0, -1.0], [1.0, 1.0]], [0, 1], 1.0),
        ([[0.0, 0.0], [1.0, 1.0], [0.0, 1.0], [1.0, 0.0]], [0, 0, 1, 1], 0.0),
        # Both classes hold the same point.
        ([[0.0, 0.0], [0.0, 0.0], [5.0, 1.0]], [0, 1, 1], 0.0),
        ([[2.0, 2.0], [2.0, 2.0]], [0, 1], 0.0),
        # They touch: the second class lies on the edge of the first.
        ([[0.0, 0.0], [2.0, 0.0], [1.0, 0.0]], [0, 0, 1], 0.0),
    ],
)
def test_the_margin_is_half_the_widest_gap(points, classes, margin):
    found = separation_margin(np.array(points), np.array(classes))
    assert found == pytest.approx(margin, abs=1e-9)
    assert (found > 0.0) == (margin > 0.0)


@pytest.mark.parametrize("scale", [1e-200, 1e-3, 1.0, 1e150, 1e307])
@pytest.mark.parametrize("shift", [0.0, 3.0])
def test_the_unit_does_not_matter(scale, shift):
    points = scale * (np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.5]]) + shift)
    expected = separation_margin(points / scale, [0, 1, 0, 1])
    assert expected > 0.4
    assert separation_margin(points, [0, 1, 0, 1]) == pytest.approx(expected, rel=1e-6)


def test_a_narrow_gap_is_seen_and_the_lack_of_one():
    for gap, expected in ((1e-6, True), (1e-9, True), (0.0, False), (-1e-9, False)):
        points = np.array([[0.0, 0.0], [1.0, 0.0], [0.3, gap], [0.7, gap + 1.0]])
        assert (separation_margin(points, [0, 0, 1, 1]) > 0.0) == expected, gap


def test_points_on_the_way_to_infinity_do_not_hide_those_at_home():
    """What Euler's method made of the fan just before it overflowed: a line separates them, close to the origin."""
    points = np.array([[0.0, 0.0], [-0.2467, -0.1059], [1054.9, -13074956.1], [2015977501.0, 2.34e17]])
    assert separation_margin(points, [0, 1, 1, 0]) > 0.0
    # And the same with what is at home mixed up: the point of class 1 between two of class 0.
    mixed = np.vstack((points, [[-0.4934, -0.2118]]))
    assert separation_margin(mixed, [0, 1, 1, 0, 0]) == 0.0


def test_three_classes_need_a_linear_function_each():
    corners = np.array([[0.0, 1.0], [-1.0, -1.0], [1.0, -1.0]])
    assert separation_margin(corners, [0, 1, 2]) > 0.0
    inside = np.vstack((corners, [[0.0, -0.2]]))
    assert separation_margin(inside, [0, 1, 2, 0]) > 0.0
    # Class 1 on both sides of class 2.
    assert separation_margin(np.vstack((corners, [[3.0, -1.0]])), [0, 1, 2, 1]) == 0.0


def test_more_dimensions_than_points_always_suffice():
    generator = np.random.default_rng(1)
    points = generator.standard_normal((12, 40))
    assert separation_margin(points, generator.integers(0, 3, 12)) > 0.0


@pytest.mark.parametrize(
    ("points", "classes", "word"),
    [
        ([[0.0], [np.nan]], [0, 1], "not finite"),
        ([[0.0], [np.inf]], [0, 1], "not finite"),
        ([[0.0], [1.0]], [1, 1], "one class"),
        (np.zeros((0, 2)), [], "one class"),
    ],
)
def test_what_cannot_be_answered_is_not_known(points, classes, word):
    with pytest.raises(NotKnownError, match=word):
        separation_margin(np.array(points), np.array(classes))
