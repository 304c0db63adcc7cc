"""zuko for odebench: its adaptive solver and the checkpoint adjoint that it comes with."""

from __future__ import annotations

from collections.abc import Callable

import odebench
from odebench_zuko.gradients import Aca
from odebench_zuko.solver import Dopri5


@odebench.hookimpl
def odebench_register_solvers(register: Callable[[object], None]) -> None:
    """Offer zuko's solver."""
    register(Dopri5)


@odebench.hookimpl
def odebench_register_gradients(register: Callable[[object], None]) -> None:
    """Offer zuko's gradient method."""
    register(Aca)
