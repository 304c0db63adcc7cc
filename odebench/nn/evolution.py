"""What an evolution operator promises: how weights change with time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from torch import Tensor, nn

Weights = tuple[Tensor, ...]
"""The evolving weights of a module, in the order of its parameters."""


class Evolution(nn.Module, ABC):
    """dw/dt = q(w; p): the weights of a module as functions of time, with coefficients p that are trained with the rest.

    Write `step`; write `rate` too where q itself can be evaluated.

    Attributes:
        is_flow: whether a step of a + b equals one of a followed by one of b, to rounding, for all a and b: weights at any time
            are then one step away from the first, and its length may be a tensor.
        follows_rate: whether steps tend to dw/dt = `rate` as they get shorter.

    Source: T. Zhang et al., "ANODEV2: a coupled neural ODE framework", NeurIPS 2019, arXiv:1906.04596.
    """

    is_flow: bool = False
    follows_rate: bool = True

    def attach(self, weights: Mapping[str, Tensor]) -> None:
        """Called once, before anything else, with the weights that will evolve: the moment to make coefficients for each.

        Raises:
            IncompatibleError: it cannot evolve these.
        """

    @abstractmethod
    def step(self, weights: Weights, dt: float | Tensor) -> Weights:
        """S: the weights a time dt later, as new tensors or the same; a tensor dt is 0-dim, and only comes where `is_flow`."""

    @abstractmethod
    def rate(self, weights: Weights) -> Weights:
        """q(w; p).

        Raises:
            IncompatibleError: the operator is no right-hand side.
        """

    def forward(self, weights: Weights, dt: float | Tensor) -> Weights:
        """`step`."""
        return self.step(weights, dt)
