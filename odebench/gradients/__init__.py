"""The built-in gradient methods, one method a file, offered through the same hooks as anyone's.

`direct` records every step. The others stand behind a `torch.autograd.Function` (`recorded_call`), whose arguments are the
state, the field's parameters and the declared inputs, and whose backward computes the field again.
"""

from __future__ import annotations

from collections.abc import Callable

from odebench.gradients.anode import Anode
from odebench.gradients.continuous_adjoint import ContinuousAdjoint
from odebench.gradients.direct import Direct
from odebench.gradients.otd_stored import OtdStored
from odebench.gradients.revolve import Revolve
from odebench.gradients.sqrt_checkpoint import SqrtCheckpoint
from odebench.gradients.step_checkpoint import StepCheckpoint
from odebench.hookspecs import hookimpl


@hookimpl
def odebench_register_gradients(register: Callable[[object], None]) -> None:
    """Offer every built-in gradient method."""
    for method in (Direct, Anode, StepCheckpoint, Revolve, SqrtCheckpoint, OtdStored, ContinuousAdjoint):
        register(method)
