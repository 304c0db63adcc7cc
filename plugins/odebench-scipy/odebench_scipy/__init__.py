"""SciPy for odebench: the six methods of `scipy.integrate.solve_ivp`."""

from __future__ import annotations

from collections.abc import Callable

import odebench
from odebench_scipy.methods import Bdf, Dop853, Lsoda, Radau, Rk23, Rk45


@odebench.hookimpl
def odebench_register_solvers(register: Callable[[object], None]) -> None:
    """Offer the methods of `solve_ivp`."""
    for solver in (Rk23, Rk45, Dop853, Radau, Bdf, Lsoda):
        register(solver)
