"""Parts of convolutional networks some of whose blocks are ODEs, with weights from a seed."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from odebench.contract import Solve
from odebench.models.evaluation_norm import EvaluationNorm
from odebench.models.network import kaiming, kaiming_linear
from odebench.nn import EvolvingField, Residual

NORMS: dict[str, Callable[[int], nn.Module] | None] = {
    "group": lambda channels: nn.GroupNorm(math.gcd(channels, 8), channels, dtype=torch.float64),
    "layer": lambda channels: nn.GroupNorm(1, channels, dtype=torch.float64),
    "none": None,
    "batch": lambda channels: nn.BatchNorm2d(channels, dtype=torch.float64),
    "batch-shared": lambda channels: nn.BatchNorm2d(channels, dtype=torch.float64),
}
"""What normalises the channels of `(batch, channels, height, width)`; in fields "batch" is an `EvaluationNorm`."""


class Flow(nn.Module):
    """A block that is an ODE: it has a field, and is solved by whoever calls the network."""

    def __init__(self, field: nn.Module) -> None:
        super().__init__()
        self.field = field
        self._norms = [part for part in field.modules() if isinstance(part, EvaluationNorm)]

    def begin(self) -> nn.Module:
        """The field, at the beginning of a solve."""
        for norm in self._norms:
            norm.begin()
        return self.field


class BlockNetwork(nn.Module):
    """Parts one after the other, called as `network(inputs, solve)`.

    Args:
        parts: layers, and among them a `Flow` for each block that is an ODE.
    """

    def __init__(self, parts: Sequence[nn.Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, inputs: Tensor, solve: Solve) -> Tensor:
        """Outputs `(batch, …)`; `solve(field, z)` is called once for each flow, from first to last."""
        z = inputs
        for part in self.parts:
            z = solve(part.begin(), z) if isinstance(part, Flow) else part(z)
        return z

    def residual(self) -> nn.Sequential:
        """A copy for inference, called as `network(inputs)`, in which each ODE block is z + f(z): one Euler step of length 1.

        Weights that evolve in configuration 2 are frozen, so that it is as small and as fast as the residual network without
        evolution.

        Raises:
            IncompatibleError: weights evolve in configuration 1.
        """
        return nn.Sequential(
            *(Residual(_plain(part.field)) if isinstance(part, Flow) else copy.deepcopy(part) for part in self.parts)
        )


def _plain(field: nn.Module) -> nn.Module:
    return field.freeze() if isinstance(field, EvolvingField) else copy.deepcopy(field.module)


class Shortcut(nn.Module):
    """max(0, branch(z) + shortcut(z)): a residual block that is none of the ODEs, since it changes the size or the channels."""

    def __init__(self, branch: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.branch, self.shortcut = branch, shortcut

    def forward(self, z: Tensor) -> Tensor:
        return torch.relu(self.branch(z) + self.shortcut(z))


class Normalised(nn.Module):
    """(pixel - mean) / deviation, for each channel."""

    def __init__(self, mean: Sequence[float], deviation: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float64).view(-1, 1, 1))
        self.register_buffer("deviation", torch.tensor(deviation, dtype=torch.float64).view(-1, 1, 1))

    def forward(self, z: Tensor) -> Tensor:
        return (z - self.mean) / self.deviation


class AveragePlace(nn.Module):
    """The mean over all places: `(batch, channels, height, width)` → `(batch, channels)`."""

    def forward(self, z: Tensor) -> Tensor:
        return z.mean((-2, -1))


class Layers:
    """Draws the layers of a network, in the order in which they are asked for.

    Args:
        generator: where weights come from.
        norm: a name of `NORMS`.
        flow: makes the field of an ODE block from the module f, called as f(z), whose last part is a rectifier.
    """

    def __init__(self, generator: torch.Generator, norm: str, flow: Callable[[nn.Sequential], nn.Module]) -> None:
        self._generator, self._norm, self._flow = generator, norm, flow
        self._in_field = False

    def conv(
        self,
        inputs: int,
        outputs: int,
        size: int | tuple[int, int] = 3,
        *,
        stride: int = 1,
        bias: bool = False,
        relu: bool = True,
    ) -> list[nn.Module]:
        """A convolution that keeps the size where the stride is 1, what normalises its outputs, and a rectifier."""
        height, width = (size, size) if isinstance(size, int) else size
        shape = {"padding": (height // 2, width // 2), "stride": stride, "bias": bias}
        layer = nn.Conv2d(inputs, outputs, (height, width), **shape, device="meta")
        parts = [kaiming(layer, inputs * height * width, self._generator), *self.norm(outputs)]
        return [*parts, nn.ReLU()] if relu else parts

    def norm(self, channels: int) -> list[nn.Module]:
        """What normalises so many channels, or nothing."""
        make = EvaluationNorm if self._in_field and self._norm == "batch" else NORMS[self._norm]
        return [] if make is None else [make(channels)]

    def linear(self, inputs: int, outputs: int) -> nn.Module:
        """A linear layer."""
        return kaiming_linear(inputs, outputs, self._generator)

    def flow(self, parts: Callable[[], Sequence[nn.Module]]) -> Flow:
        """An ODE block, whose field is what `parts` draws, one after the other."""
        self._in_field = True
        try:
            return Flow(self._flow(nn.Sequential(*parts())))
        finally:
            self._in_field = False

    def basic_flow(self, channels: int) -> Flow:
        """An ODE block of two 3 × 3 convolutions, each normalised and rectified."""
        return self.flow(lambda: [*self.conv(channels, channels), *self.conv(channels, channels)])

    def basic(self, inputs: int, outputs: int, stride: int) -> Shortcut:
        """The residual block of two 3 × 3 convolutions, with a 1 × 1 one beside them where the size or the channels change."""
        branch = [*self.conv(inputs, outputs, stride=stride), *self.conv(outputs, outputs, relu=False)]
        same = stride == 1 and inputs == outputs
        shortcut = [] if same else self.conv(inputs, outputs, 1, stride=stride, relu=False)
        return Shortcut(nn.Sequential(*branch), nn.Sequential(*shortcut))
