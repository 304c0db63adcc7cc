"""What a network of several ODE blocks promises: it is called with its inputs and with a way to solve its fields."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from odebench.contract.field import Field
from odebench.errors import IncompatibleError

Solve = Callable[[Field, Tensor], Tensor]
"""`solve(field, z)`: the state at the end of the span, where dz/dt = field(t, z) and the state is z at its start."""

NetworkOfBlocks = Callable[[Tensor, Solve], Tensor]
"""`network(inputs, solve)`: the outputs. Each of its ODE blocks calls `solve` with its own field, an `nn.Module`, in a fixed order."""


class NetworkField(nn.Module):
    """Stands where a model's one vector field would, for a network of several: it has all their parameters, and cannot be solved.

    Args:
        network: the network, a module that is a `NetworkOfBlocks`.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, t: Tensor, y: Any) -> Any:
        """There is no such field.

        Raises:
            IncompatibleError: always.
        """
        raise IncompatibleError(
            "This model is a network of several ODE blocks, each with a vector field of its own, and one vector field was asked for. "
            "Use a task that takes networks, or a model with one field."
        )
