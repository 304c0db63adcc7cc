"""References hold what theory conserves and end where the literature says.

Published end values: F. Mazzia, C. Magherini, "Test Set for Initial Value Problem Solvers", release 2.4, 2008 (PLEI, VDPOL,
ROBER); the Brusselator's from a 32-digit solution of the same problem in the documentation of the program russell_ode.
"""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from odebench.run.flat_problem import FlatProblem
from odebench.run.reference import reference_solution
from odebench.run.reference_scipy import Budget, Way, solve_trajectory
from tests.models.every import BY_NAME

PLEIADES_AT_3 = (
    0.3706139143970502, 3.237284092057233, -3.222559032418324, 0.6597091455775310,
    0.3425581707156584, 1.562172101400631, -0.7003092922212495,
    -3.943437585517392, -3.271380973972550, 5.225081843456543, -2.590612434977470,
    1.198213693392275, -0.2429682344935824, 1.091449240428980,
    3.417003806314313, 1.354584501625501, -2.590065597810775, 2.025053734714242,
    -1.155815100160448, -0.8072988170223021, 0.5952396354208710,
    -3.741244961234010, 0.3773459685750630, 0.9386858869551073, 0.3667922227200571,
    -0.3474046353808490, 2.344915448180937, -1.947020434263292,
)  # fmt: skip


def reference(name: str, **parameters) -> Tensor:
    problem = BY_NAME[name](outputs=2, **parameters).problem(0)
    return reference_solution(problem, problem.ts).value


def assert_constant(values: Tensor, relative: float) -> None:
    torch.testing.assert_close(values, values[:1].expand_as(values), rtol=relative, atol=relative)


def test_the_oscillator_keeps_its_energy():
    ys = reference("harmonic-oscillator", omega=2.0, batch=3)
    assert_constant(ys[..., 1].square() + 4.0 * ys[..., 0].square(), 1e-14)


def test_predators_and_prey_keep_their_invariant():
    x, y = reference("lotka-volterra", batch=3).unbind(-1)
    assert_constant(x - 3.0 * x.log() + y - 1.5 * y.log(), 1e-11)


def test_robertsons_reaction_keeps_its_mass_and_ends_as_published():
    ys = reference("robertson", batch=1)
    assert_constant(ys.sum(-1), 1e-13)
    # The value of the literature that is found to most digits: (0.71582706872, 9.1855347646e-06, 0.28416374575).
    expected = torch.tensor((0.71582706872, 9.1855347646e-06, 0.28416374575), dtype=torch.float64)
    torch.testing.assert_close(ys[-1, 0], expected, rtol=2e-11, atol=0)


def test_robertsons_reaction_ends_as_published_after_1e11():
    flat = FlatProblem(BY_NAME["robertson"](batch=1, span=1e11).problem(0))
    end = solve_trajectory(flat, (0.0, 1e11), Way("Radau", 1e-10), Budget(10**5)).outputs[-1, 0]
    expected = torch.tensor((0.2083340149701255e-7, 0.8333360770334713e-13, 0.9999999791665050), dtype=torch.float64)
    torch.testing.assert_close(end, expected, rtol=1e-7, atol=1e-15)


def test_the_pleiades_keep_energy_and_momentum_and_end_as_published():
    ys = reference("pleiades")[:, 0]
    masses = torch.arange(1.0, 8.0, dtype=torch.float64)
    x, y, vx, vy = ys.unflatten(-1, (4, 7)).unbind(1)
    kinetic = (0.5 * masses * (vx.square() + vy.square())).sum(-1)
    potential = -sum(
        masses[i] * masses[j] / torch.hypot(x[:, i] - x[:, j], y[:, i] - y[:, j])
        for i, j in itertools.combinations(range(7), 2)
    )
    assert_constant(kinetic + potential, 1e-10)
    assert_constant((masses * vx).sum(-1), 1e-11)
    torch.testing.assert_close(ys[-1], torch.tensor(PLEIADES_AT_3, dtype=torch.float64), rtol=0, atol=1e-10)


def test_the_arenstorf_orbit_keeps_jacobis_constant_and_closes():
    ys = reference("arenstorf")[:, 0]
    x, y, vx, vy = ys.unbind(-1)
    mu = 0.012277471
    potential = (1 - mu) / torch.hypot(x + mu, y) + mu / torch.hypot(x - 1 + mu, y)
    assert_constant(x.square() + y.square() + 2 * potential - vx.square() - vy.square(), 1e-9)
    assert (ys[-1] - ys[0]).abs().max() < 2e-8
    assert (ys[1] - ys[0]).abs().max() > 0.5


def test_the_brusselator_ends_as_published():
    end = reference("brusselator", batch=1)[-1, 0]
    expected = torch.tensor((0.4986370712683478291, 4.596780349452011025), dtype=torch.float64)
    torch.testing.assert_close(end, expected, rtol=1e-11, atol=0)


def test_van_der_pols_oscillator_ends_as_published():
    # The test set scales time by mu: its span of 2 is one of 2 mu here, and its second component mu times this one's.
    flat = FlatProblem(BY_NAME["van-der-pol"](mu=1000.0, span=2000.0, batch=1).problem(0))
    assert flat.problem.stiff
    end = solve_trajectory(flat, (0.0, 2000.0), Way("Radau", 1e-8), Budget(10**5)).outputs[-1, 0]
    expected = torch.tensor((0.1706167732170483e1, -0.8928097010247975e-3), dtype=torch.float64)
    torch.testing.assert_close(end, expected, rtol=1e-9, atol=0)


@pytest.mark.parametrize("row", [0, 1])
def test_row_0_is_the_literatures_and_others_are_perturbed(row):
    y0 = BY_NAME["brusselator"](batch=2).problem(5).y0[row]
    assert (y0.tolist() == [1.5, 3.0]) == (row == 0)
