"""The library's methods."""

from __future__ import annotations

from typing import ClassVar

from odebench.numerics import ButcherTableau
from odebench.numerics.adapted_request import steps_of
from odebench.solvers import adaptive_heun, bosh3, dopri5, dopri8, euler, fehlberg21, midpoint, rk4, rk38
from odebench_symplectic_adjoint.solver import SymplecticAdjointSolver


class FixedSolver(SymplecticAdjointSolver):
    """A method without an error estimate."""


class AdaptiveSolver(SymplecticAdjointSolver):
    """An embedded pair."""

    adaptive = True
    embedded: ClassVar[bool] = True
    known_failures: ClassVar[dict[str, str]] = {
        "check_grid_is_repeated": (
            "a given step is as long as the difference of its ends, where a chosen one is not rounded so: 2.7e-16 to 2.0e-15"
        ),
        "check_empty_states": "the error norm of no elements is not a number: 'underflow in dt nan'",
    }


class Euler(FixedSolver):
    """Euler's method, order 1; 1 evaluation a step, and one at the end."""

    name: ClassVar[str] = "symplectic-adjoint/euler"
    tableau: ClassVar[ButcherTableau] = steps_of(euler.Euler.tableau)
    method: ClassVar[str] = "euler"
    order = 1


class Midpoint(FixedSolver):
    """The explicit midpoint rule, order 2; 2 evaluations a step, and one at the end."""

    name: ClassVar[str] = "symplectic-adjoint/midpoint"
    tableau: ClassVar[ButcherTableau] = steps_of(midpoint.Midpoint.tableau)
    method: ClassVar[str] = "midpoint"
    order = 2


class Rk4(FixedSolver):
    """The classical method, order 4; 4 evaluations a step, and one at the end."""

    name: ClassVar[str] = "symplectic-adjoint/rk4"
    tableau: ClassVar[ButcherTableau] = steps_of(rk4.Rk4.tableau)
    method: ClassVar[str] = "rk4"
    order = 4


class Rk38(FixedSolver):
    """Kutta's 3/8 rule, order 4; 4 evaluations a step, and one at the end."""

    name: ClassVar[str] = "symplectic-adjoint/rk38"
    tableau: ClassVar[ButcherTableau] = steps_of(rk38.Rk38.tableau)
    method: ClassVar[str] = "rk38"
    order = 4


class AdaptiveHeun(AdaptiveSolver):
    """Heun's method with Euler's embedded, order 2."""

    name: ClassVar[str] = "symplectic-adjoint/adaptive-heun"
    tableau: ClassVar[ButcherTableau] = steps_of(adaptive_heun.AdaptiveHeun.tableau)
    method: ClassVar[str] = "adaptive_heun"
    order = 2


class Fehlberg2(FixedSolver):
    """Fehlberg's 1(2) pair, continued with order 2; with given steps only, 3 evaluations a step.

    In place of the difference of its two weights the library has the weights of order 1 for the error estimate, which is then as
    large as the step's increment itself: at a tolerance of 1e-5 on a turning plane 100,000 steps were not enough.
    """

    embedded: ClassVar[bool] = True
    name: ClassVar[str] = "symplectic-adjoint/fehlberg2"
    tableau: ClassVar[ButcherTableau] = steps_of(fehlberg21.Fehlberg21.tableau)
    method: ClassVar[str] = "fehlberg2"
    order = 2


class Bosh3(AdaptiveSolver):
    """Bogacki and Shampine's 3(2) pair, order 3."""

    name: ClassVar[str] = "symplectic-adjoint/bosh3"
    tableau: ClassVar[ButcherTableau] = steps_of(bosh3.Bosh3.tableau)
    method: ClassVar[str] = "bosh3"
    order = 3


class Dopri5(AdaptiveSolver):
    """Dormand and Prince's pair of order 5, with Shampine's other embedded method."""

    name: ClassVar[str] = "symplectic-adjoint/dopri5"
    tableau: ClassVar[ButcherTableau] = steps_of(dopri5.Dopri5.tableau)
    method: ClassVar[str] = "dopri5"
    order = 5


class Dopri8(AdaptiveSolver):
    """Prince and Dormand's 8(7) pair, order 8."""

    name: ClassVar[str] = "symplectic-adjoint/dopri8"
    tableau: ClassVar[ButcherTableau] = steps_of(dopri8.Dopri8.tableau)
    method: ClassVar[str] = "dopri8"
    order = 8


SOLVERS = (Euler, Midpoint, Rk4, Rk38, AdaptiveHeun, Fehlberg2, Bosh3, Dopri5, Dopri8)
