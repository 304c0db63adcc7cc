"""The symplectic adjoint method as its authors wrote it, with what they compare it with. Their code lies where the user says."""

from __future__ import annotations

from collections.abc import Callable

import odebench
from odebench_symplectic_adjoint.gradients import METHODS
from odebench_symplectic_adjoint.methods import SOLVERS


@odebench.hookimpl
def odebench_register_solvers(register: Callable[[object], None]) -> None:
    """Offer the library's solvers."""
    for solver in SOLVERS:
        register(solver)


@odebench.hookimpl
def odebench_register_gradients(register: Callable[[object], None]) -> None:
    """Offer the library's gradient methods."""
    for method in METHODS:
        register(method)
