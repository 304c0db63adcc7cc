"""Activations and weights as one state."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from torch import Tensor, nn

from odebench.nn.evolution import Weights

if TYPE_CHECKING:
    from odebench.nn.evolving_field import EvolvingField


class CoupledField:
    """d(z, w)/dt = (f(z, w), q(w; p)), a field of tuples for `odebench.solve`.

    The weights are part of the state, so their gradient is that of the initial state; the field owns p and what does not evolve.

    Args:
        field: says what f and q are.

    Source: T. Zhang et al., "ANODEV2: a coupled neural ODE framework", NeurIPS 2019, arXiv:1906.04596.
    """

    def __init__(self, field: EvolvingField) -> None:
        self._evolving = field

    def __call__(self, t: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        z, weights = state[0], state[1:]
        return self._evolving.applied(t, z, weights), *self._evolving.evolution.rate(weights)

    def start(self, z0: Tensor) -> tuple[Tensor, *Weights]:
        """The initial state: z0 and the module's own weights."""
        return z0, *self._evolving.initial_weights

    def parameters(self) -> Iterator[Tensor]:
        """The coefficients p, and the module's parameters that do not evolve."""
        yield from self._evolving.other_parameters
        yield from self._evolving.evolution.parameters()

    def modules(self) -> Iterator[nn.Module]:
        """Those through which it computes."""
        return self._evolving.modules()
