"""ANODE for odebench: its solvers, and its gradient by solving once more. ANODE itself lies where the user says."""

from __future__ import annotations

from collections.abc import Callable

import odebench
from odebench_anode.gradients import Adjoint
from odebench_anode.solver import SOLVERS


@odebench.hookimpl
def odebench_register_solvers(register: Callable[[object], None]) -> None:
    """Offer ANODE's solvers."""
    for solver in SOLVERS:
        register(solver)


@odebench.hookimpl
def odebench_register_gradients(register: Callable[[object], None]) -> None:
    """Offer ANODE's gradient method."""
    register(Adjoint)
