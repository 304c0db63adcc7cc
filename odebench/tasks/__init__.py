"""What a cell can ask: each task is a plugin, registered as anyone's."""

from __future__ import annotations

from collections.abc import Callable

from odebench.hookspecs import hookimpl
from odebench.tasks.crossings import CountCrossings
from odebench.tasks.evaluate import Evaluate
from odebench.tasks.gradient import Gradient
from odebench.tasks.integrate import Integrate
from odebench.tasks.kkt import Kkt
from odebench.tasks.network_gradient import NetworkGradient
from odebench.tasks.reduction import Reduction
from odebench.tasks.reversibility import Reversibility
from odebench.tasks.separability import Separability
from odebench.tasks.spectral import Spectral
from odebench.tasks.swap import Swap
from odebench.tasks.train import Train
from odebench.tasks.validate import Validate


@hookimpl
def odebench_register_tasks(register: Callable[[object], None]) -> None:
    """Offer the built-in tasks."""
    register(Integrate)
    register(Gradient)
    register(Reversibility)
    register(Separability)
    register(Train)
    register(Swap)
    register(CountCrossings)
    register(Validate)
    register(Kkt)
    register(Reduction)
    register(Spectral)
    register(NetworkGradient)
    register(Evaluate)
