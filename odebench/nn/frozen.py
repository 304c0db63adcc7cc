"""Networks whose weights have evolved, as plain networks."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from odebench.contract import StepSize
from odebench.errors import IncompatibleError
from odebench.numerics.runge_kutta import ExplicitRungeKutta

if TYPE_CHECKING:
    from odebench.nn.block import ODEBlock
    from odebench.nn.evolving_field import EvolvingField


class Residual(nn.Module):
    """z + branch(z): what one Euler step of length 1 is."""

    def __init__(self, branch: nn.Module) -> None:
        super().__init__()
        self.branch = branch

    def forward(self, z: Tensor) -> Tensor:
        """One residual block."""
        return z + self.branch(z)


class HeldField(nn.Module):
    """A module that takes no time as a field f(t, z)."""

    accepts_batched_time = True

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, t: Tensor, z: Tensor) -> Tensor:
        """The module's value, whatever t is."""
        return self.module(z)


def freeze(network: nn.Module) -> nn.Module:
    """A copy of `network` for inference, in which each evolving field of configuration 2 is a plain module with its final weights.

    An `ODEBlock` that takes one Euler step of length 1 becomes what that is, a `Residual`: such a network is as small and as fast
    as the ordinary residual network. Other blocks go on solving, with the plain module as their field.

    Raises:
        IncompatibleError: the network has no evolving field, or one of configuration 1.
    """
    from odebench.nn.block import ODEBlock
    from odebench.nn.evolving_field import EvolvingField

    if isinstance(network, EvolvingField):
        return frozen_module(network)
    # In a list, so that the network itself may be what is replaced.
    frozen = nn.ModuleList([copy.deepcopy(network)])
    fields = [(name, part) for name, part in frozen.named_modules() if isinstance(part, EvolvingField)]
    if not fields:
        raise IncompatibleError(f"{type(network).__name__} has no evolving field, so nothing in it can be frozen.")
    for name, field in fields:
        plain = frozen_module(field)
        parent, _, attribute = name.rpartition(".")
        block = frozen.get_submodule(parent)
        if isinstance(block, ODEBlock) and not field.takes_time and _takes_one_euler_step(block):
            parent, _, attribute = parent.rpartition(".")
            setattr(frozen.get_submodule(parent), attribute, Residual(plain))
        else:
            setattr(block, attribute, plain if field.takes_time else HeldField(plain))
    return frozen[0]


def _takes_one_euler_step(block: ODEBlock) -> bool:
    """Whether the block is z + f(z): the one stage of its method is at the start of its one step, whose length is 1."""
    start, end = block.span
    one_stage = isinstance(block.solver, ExplicitRungeKutta) and block.solver.tableau.stages == 1
    return one_stage and end - start == 1.0 and isinstance(block.request, StepSize) and block.request.steps == 1


def frozen_module(field: EvolvingField) -> nn.Module:
    """What `EvolvingField.freeze` says."""
    if field.configuration != 2:
        raise IncompatibleError(
            "In configuration 1 the weights differ from time to time, so no single module stands for them. Use configuration 2."
        )
    with torch.no_grad():
        theta = field.final_theta()
    frozen = copy.deepcopy(field.module)
    parameters = dict(frozen.named_parameters())
    with torch.no_grad():
        for name, value in zip(field.names, theta, strict=True):
            parameters[name].copy_(value)
    return frozen
