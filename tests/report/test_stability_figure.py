"""The picture of a stability region: all of it, undistorted, and shaded where it should be."""

from __future__ import annotations

import math

import numpy as np
import pytest

from odebench.report.stability_figure import stability_figure, thumbnail

RK4 = {"numerator": ["1", "1", "1/2", "1/6", "1/24"], "denominator": ["1"]}
IMPLICIT_EULER = {"numerator": ["1"], "denominator": ["1", "-1"]}


def test_the_figure_says_what_it_shows_and_a_unit_is_as_long_on_both_axes():
    (axes,) = stability_figure("rk4", RK4).axes
    assert axes.get_title(loc="left") == "rk4: where |R(z)| ≤ 1"
    assert axes.get_xlabel().startswith("Re z")
    assert axes.get_aspect() == 1.0
    left, right = axes.get_xlim()
    bottom, top = axes.get_ylim()
    assert right - left == pytest.approx(top - bottom)
    assert left < -2.7853 and top > math.sqrt(8.0)


def shaded(axes, x: float, y: float) -> bool:
    """Whether the filled part covers a point."""
    filled = axes.collections[0]
    return any(path.contains_point((x, y)) for path in filled.get_paths())


def test_the_shaded_part_is_where_the_method_is_stable():
    (axes,) = stability_figure("rk4", RK4).axes
    assert shaded(axes, -2.7, 0.1) and shaded(axes, -0.1, 2.7)
    assert not shaded(axes, -2.9, 0.1) and not shaded(axes, 0.1, 0.1)


def test_a_region_without_an_end_is_shown_around_the_origin():
    """Implicit Euler is unstable in the disc of radius 1 about 1 only."""
    (axes,) = stability_figure("implicit", IMPLICIT_EULER).axes
    assert axes.get_xlim() == (-8.0, 8.0)
    assert shaded(axes, -7.0, 3.0) and shaded(axes, 2.2, 0.1)
    border = np.concatenate([path.vertices for path in axes.collections[1].get_paths()])
    assert np.allclose(np.hypot(border[:, 0] - 1.0, border[:, 1]), 1.0, atol=0.01)


def test_thumbnails_are_the_same_bytes_when_drawn_again():
    window = (-4.0, 1.0, -4.0, 4.0)
    assert thumbnail(RK4, window) == thumbnail(RK4, window)
    assert thumbnail(RK4, window).startswith(b"<?xml")
