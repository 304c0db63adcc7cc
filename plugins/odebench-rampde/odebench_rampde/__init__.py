"""rampde for odebench: its solvers, and its gradient in mixed precision. rampde itself lies where the user says."""

from __future__ import annotations

from collections.abc import Callable

import odebench
from odebench_rampde.gradients import Adjoint
from odebench_rampde.solver import SOLVERS


@odebench.hookimpl
def odebench_register_solvers(register: Callable[[object], None]) -> None:
    """Offer rampde's solvers."""
    for solver in SOLVERS:
        register(solver)


@odebench.hookimpl
def odebench_register_gradients(register: Callable[[object], None]) -> None:
    """Offer rampde's gradient method."""
    register(Adjoint)
