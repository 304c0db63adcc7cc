"""Whether a spectral step of the weights is exact."""

from __future__ import annotations

import itertools
import math

import numpy as np
import torch

from odebench.contract import Findings, Setting, Study, Workplace, relative_l2
from odebench.errors import IncompatibleError
from odebench.nn import ReactionDiffusionAdvection
from odebench.tasks.evolving import evolving_field


class Spectral(Study):
    """Hold the model's reaction-diffusion-advection step against what it should be, on weights of a chosen size.

    `spectral_semigroup`: ‖S(δ)² w - S(2δ) w‖ / ‖w‖ for weights with all waves that the grid holds; without σ it is rounding, on even
    axes only if the odd derivative of the wave n/2 is 0. `spectral_exact`: the relative error for a trigonometric polynomial, each
    of whose waves has a closed form, computed with NumPy. With a σ neither is small. Solver and grid of the cell are not used.

    Args:
        size: points on each axis.
        dt: δ.

    Source: T. Zhang et al., "ANODEV2: a coupled neural ODE framework", NeurIPS 2019, arXiv:1906.04596.
    """

    name = "spectral"

    def __init__(self, *, size: int = 3, dt: float = 0.2) -> None:
        if not isinstance(size, int) or size < 1:
            raise IncompatibleError(f"`size` is {size!r}; it must be a whole number of at least 1.")
        if not (math.isfinite(dt) and dt > 0):
            raise IncompatibleError(f"`dt` is {dt!r}; it must be positive and finite.")
        self.size, self.dt = size, dt

    def run(self, setting: Setting, workplace: Workplace) -> Findings:
        """The operator with the coefficients of the model's first layer, on weights of its own."""
        _, field = evolving_field(workplace, self.name)
        if not isinstance(field.evolution, ReactionDiffusionAdvection):
            raise IncompatibleError(
                f"Task {self.name!r} needs a model that evolves by reaction, diffusion and advection."
            )
        like = next(iter(field.initial_weights))
        d, r = (float(x.detach().flatten()[0]) for x in (field.evolution.diffusion, field.evolution.reaction))
        speeds = field.evolution.advection.detach()[0].tolist()
        operator = ReactionDiffusionAdvection(
            axes=range(len(speeds)),
            diffusion=d,
            advection=speeds,
            reaction=r,
            nonlinearity=field.evolution.nonlinearity,
        )
        start, end = (torch.from_numpy(x).to(like) for x in _polynomial(self.size, self.dt, d, speeds, r))
        noise = torch.randn(start.shape, generator=torch.Generator().manual_seed(workplace.seed), dtype=torch.float64)
        noise = noise.to(like)
        operator.attach({"weights": start})
        with torch.no_grad():
            (got,) = operator((start,), self.dt)
            twice, (once,) = operator(operator((noise,), self.dt), self.dt), operator((noise,), 2.0 * self.dt)
        size = float(noise.norm())
        return Findings(
            values={
                "spectral_semigroup": float((twice[0] - once).norm()) / size,
                "spectral_exact": relative_l2(got, end),
            }
        )


def _polynomial(n: int, t: float, d: float, speeds: list[float], r: float) -> tuple[np.ndarray, np.ndarray]:
    """A trigonometric polynomial on n points an axis, and its exact solution after t: each wave decays, grows and moves."""
    x = np.meshgrid(*[2.0 * math.pi * np.arange(n) / n] * len(speeds), indexing="ij")
    half = (n - 1) // 2
    start, end = np.zeros((2, *x[0].shape))
    for index, k in enumerate(itertools.product(range(half + 1), *[range(-half, half + 1)] * (len(speeds) - 1))):
        amplitude, phase = 1.0 / (1.0 + sum(abs(one) for one in k)), 0.3 + 0.7 * index
        place = sum(one * axis for one, axis in zip(k, x, strict=True)) + phase
        moved = t * sum(one * speed for one, speed in zip(k, speeds, strict=True))
        start += amplitude * np.cos(place)
        end += amplitude * math.exp((r - d * sum(one * one for one in k)) * t) * np.cos(place + moved)
    return start, end
