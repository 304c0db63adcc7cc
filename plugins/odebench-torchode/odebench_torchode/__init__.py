"""torchode for odebench: its solvers, with one step size for the batch or one for each row, and its ways to a gradient."""

from __future__ import annotations

from collections.abc import Callable

import odebench
from odebench_torchode.gradients import AutoDiff, Backsolve, JointBacksolve
from odebench_torchode.methods import Dopri5, Euler, Heun, Tsit5


@odebench.hookimpl
def odebench_register_solvers(register: Callable[[object], None]) -> None:
    """Offer torchode's methods."""
    for solver in (Euler, Heun, Dopri5, Tsit5):
        register(solver)


@odebench.hookimpl
def odebench_register_gradients(register: Callable[[object], None]) -> None:
    """Offer torchode's gradient methods."""
    for method in (AutoDiff, Backsolve, JointBacksolve):
        register(method)
