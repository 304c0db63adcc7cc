"""torchdyn's methods."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from odebench.numerics import ButcherTableau
from odebench.numerics.adapted_request import steps_of
from odebench.solvers import euler, midpoint
from odebench_torchdyn.solver import TorchdynSolver
from odebench_torchdyn.watched_field import WatchedField

_FLOAT32_STEPS = (
    "step lengths are float32 after the first step, whatever the state is: torchdyn's controller multiplies them by vectors of float32 "
    "(on a turning plane to 1e-10 an error of 5.7e-9 for dopri5 and 4.5e-8 for tsit5; with factors in float64 7.3e-11 and 7.3e-13)"
)
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


class Ieuler(TorchdynSolver):
    """The implicit Euler method, order 1; each step is found by up to 200 iterations of L-BFGS on the squared residual of the whole batch.

    torchdyn evaluates the field at the start of a step, where the method asks for its end. What it gives has no graph: no gradient passes
    it, and odebench's `continuous-adjoint`, which only asks for solves, works on it.

    Source: torchdyn 1.0.6, `ImplicitEuler`.
    """

    name: ClassVar[str] = "torchdyn/ieuler"
    method: ClassVar[str] = "ieuler"
    known_failures: ClassVar[dict[str, str]] = {
        "check_rows_do_not_interact": "one minimisation for the whole batch: a row changes by 1.3e-6 where the others grow by 1.7",
        "check_empty_states": "RuntimeError: L-BFGS takes the largest of no gradients",
        "check_nan_is_passed_on": "L-BFGS goes on where the field is nan: more than 5000 evaluations in 8 steps",
    }
    order = 1
    implicit = True
    differentiable = False

    def begun(self, lent: WatchedField, y: Tensor, ts: Sequence[float]) -> Tensor:
        """The state, without its past; L-BFGS takes no other than contiguous ones."""
        return y.detach().contiguous()

    def told(self, state: Tensor, like: Tensor) -> Tensor:
        """The state, which torchdyn gives as a parameter."""
        return state.detach()


class Alf(TorchdynSolver):
    """The asynchronous leapfrog, order 2: a velocity is advanced with the state, and begins as the field's value.

    torchdyn takes state and velocity side by side, and evaluates the field twice a step, once for nothing.

    Source: J. Zhuang et al., MALI, ICLR 2021, arXiv:2102.04668; torchdyn 1.0.6, `AsynchronousLeapfrog`.
    """

    name: ClassVar[str] = "torchdyn/alf"
    method: ClassVar[str] = "alf"
    order = 2

    def begun(self, lent: WatchedField, y: Tensor, ts: Sequence[float]) -> Tensor:
        """The state and its velocity; where time falls, that in the time that torchdyn has turned."""
        t = torch.tensor(ts[0], dtype=lent.time_dtype, device=y.device)
        velocity = lent(t, y) if ts[-1] > ts[0] else -lent(t, y)
        return torch.cat([y.reshape(-1), velocity.reshape(-1)])

    def told(self, state: Tensor, like: Tensor) -> Tensor:
        """The state alone."""
        return state[: state.shape[-1] // 2].reshape(like.shape)


class Dopri5(TorchdynSolver):
    """Dormand and Prince's pair of order 5, the first stage the last of the step before."""

    name: ClassVar[str] = "torchdyn/dopri5"
    method: ClassVar[str] = "dopri5"
    known_failures: ClassVar[dict[str, str]] = _OF_ADAPTIVE | {
        "check_tolerance_proportionality": (
            "slope 0.84 from 1e-4 to 1e-11: errors of 1.9e-9 at 1e-10 and 3.6e-9 at 1e-11, because " + _FLOAT32_STEPS
        ),
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
        "check_tolerance_proportionality": (
            "slope 0.52 from 1e-4 to 1e-11: errors between 2e-7 and 5e-7 from 1e-7 to 1e-10, because " + _FLOAT32_STEPS
        ),
    }
    order = 5
    adaptive = True
    takes_grids = False
    first_node: ClassVar[float] = 0.161
