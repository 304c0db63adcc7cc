"""Stability functions against their definition, the literature and dense sampling."""

from __future__ import annotations

import math
from fractions import Fraction as F

import numpy as np
import pytest
import torch

import odebench
from odebench.numerics.stability import measured_stability_function, stability_function
from odebench.plugins import build_registry

TRAPEZOID = odebench.ButcherTableau(order=2, c=(0, 1), a=((0,), (F(1, 2), F(1, 2))), b=(F(1, 2), F(1, 2)))
IMPLICIT_EULER = odebench.ButcherTableau(order=1, c=(1,), a=((1,),), b=(1,))
REGISTRY = build_registry(prefixes=())
TABLEAUX = {
    entry.name: entry.factory.tableau for entry in REGISTRY.entries("solver") if hasattr(entry.factory, "tableau")
} | {"trapezoid": TRAPEZOID, "implicit-euler": IMPLICIT_EULER}


@pytest.mark.parametrize("name", TABLEAUX)
def test_it_is_one_plus_z_times_the_weights_of_the_solved_stages(name: str):
    """R(z) = 1 + z bᵀ (I - z A)⁻¹ 1, by a linear solve in complex numbers."""
    tableau = TABLEAUX[name]
    a = np.zeros((tableau.stages, tableau.stages))
    for i, row in enumerate(tableau.a_floats):
        a[i, : len(row)] = row
    b, ones = np.array(tableau.b_floats), np.ones(tableau.stages)
    function = stability_function(tableau)
    for z in (-0.7, 1.9j, -2.0 + 1.5j, 0.4 - 3.0j):
        expected = 1 + z * (b @ np.linalg.solve(np.eye(tableau.stages) - z * a, ones))
        assert abs(function.at(z) - expected) <= 1e-12 * max(1.0, abs(expected))


@pytest.mark.parametrize(
    ("name", "real", "imaginary"),
    [
        ("euler", 2.0, 0.0),
        ("midpoint", 2.0, 0.0),
        ("ssprk3", 2.5127453266, math.sqrt(3.0)),
        ("rk4", 2.7852935634, math.sqrt(8.0)),
        ("dopri5", 3.3065678, 0.9972),
        ("trapezoid", math.inf, math.inf),
        ("kvaerno3", math.inf, math.inf),
    ],
)
def test_ends_of_stability_are_those_of_the_literature(name: str, real: float, imaginary: float):
    """Hairer and Wanner, "Solving ODEs II", section IV.2; closed forms of the cubic and the quartic of the axes."""
    function = stability_function(TABLEAUX[name])
    assert function.real_end == pytest.approx(real, rel=1e-4)
    assert function.imaginary_end == pytest.approx(imaginary, rel=1e-4)


@pytest.mark.parametrize("name", TABLEAUX)
def test_on_the_axes_it_is_at_most_one_up_to_the_end_and_above_just_beyond(name: str):
    function = stability_function(TABLEAUX[name])
    for end, unit in ((function.real_end, -1.0), (function.imaginary_end, 1j)):
        shares = np.linspace(0.0, 1.0, 2001)
        size = abs(function.at(unit * shares * (end if math.isfinite(end) else 1e3)))
        assert (size <= 1 + 1e-9).all()
        # At the origin the border may be left with a high power of what is beyond.
        assert math.isinf(end) or abs(function.at(unit * (end + 0.5))) > 1


def test_what_is_stable_in_the_whole_left_half_plane_is_told_apart():
    stable = {name: stability_function(tableau) for name, tableau in TABLEAUX.items()}
    assert {name for name, function in stable.items() if function.a_stable} == {
        "trapezoid",
        "implicit-euler",
        "kvaerno3",
    }
    assert {name for name, function in stable.items() if function.l_stable} == {"implicit-euler", "kvaerno3"}


@pytest.mark.parametrize("name", ["euler", "rk4", "dopri5", "dopri8"])
def test_what_is_measured_is_what_the_tableau_says(name: str):
    solver = REGISTRY.get("solver", name).build()
    measured, exact = measured_stability_function(solver), stability_function(solver.tableau)
    assert len(measured.numerator) == len(exact.numerator)
    assert all(abs(x - y) < 1e-15 for x, y in zip(measured.numerator, exact.numerator, strict=True))
    assert (measured.real_end, measured.imaginary_end) == pytest.approx((exact.real_end, exact.imaginary_end))


class LooksBack(odebench.OneStepSolver):
    """Adams and Bashforth's method of order 2, begun by Euler's: its carry is the slope before."""

    name, order, carry_is = "looks-back", 2, "state"

    def first_carry(self, field, t, y):
        return field(t, y)

    def step(self, field, t, dt, y, carry=None, *, error=False, dense=False):
        slope = field(t, y)
        return odebench.Step(y + dt * (1.5 * slope - 0.5 * carry), carry=slope)


def test_a_method_that_looks_back_or_is_implicit_has_none_that_can_be_measured():
    assert measured_stability_function(LooksBack()) is None
    assert measured_stability_function(REGISTRY.get("solver", "kvaerno3").build()) is None


def test_a_solver_that_takes_no_uniform_steps_has_none():
    class Refuses(odebench.OpaqueSolver):
        name, order = "refuses", 1

        def solve(self, field, y0, ts, grid, inputs=()):
            raise odebench.OdebenchError("Give a tolerance.")

    assert measured_stability_function(Refuses()) is None


def test_measuring_leaves_the_mode_of_gradients_as_it_was():
    assert torch.is_grad_enabled()
    measured_stability_function(REGISTRY.get("solver", "euler").build())
    assert torch.is_grad_enabled()
