"""torchsde's methods, of which the noise is zero."""

from __future__ import annotations

from typing import ClassVar

from odebench_torchsde.solver import TorchsdeSolver


class Euler(TorchsdeSolver):
    """Euler and Maruyama's method; without noise Euler's, order 1; 1 stage, and an evaluation to look at the field."""

    name: ClassVar[str] = "torchsde/euler"
    method: ClassVar[str] = "euler"
    sde_type: ClassVar[str] = "ito"
    order = 1


class Heun(TorchsdeSolver):
    """Heun's method, order 2; 2 stages, and an evaluation to look at the field."""

    name: ClassVar[str] = "torchsde/heun"
    method: ClassVar[str] = "heun"
    order = 2


class Midpoint(TorchsdeSolver):
    """The explicit midpoint rule, order 2; 2 stages, and an evaluation to look at the field."""

    name: ClassVar[str] = "torchsde/midpoint"
    method: ClassVar[str] = "midpoint"
    order = 2


class ReversibleHeun(TorchsdeSolver):
    """The reversible Heun method, order 2: a second state goes along, so that a step can be undone; 1 evaluation a step and 1 at the start.

    Source: P. Kidger, J. Foster, X. Li, T. Lyons, "Efficient and accurate gradients for neural SDEs", NeurIPS 2021,
    arXiv:2105.13493, Algorithm 1.
    """

    name: ClassVar[str] = "torchsde/reversible-heun"
    method: ClassVar[str] = "reversible_heun"
    order = 2
    source: ClassVar[str] = "P. Kidger et al., NeurIPS 2021, arXiv:2105.13493; torchsde 0.2.6"
