"""diffrax's solvers of ordinary differential equations."""

from __future__ import annotations

from typing import ClassVar

from odebench_diffrax.solver import DiffraxSolver

_GOES_ON = {
    "check_nan_is_passed_on": (
        "where the field gives inf the error estimate's norm and the next step are nan, and diffrax goes on until max_steps: 4096 "
        "attempts, over 5000 evaluations, and then divergence"
    )
}

_ONE_ITERATION = (
    "Newton's iteration is one for the whole batch, whose rows end together and share the linear solver's rounding: one row differs by "
    "up to 1.8e-16, relative"
)


class Euler(DiffraxSolver):
    """Euler's method."""

    name: ClassVar[str] = "diffrax/euler"
    diffrax_name: ClassVar[str] = "Euler"
    order = 1
    stages = 1
    evaluations_of_attempt: ClassVar[int | None] = 1


class Heun(DiffraxSolver):
    """Heun's method of order 2 with an embedded Euler step."""

    name: ClassVar[str] = "diffrax/heun"
    diffrax_name: ClassVar[str] = "Heun"
    known_failures: ClassVar[dict[str, str]] = _GOES_ON
    order = 2
    adaptive = True
    stages = 2
    evaluations_of_attempt: ClassVar[int | None] = 2


class Midpoint(DiffraxSolver):
    """The midpoint method of order 2 with an embedded Euler step."""

    name: ClassVar[str] = "diffrax/midpoint"
    diffrax_name: ClassVar[str] = "Midpoint"
    known_failures: ClassVar[dict[str, str]] = _GOES_ON
    order = 2
    adaptive = True
    stages = 2
    evaluations_of_attempt: ClassVar[int | None] = 2


class Ralston(DiffraxSolver):
    """Ralston's method of order 2 with an embedded Euler step."""

    name: ClassVar[str] = "diffrax/ralston"
    diffrax_name: ClassVar[str] = "Ralston"
    known_failures: ClassVar[dict[str, str]] = _GOES_ON
    order = 2
    adaptive = True
    stages = 2
    evaluations_of_attempt: ClassVar[int | None] = 2


class Bosh3(DiffraxSolver):
    """Bogacki and Shampine's 3(2) pair."""

    name: ClassVar[str] = "diffrax/bosh3"
    diffrax_name: ClassVar[str] = "Bosh3"
    known_failures: ClassVar[dict[str, str]] = _GOES_ON
    order = 3
    adaptive = True
    evaluations_of_attempt: ClassVar[int | None] = 3
    evaluations_at_start: ClassVar[int] = 1


class Tsit5(DiffraxSolver):
    """Tsitouras' 5(4) pair."""

    name: ClassVar[str] = "diffrax/tsit5"
    diffrax_name: ClassVar[str] = "Tsit5"
    known_failures: ClassVar[dict[str, str]] = _GOES_ON
    order = 5
    adaptive = True
    evaluations_of_attempt: ClassVar[int | None] = 6
    evaluations_at_start: ClassVar[int] = 1


class Dopri5(DiffraxSolver):
    """Dormand and Prince's 5(4) pair."""

    name: ClassVar[str] = "diffrax/dopri5"
    diffrax_name: ClassVar[str] = "Dopri5"
    known_failures: ClassVar[dict[str, str]] = _GOES_ON
    order = 5
    adaptive = True
    evaluations_of_attempt: ClassVar[int | None] = 6
    evaluations_at_start: ClassVar[int] = 1


class Dopri8(DiffraxSolver):
    """Dormand and Prince's 8(7) pair."""

    name: ClassVar[str] = "diffrax/dopri8"
    diffrax_name: ClassVar[str] = "Dopri8"
    known_failures: ClassVar[dict[str, str]] = _GOES_ON
    order = 8
    adaptive = True
    evaluations_of_attempt: ClassVar[int | None] = 13
    evaluations_at_start: ClassVar[int] = 1


class ImplicitEuler(DiffraxSolver):
    """The implicit Euler method; its error estimate is the difference to the explicit one."""

    name: ClassVar[str] = "diffrax/implicit-euler"
    known_failures: ClassVar[dict[str, str]] = {
        "check_tolerance_proportionality": "as an order of 1 has it, the error falls with the root of the tolerance: 0.77, 0.36, 0.13, 0.044 "
        "and 0.014 from 1e-2 to 1e-6, by 11000 evaluations",
        "check_rows_do_not_interact": _ONE_ITERATION,
        "check_grid_is_repeated": "as for kvaerno3: states differ by 5.2e-13, relative",
    }
    diffrax_name: ClassVar[str] = "ImplicitEuler"
    order = 1
    adaptive = True
    implicit = True


class Kvaerno3(DiffraxSolver):
    """Kværnø's 3(2) method, singly diagonally implicit with an explicit first stage."""

    name: ClassVar[str] = "diffrax/kvaerno3"
    diffrax_name: ClassVar[str] = "Kvaerno3"
    known_failures: ClassVar[dict[str, str]] = {
        "check_tolerance_proportionality": "an error of 2.3e-3 at both 1e-2 and 1e-3, where the equations of a step are solved to that "
        "only, makes a slope of 0.60 over four decades; from 1e-4 on it is 0.97",
        "check_rows_do_not_interact": _ONE_ITERATION,
        "check_grid_is_repeated": "with a tolerance, 1e-5, diffrax solves the equations of a step to that; on the same steps given, to "
        "1e-12: states differ by 1.2e-8, relative",
    }
    order = 3
    adaptive = True
    implicit = True


class Kvaerno4(DiffraxSolver):
    """Kværnø's 4(3) method, singly diagonally implicit with an explicit first stage."""

    name: ClassVar[str] = "diffrax/kvaerno4"
    known_failures: ClassVar[dict[str, str]] = {
        "check_tolerance_proportionality": "errors of 6.2e-4, 1.6e-4 and 1.6e-4 at 1e-2, 1e-3 and 1e-4, where the equations of a step are "
        "solved to that only: a slope of 0.30",
        "check_rows_do_not_interact": _ONE_ITERATION,
        "check_grid_is_repeated": "as for kvaerno3: states differ by 1.4e-7, relative",
    }
    diffrax_name: ClassVar[str] = "Kvaerno4"
    order = 4
    adaptive = True
    implicit = True


class Kvaerno5(DiffraxSolver):
    """Kværnø's 5(4) method, singly diagonally implicit with an explicit first stage."""

    name: ClassVar[str] = "diffrax/kvaerno5"
    known_failures: ClassVar[dict[str, str]] = {
        "check_rows_do_not_interact": _ONE_ITERATION,
        "check_grid_is_repeated": "as for kvaerno3: states differ by 2.6e-7, relative",
    }
    diffrax_name: ClassVar[str] = "Kvaerno5"
    order = 5
    adaptive = True
    implicit = True


class ReversibleHeun(DiffraxSolver):
    """The reversible Heun method of order 2, which carries a second state along; diffrax has no reversible adjoint for it.

    Source: P. Kidger, J. Foster, X. Li, T. Lyons, "Efficient and accurate gradients for neural SDEs", 2021, arXiv:2105.13493.
    """

    name: ClassVar[str] = "diffrax/reversible-heun"
    diffrax_name: ClassVar[str] = "ReversibleHeun"
    order = 2
    adaptive = True
    carry_is = "state"
    evaluations_of_attempt: ClassVar[int | None] = 1
    evaluations_at_start: ClassVar[int] = 1


class LeapfrogMidpoint(DiffraxSolver):
    """The explicit two-step midpoint method of order 2, whose first step is one of Euler's."""

    name: ClassVar[str] = "diffrax/leapfrog-midpoint"
    diffrax_name: ClassVar[str] = "LeapfrogMidpoint"
    order = 2
    stages = 1
    carry_is = "state"
    evaluations_of_attempt: ClassVar[int | None] = 1


# `SemiImplicitEuler` takes a field in two parts, which models of odebench do not declare; KenCarp and Sil3 methods likewise.
SOLVERS = (
    Euler, Heun, Midpoint, Ralston, Bosh3, Tsit5, Dopri5, Dopri8, ImplicitEuler, Kvaerno3, Kvaerno4, Kvaerno5, ReversibleHeun,
    LeapfrogMidpoint,
)  # fmt: skip
