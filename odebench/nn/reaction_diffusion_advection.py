"""Weights that react, diffuse and move."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from odebench.errors import IncompatibleError
from odebench.nn.evolution import Evolution, Weights
from odebench.numerics.spectral import spectral_rate, spectral_step

NONLINEARITIES: dict[str, Callable[[Tensor], Tensor]] = {"tanh": torch.tanh}
COEFFICIENTS = ("diffusion", "advection", "reaction")


class ReactionDiffusionAdvection(Evolution):
    """dw/dt = σ(d Δw + υ·∇w + ρ w), with w as a field over some of its own axes.

    A step solves the linear equation exactly in Fourier space, each axis periodic of length 2π, and applies σ to the result, if
    there is one. Without σ it is a flow: steps of any lengths with the same sum give the same weights. With σ each step applies
    it once, so the number of steps matters, and the step is no discretisation of `rate`, which is the right-hand side as written.

    Diffusion stays at least 0, without which the equation has no solution: d = |s| with s trained, and a slope of 1 at s = 0. A
    smooth map that touches 0 has slope 0 there (a square), so a start at exactly 0 would never move; one that never touches it
    (softplus) has no such start; and a maximum with 0 loses its gradient below. Where a loss wants less than no diffusion, s goes to
    and fro about 0 by one step of the optimiser.

    With all coefficients 0, which is the default, it starts as an ordinary neural ODE.

    Args:
        axes: the axes of each weight that are coordinates: (-2, -1) are the places of a convolution's kernel, and the channels of
            a matrix; (0, 1) are a kernel's channels.
        diffusion: initial d.
        advection: initial υ: one number for all axes, or one for each.
        reaction: initial ρ.
        nonlinearity: σ: None for the identity, "tanh", or a function of a tensor.
        per_layer: each weight has coefficients of its own; otherwise they share them.
        train: which of the coefficients are trained; the others stay as they are.

    Attributes:
        raw_diffusion: s, `(layers,)`.
        advection: υ, `(layers, axes)`.
        reaction: ρ, `(layers,)`.

    Source: T. Zhang et al., "ANODEV2: a coupled neural ODE framework", NeurIPS 2019, arXiv:1906.04596. Which axes, whether p is
    shared, its initial value and σ are not told there.
    """

    def __init__(
        self,
        *,
        axes: Sequence[int] = (-2, -1),
        diffusion: float = 0.0,
        advection: float | Sequence[float] = 0.0,
        reaction: float = 0.0,
        nonlinearity: str | Callable[[Tensor], Tensor] | None = None,
        per_layer: bool = True,
        train: Sequence[str] = COEFFICIENTS,
    ) -> None:
        super().__init__()
        if not diffusion >= 0:
            raise IncompatibleError(f"`diffusion` is {diffusion!r}; it must be at least 0, or the weights explode.")
        if isinstance(nonlinearity, str) and nonlinearity not in NONLINEARITIES:
            raise IncompatibleError(
                f"`nonlinearity` is {nonlinearity!r}; it must be None, a function, or one of {', '.join(NONLINEARITIES)}."
            )
        if unknown := sorted(set(train) - set(COEFFICIENTS)):
            raise IncompatibleError(f"`train` names {unknown}; there are {', '.join(COEFFICIENTS)}.")
        self.axes, self.per_layer, self.train_only = tuple(axes), per_layer, frozenset(train)
        self.nonlinearity = NONLINEARITIES[nonlinearity] if isinstance(nonlinearity, str) else nonlinearity
        speeds = [float(advection)] * len(self.axes) if isinstance(advection, int | float) else list(advection)
        if len(speeds) != len(self.axes):
            raise IncompatibleError(f"`advection` has {len(speeds)} values for {len(self.axes)} axes. Give as many.")
        self._initial = (float(diffusion), speeds, float(reaction))
        self._layers = 0

    @property
    def is_flow(self) -> bool:
        """Whether there is no σ."""
        return self.nonlinearity is None

    @property
    def follows_rate(self) -> bool:
        """Whether there is no σ."""
        return self.nonlinearity is None

    @property
    def diffusion(self) -> Tensor:
        """d, at least 0, `(layers,)`."""
        s = self.raw_diffusion
        return torch.where(s >= 0, s, -s)  # abs() has slope 0 at 0

    def attach(self, weights: Mapping[str, Tensor]) -> None:
        """Make the coefficients, in the dtype (float32 at least) and on the device of the weights."""
        if self._layers:
            raise IncompatibleError("This operator already evolves the weights of another module. Make one for each.")
        for name, w in weights.items():
            if not all(-w.dim() <= axis < w.dim() for axis in self.axes):
                raise IncompatibleError(
                    f"Weight {name!r} has shape {tuple(w.shape)}, and the axes {self.axes} are coordinates. Name axes that it has, "
                    "or leave it out."
                )
        first = next(iter(weights.values()))
        kind: dict[str, Any] = {"dtype": torch.promote_types(first.dtype, torch.float32), "device": first.device}
        self._layers = len(weights)
        count = self._layers if self.per_layer else 1
        diffusion, advection, reaction = self._initial
        for name, value in (
            ("raw_diffusion", [diffusion] * count),
            ("advection", [advection] * count),
            ("reaction", [reaction] * count),
        ):
            trained = name.removeprefix("raw_") in self.train_only
            setattr(self, name, nn.Parameter(torch.tensor(value, **kind), requires_grad=trained))

    def step(self, weights: Weights, dt: float | Tensor) -> Weights:
        """Exactly dt of the linear equation, then σ."""
        linear = (
            spectral_step(w, self.axes, d, v.unbind(), r, dt)
            for w, (d, v, r) in zip(weights, self._of_layers(len(weights)), strict=True)
        )
        return tuple(linear) if self.nonlinearity is None else tuple(map(self.nonlinearity, linear))

    def rate(self, weights: Weights) -> Weights:
        """σ(d Δw + υ·∇w + ρ w)."""
        linear = (
            spectral_rate(w, self.axes, d, v.unbind(), r)
            for w, (d, v, r) in zip(weights, self._of_layers(len(weights)), strict=True)
        )
        return tuple(linear) if self.nonlinearity is None else tuple(map(self.nonlinearity, linear))

    def extra_repr(self) -> str:
        """What a printed network shows of it."""
        return f"axes={self.axes}, per_layer={self.per_layer}, train={sorted(self.train_only)}"

    def _of_layers(self, layers: int) -> list[tuple[Tensor, Tensor, Tensor]]:
        if layers != self._layers:
            raise IncompatibleError(f"The operator was made for {self._layers} weights and is given {layers}.")
        rows = (self.diffusion.unbind(), self.advection.unbind(), self.reaction.unbind())
        return list(zip(*(row if self.per_layer else row * layers for row in rows), strict=True))
