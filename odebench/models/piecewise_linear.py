"""The exact flow of z' = σ(L z) for a linear map L and a σ that is linear on both sides of 0.

Between the times at which a component of L z changes sign the problem is linear and its Taylor series converges at once;
so the flow is a chain of Taylor polynomials from sign change to sign change, each located to rounding. Where the signs
change the right-hand side is continuous, so the times themselves need no derivative: autograd through the chain, with
the times as constants, is the exact gradient.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from odebench.errors import NotKnownError

_DEGREE = 18
_SAMPLES = 16
_BISECTIONS = 50
_MOST_PIECES = 1000
_ROUNDING = 1e-15


def piecewise_linear_flow(
    linear_map: Callable[[Tensor], Tensor], negative_slope: float, z0: Tensor, duration: float
) -> Tensor:
    """The state after `duration` from z0, `(batch, *state)` in float64.

    Args:
        linear_map: L, acting on each row apart.
        negative_slope: slope of σ below 0 (above it is 1).
        z0: initial state.
        duration: not negative.

    Raises:
        NotKnownError: too many sign changes.
    """
    z, left = z0, z0.new_full((len(z0),), float(duration))
    with torch.no_grad():
        signs = torch.where(linear_map(z).flatten(1) > 0.0, 1.0, -1.0)
    for _ in range(_MOST_PIECES):
        if not left.any():
            return z
        slopes = torch.where(signs > 0.0, 1.0, negative_slope).view_as(z)
        states, images = [z], []
        for k in range(1, _DEGREE + 1):
            images.append(linear_map(states[-1]))
            states.append(slopes * images[-1] / k)
        with torch.no_grad():
            length = torch.minimum(_reach(states), left)
            share = torch.ones_like(length)
            if negative_slope != 1.0:
                paths = torch.stack([u.flatten(1) * length[:, None] ** k for k, u in enumerate(images)])
                share, signs = _first_sign_change(paths, signs)
            step = share * length
            left = torch.where(share < 1.0, left - step, left - length)
        z = sum(state * (step**k).view(-1, *[1] * (z.dim() - 1)) for k, state in enumerate(states))
    raise NotKnownError(f"The closed form has more than {_MOST_PIECES} pieces.")


def _reach(states: list[Tensor]) -> Tensor:
    """How far the Taylor polynomial of each row is good to rounding: where its last two terms are negligible."""
    size = states[0].flatten(1).norm(dim=1)
    reach = torch.full_like(size, torch.inf)
    for k in (_DEGREE - 1, _DEGREE):
        term = states[k].flatten(1).norm(dim=1)
        reach = torch.minimum(reach, (0.01 * _ROUNDING * size / term.clamp_min(1e-300)) ** (1.0 / k))
    return torch.where(size > 0.0, reach, torch.inf)


def _first_sign_change(paths: Tensor, signs: Tensor) -> tuple[Tensor, Tensor]:
    """Where in [0, 1] a component first leaves the side that `signs` says, and the signs from there on.

    Args:
        paths: coefficients of the components of L z as polynomials, `(degree, batch, components)`.
        signs: 1.0 or -1.0, `(batch, components)`.

    Returns:
        The share of each row, 1.0 where none changes, and the new signs.
    """
    toward = paths * signs
    slack = _ROUNDING * paths[0].norm(dim=1)
    points = torch.linspace(0.0, 1.0, _SAMPLES + 1, dtype=paths.dtype)
    values = torch.einsum("mk,kbn->mbn", _powers(points, len(paths)), toward)
    before = torch.zeros(paths.shape[1], dtype=paths.dtype)
    after = torch.ones_like(before)
    low, dips = _dips(points, values, toward)
    crossed = torch.cat([(values[1:].amin(dim=2) < -slack), torch.ones(1, len(slack), dtype=torch.bool)])
    first = crossed.to(torch.int64).argmax(dim=0)
    found = first < _SAMPLES
    before = torch.where(found, points[first.clamp_max(_SAMPLES - 1)], before)
    after = torch.where(found, points[(first + 1).clamp_max(_SAMPLES)], after)
    # A component that dips below 0 and is back at the next sample shows only in between.
    dipped = (_least(toward, dips) < -slack) & (dips < after)
    before, after = torch.where(dipped, low, before), torch.where(dipped, dips, after)
    changes = found | dipped
    for _ in range(_BISECTIONS):
        middle = 0.5 * (before + after)
        left = _least(toward, middle) < -slack
        after = torch.where(left, middle, after)
        before = torch.where(left, before, middle)
    share = torch.where(changes, after, 1.0)
    powers = _powers(share, len(paths))
    here = torch.einsum("bk,kbn->bn", powers, paths)
    orders = torch.arange(1, len(paths), dtype=paths.dtype)
    moving = torch.einsum("bk,kbn->bn", powers[:, :-1] * orders, paths[1:])
    # On the boundary the sign is that of the motion, which the kink does not change: σ is continuous.
    deciding = torch.where(here.abs() <= 4.0 * slack[:, None], moving, here)
    return share, torch.where(changes[:, None], torch.where(deciding > 0.0, 1.0, -1.0), signs)


def _dips(points: Tensor, values: Tensor, toward: Tensor) -> tuple[Tensor, Tensor]:
    """For each row the sample before the first possible dip between samples, and where the dip is deepest.

    A component that falls at one sample and rises at the next lies above both its tangents where it is convex; only where
    these meet below 0 can it have dipped. Rows without such a component get (0, 0).
    """
    orders = torch.arange(1, len(toward), dtype=toward.dtype)
    rates = torch.einsum("mk,kbn->mbn", _powers(points, len(toward) - 1) * orders, toward[1:])
    falling, rising = -rates[:-1], rates[1:]
    width = 1.0 / _SAMPLES
    both = (falling > 0.0) & (rising > 0.0) & (values[:-1] >= 0.0) & (values[1:] >= 0.0)
    # The tangents a - p x and b - q (w - x) meet at x = (a - b + q w)/(p + q).
    meeting = (values[:-1] - values[1:] + rising * width) / (falling + rising).clamp_min(1e-300)
    below = both & (values[:-1] - falling * meeting < 0.0)
    flat = below.flatten(2)
    interval = flat.any(dim=2).to(torch.int64).argmax(dim=0)
    rows = torch.arange(flat.shape[1])
    component = flat[interval, rows].to(torch.int64).argmax(dim=1)
    some = flat.any(dim=2).any(dim=0)
    start = torch.where(some, points[interval], 0.0)
    low, high = start, torch.where(some, start + width, 0.0)
    path = toward[1:, rows, component] * orders[:, None]
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        rate = (path * _powers(middle, len(path)).mT).sum(0)
        low, high = torch.where(rate < 0.0, middle, low), torch.where(rate < 0.0, high, middle)
    return start, high


def _least(toward: Tensor, share: Tensor) -> Tensor:
    """The least component of each row at its share."""
    return torch.einsum("bk,kbn->bn", _powers(share, len(toward)), toward).amin(dim=1)


def _powers(x: Tensor, count: int) -> Tensor:
    """x⁰, x¹, … in a last dimension."""
    return x.unsqueeze(-1) ** torch.arange(count, dtype=x.dtype)
