"""The linear reaction-diffusion-advection equation on a periodic grid, solved exactly in Fourier space."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from odebench.errors import IncompatibleError

PERIOD = 2.0 * math.pi
"""Length of each axis, so that wavenumbers are whole numbers."""

Coefficient = Tensor | float


def spectral_step(
    w: Tensor,
    axes: Sequence[int],
    diffusion: Coefficient,
    advection: Sequence[Coefficient] | Tensor,
    reaction: Coefficient,
    dt: Coefficient,
) -> Tensor:
    """w(t + dt) of dw/dt = d Δw + υ·∇w + ρ w, that is F⁻¹ exp((-d k² + i k·υ + ρ) dt) F w.

    Each of `axes` is a periodic coordinate of length 2π; points are equally spaced, and the other axes are independent fields.
    Exact for what the grid can hold. On an axis of even length the wavenumber n/2 stands for both +n/2 and -n/2, so its odd
    derivative is 0: with any other value S(2δ) = S(δ)² would not hold.

    Args:
        w: real; half types are computed in float32.
        axes: the axes of w that are coordinates.
        diffusion: d, at least 0 unless dt is negative.
        advection: υ, one for each of `axes`. Positive values move w towards smaller coordinates.
        reaction: ρ.
        dt: length of the step; a tensor where it is differentiated or lives on a device.

    Raises:
        IncompatibleError: w has no such axes, or is complex.
    """
    axes = _checked(w, axes)
    symbol = _symbol(w, axes, diffusion, advection, reaction)
    return _multiplied(w, axes, torch.exp(symbol * dt))


def spectral_rate(
    w: Tensor,
    axes: Sequence[int],
    diffusion: Coefficient,
    advection: Sequence[Coefficient] | Tensor,
    reaction: Coefficient,
) -> Tensor:
    """d Δw + υ·∇w + ρ w with spectral derivatives; arguments and errors as `spectral_step`."""
    axes = _checked(w, axes)
    return _multiplied(w, axes, _symbol(w, axes, diffusion, advection, reaction))


def _checked(w: Tensor, axes: Sequence[int]) -> tuple[int, ...]:
    if w.is_complex() or not w.is_floating_point():
        raise IncompatibleError(f"The weights have dtype {w.dtype}; a spectral step needs real floating-point ones.")
    if not all(-w.dim() <= axis < w.dim() for axis in axes):
        raise IncompatibleError(
            f"The weights have shape {tuple(w.shape)}, and the axes {tuple(axes)} are asked for. Name axes that they have, or let "
            "only weights evolve that have them."
        )
    positive = tuple(axis % w.dim() for axis in axes)
    if not positive or len(set(positive)) < len(positive):
        raise IncompatibleError(f"The axes {tuple(axes)} must be at least one, each of them once.")
    return positive


def _symbol(
    w: Tensor,
    axes: tuple[int, ...],
    diffusion: Coefficient,
    advection: Sequence[Coefficient] | Tensor,
    reaction: Coefficient,
) -> Tensor:
    """-d k² + i k·υ + ρ on the half spectrum of a real transform, in a shape that broadcasts against it."""
    if len(advection) != len(axes):
        raise IncompatibleError(
            f"There are {len(axes)} axes and {len(advection)} advection coefficients. Give as many."
        )
    squares: Tensor | float = 0.0
    phases: Tensor | float = 0.0
    dtype = torch.promote_types(w.dtype, torch.float32)
    for axis, speed in zip(axes, advection, strict=True):
        n, last = w.shape[axis], axis == axes[-1]
        frequencies = torch.fft.rfftfreq if last else torch.fft.fftfreq
        k = frequencies(n, d=1.0 / n, dtype=dtype, device=w.device)
        odd = k if n % 2 else torch.where(k.abs() == n // 2, 0.0, k)
        shape = [1] * w.dim()
        shape[axis] = k.numel()
        squares = squares + k.reshape(shape).square()
        phases = phases + odd.reshape(shape) * speed
    return torch.complex(reaction - diffusion * squares, phases + torch.zeros_like(squares))


def _multiplied(w: Tensor, axes: tuple[int, ...], multiplier: Tensor) -> Tensor:
    wide = w.to(torch.promote_types(w.dtype, torch.float32))
    spectrum = torch.fft.rfftn(wide, dim=axes) * multiplier
    return torch.fft.irfftn(spectrum, s=[w.shape[axis] for axis in axes], dim=axes).to(w.dtype)
