"""TorchDiffEqPack for odebench: its solvers, the adaptive checkpoint adjoint (ACA), and MALI."""

from __future__ import annotations

from collections.abc import Callable

import odebench
from odebench_torchdiffeqpack.gradients import Aca, Mali
from odebench_torchdiffeqpack.methods import SOLVERS


@odebench.hookimpl
def odebench_register_solvers(register: Callable[[object], None]) -> None:
    """Offer TorchDiffEqPack's solvers; `ode23s`, which fails for a batch of more than one, is left out."""
    for solver in SOLVERS:
        register(solver)


@odebench.hookimpl
def odebench_register_gradients(register: Callable[[object], None]) -> None:
    """Offer TorchDiffEqPack's gradient methods."""
    for method in (Aca, Mali):
        register(method)
