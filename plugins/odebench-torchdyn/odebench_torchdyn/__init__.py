"""torchdyn for odebench: its solvers of first-order equations, and its ways to a gradient."""

from __future__ import annotations

from collections.abc import Callable

import odebench
from odebench_torchdyn.gradients import Adjoint, Autograd, InterpolatedAdjoint
from odebench_torchdyn.methods import Alf, Dopri5, Euler, Ieuler, Midpoint, Rk4, Tsit5


@odebench.hookimpl
def odebench_register_solvers(register: Callable[[object], None]) -> None:
    """Offer torchdyn's solvers; the hypersolvers, which want a trained network beside the field, are left out."""
    for solver in (Euler, Midpoint, Rk4, Ieuler, Alf, Dopri5, Tsit5):
        register(solver)


@odebench.hookimpl
def odebench_register_gradients(register: Callable[[object], None]) -> None:
    """Offer torchdyn's gradient methods."""
    for method in (Autograd, Adjoint, InterpolatedAdjoint):
        register(method)
