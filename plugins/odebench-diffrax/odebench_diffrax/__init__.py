"""diffrax for odebench: its solvers and adjoints on fields in JAX, compiled. JAX is imported with the first solve only."""

from __future__ import annotations

from collections.abc import Callable

import odebench
from odebench_diffrax.gradients import METHODS
from odebench_diffrax.methods import SOLVERS


@odebench.hookimpl
def odebench_register_solvers(register: Callable[[object], None]) -> None:
    """Offer diffrax's solvers of ordinary differential equations."""
    for solver in SOLVERS:
        register(solver)


@odebench.hookimpl
def odebench_register_gradients(register: Callable[[object], None]) -> None:
    """Offer diffrax's adjoints."""
    for method in METHODS:
        register(method)
