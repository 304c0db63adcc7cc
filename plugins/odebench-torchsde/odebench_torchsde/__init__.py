"""torchsde for odebench: its methods without noise, and the reversible Heun method with its exact backward."""

from __future__ import annotations

from collections.abc import Callable

import odebench
from odebench_torchsde.gradients import ReversibleAdjoint
from odebench_torchsde.methods import Euler, Heun, Midpoint, ReversibleHeun


@odebench.hookimpl
def odebench_register_solvers(register: Callable[[object], None]) -> None:
    """Offer torchsde's methods that make sense without noise."""
    for solver in (Euler, Heun, Midpoint, ReversibleHeun):
        register(solver)


@odebench.hookimpl
def odebench_register_gradients(register: Callable[[object], None]) -> None:
    """Offer torchsde's reversible adjoint."""
    register(ReversibleAdjoint)
