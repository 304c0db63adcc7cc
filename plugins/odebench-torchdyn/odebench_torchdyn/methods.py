"""torchdyn's methods."""

from __future__ import annotations

from typing import ClassVar

from odebench.numerics import ButcherTableau
from odebench.numerics.adapted_request import steps_of
from odebench.solvers import euler, midpoint
from odebench_torchdyn.solver import TorchdynSolver

_OF_ADAPTIVE = {
    "check_dtypes": "a state in bfloat16 becomes one in float32: step lengths are tensors of one element, not numbers",
    "check_empty_states": "the first step of an empty state is not a number",
}


class Euler(TorchdynSolver):
    """Euler's method, order 1; 1 stage."""

    name: ClassVar[str] = "torchdyn/euler"
    tableau: ClassVar[ButcherTableau] = steps_of(euler.Euler.tableau)
    method: ClassVar[str] = "euler"
    order = 1
    stages = 1


class Midpoint(TorchdynSolver):
    """The explicit midpoint rule, order 2; 2 stages."""

    name: ClassVar[str] = "torchdyn/midpoint"
    tableau: ClassVar[ButcherTableau] = steps_of(midpoint.Midpoint.tableau)
    method: ClassVar[str] = "midpoint"
    order = 2
    stages = 2


class Rk4(TorchdynSolver):
    """torchdyn's `rk4`, order 4 where the field does not depend on the time, and 1 where it does; 4 stages.

    torchdyn takes stages 2, 3 and 4 at the times of 1, 2 and 3.
    """

    name: ClassVar[str] = "torchdyn/rk4"
    method: ClassVar[str] = "rk4"
    order = 4
    stages = 4
    known_failures: ClassVar[dict[str, str]] = {
        "check_observed_order": "order 1.00 on a field that depends on the time: stages 2, 3, 4 are taken at t, t + h/2, t + h/2",
    }


class Dopri5(TorchdynSolver):
    """Dormand and Prince's pair of order 5, the first stage the last of the step before."""

    name: ClassVar[str] = "torchdyn/dopri5"
    method: ClassVar[str] = "dopri5"
    known_failures: ClassVar[dict[str, str]] = _OF_ADAPTIVE | {
        "check_tolerance_proportionality": "slope 0.84 from 1e-4 to 1e-11: errors of 1.9e-9 at 1e-10 and 3.6e-9 at 1e-11",
    }
    order = 5
    adaptive = True
    takes_grids = False
    first_node: ClassVar[float] = 0.2


class Tsit5(TorchdynSolver):
    """Tsitouras' pair of order 5, the first stage the last of the step before."""

    name: ClassVar[str] = "torchdyn/tsit5"
    method: ClassVar[str] = "tsit5"
    known_failures: ClassVar[dict[str, str]] = _OF_ADAPTIVE | {
        "check_tolerance_proportionality": "slope 0.52 from 1e-4 to 1e-11: errors between 2e-7 and 5e-7 from 1e-7 to 1e-10",
    }
    order = 5
    adaptive = True
    takes_grids = False
    first_node: ClassVar[float] = 0.161
