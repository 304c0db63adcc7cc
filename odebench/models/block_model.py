"""What the models have in common that are networks of several ODE blocks on images."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from odebench.contract import NetworkField
from odebench.data import Dataset
from odebench.models.blocks import NORMS, BlockNetwork, Layers, Normalised
from odebench.models.evolutions import EvolutionChoice
from odebench.models.network import Network, check_width
from odebench.models.seeded import ModelError, check_choice
from odebench.nn.frozen import HeldField

#: Mean and standard deviation of each colour over the training images, as the published trainings subtract and divide by them.
_STATISTICS = {
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
    "cifar100": ((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)),
}


@dataclass(kw_only=True, eq=False)
class BlockModel(Network):
    """A convolutional network, some of whose blocks are ODEs: those that change neither size nor channels.

    A block's field does not depend on time, unless its weights evolve. With one Euler step a block is z + f(z), and the network an
    ordinary residual one. Kaiming normal weights by the number of inputs, biases 0.

    Args:
        data: a name or a table that `odebench.data.load` knows, of images.
        width: channels of the first stage, to which all others are in proportion.
        norm: what follows each convolution: "group" (in up to 8 groups of channels), "layer" (all channels together), "none",
            "batch", with running statistics for each evaluation of a field in its solve, so that it can be tested with the solver and
            steps of its training alone, or "batch-shared", one set of them for all evaluations, as the published code has it: its
            outputs at test time are not those that it was trained with.
        last_relu: whether a field ends in its rectifier, as the published ones do: then it never takes away.
        scale: factor of the initial convolutions of the ODE blocks' fields.
        normalise: subtract the mean of each colour and divide by its deviation, where they are published: cifar10 and cifar100.
        batch: rows of the test data that `problem` starts from.
        span: the end of time of every block, from 0.
        evolution, diffusion, advection, reaction, train, per_layer, nonlinearity, memory, configuration, weight_steps,
            weight_solver: how the convolutions of the ODE blocks evolve, as the model coupled-net explains; "none" for weights that
            stay as they are.
    """

    data: str | Mapping[str, Any] = "digits"
    width: int = 16
    norm: str = "group"
    last_relu: bool = True
    scale: float = 1.0
    normalise: bool = True
    batch: int = 32
    span: float = 1.0
    evolution: str = "none"
    diffusion: float = 0.0
    advection: float = 0.0
    reaction: float = 0.0
    train: str = "diffusion,advection,reaction"
    per_layer: bool = True
    nonlinearity: str = "none"
    memory: float = 0.0
    configuration: int = 1
    weight_steps: int = 5
    weight_solver: str = "rk4"

    has_blocks: ClassVar[bool] = True

    def __init_subclass__(cls, **keywords: Any) -> None:
        """Whoever asks for one of the networks is told what their common parameters mean."""
        super().__init_subclass__(**keywords)
        own, told = cls.__doc__ or "", (BlockModel.__doc__ or "").partition("    Args:")[2]
        if "    Args:" not in own:
            cls.__doc__ = own.replace("    Source:", f"    Args:{told.rstrip()}\n\n    Source:", 1)

    def __post_init__(self) -> None:
        super().__init__(data=self.data, batch=self.batch, span=self.span, outputs=1)
        check_width(self.width)
        check_choice("norm", self.norm, tuple(NORMS))
        if not (math.isfinite(self.scale) and self.scale >= 0):
            raise ModelError(f"`scale` is {self.scale!r}; it must be finite and at least 0.")
        self.choice = EvolutionChoice(
            evolution=self.evolution,
            diffusion=self.diffusion,
            advection=self.advection,
            reaction=self.reaction,
            train=self.train,
            per_layer=self.per_layer,
            nonlinearity=self.nonlinearity,
            memory=self.memory,
            configuration=self.configuration,
            weight_steps=self.weight_steps,
            weight_solver=self.weight_solver,
        )

    @abstractmethod
    def parts(self, layers: Layers, channels: int, classes: int) -> list[nn.Module]:
        """The network's parts, for images of so many channels; the last one gives `(batch, classes)`."""

    def build_field(self, shape: tuple[int, ...], generator: torch.Generator) -> nn.Module:
        """There is no single field.

        Raises:
            ModelError: always.
        """
        raise ModelError(f"{self.name} is a network of several ODE blocks, and has no single field.")

    def _networks(self, loaded: Dataset, generator: torch.Generator) -> tuple[nn.Module, nn.Module]:
        if len(loaded.shape) != 3:
            raise ModelError(
                f"`data` {self.data!r} have inputs of shape {loaded.shape}; {self.name} takes (channels, height, width)."
            )
        layers = Layers(generator, self.norm, self._field)
        parts = self.parts(layers, loaded.shape[0], 1 if loaded.classes is None else loaded.classes)
        if self.normalise and loaded.name in _STATISTICS:
            parts.insert(0, Normalised(*_STATISTICS[loaded.name]))
        return NetworkField(BlockNetwork(parts)), nn.Identity()

    def _field(self, module: nn.Sequential) -> nn.Module:
        module = module if self.last_relu else module[:-1]
        with torch.no_grad():
            for parameter in module.parameters():
                if parameter.dim() > 1:
                    parameter.mul_(self.scale)
        return HeldField(module) if self.evolution == "none" else self.choice.field(module, self.span)
