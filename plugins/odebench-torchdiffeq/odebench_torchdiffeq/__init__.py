"""torchdiffeq for odebench: every solver of torchdiffeq 0.2.5 that solves to given times, and its ways to a gradient."""

from __future__ import annotations

from collections.abc import Callable

import odebench
from odebench_torchdiffeq.adams import ExplicitAdams, ImplicitAdams
from odebench_torchdiffeq.adaptive import AdaptiveHeun, Bosh3, Dopri5, Dopri8, Fehlberg2
from odebench_torchdiffeq.fixed import Euler, Heun2, Heun3, Midpoint, Rk4
from odebench_torchdiffeq.gradients import Adjoint, Direct, SeminormAdjoint
from odebench_torchdiffeq.scipy_solver import ScipySolver


@odebench.hookimpl
def odebench_register_solvers(register: Callable[[object], None]) -> None:
    """Offer torchdiffeq's solvers; `fixed_adams`, an old name of `implicit_adams`, is left out."""
    for solver in (
        Euler, Midpoint, Heun2, Heun3, Rk4, ExplicitAdams, ImplicitAdams,
        AdaptiveHeun, Fehlberg2, Bosh3, Dopri5, Dopri8, ScipySolver,
    ):  # fmt: skip
        register(solver)


@odebench.hookimpl
def odebench_register_gradients(register: Callable[[object], None]) -> None:
    """Offer torchdiffeq's gradient methods."""
    for method in (Direct, Adjoint, SeminormAdjoint):
        register(method)
