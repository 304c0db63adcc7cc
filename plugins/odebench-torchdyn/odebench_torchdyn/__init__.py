"""torchdyn for odebench: its solvers of first-order equations, and its ways to a gradient."""

from __future__ import annotations

from collections.abc import Callable

import odebench
from odebench_torchdyn.gradients import Adjoint, Autograd, InterpolatedAdjoint
from odebench_torchdyn.methods import Dopri5, Euler, Midpoint, Rk4, Tsit5


@odebench.hookimpl
def odebench_register_solvers(register: Callable[[object], None]) -> None:
    """Offer torchdyn's solvers; `alf` and the hypersolvers, which want a field of another form, and `ieuler` are left out."""
    for solver in (Euler, Midpoint, Rk4, Dopri5, Tsit5):
        register(solver)


@odebench.hookimpl
def odebench_register_gradients(register: Callable[[object], None]) -> None:
    """Offer torchdyn's gradient methods."""
    for method in (Autograd, Adjoint, InterpolatedAdjoint):
        register(method)
