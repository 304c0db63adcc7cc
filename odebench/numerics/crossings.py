"""Where trajectories of different classes cross in a two-dimensional state space.

Trajectories of an autonomous field that is Lipschitz never cross (Picard and Lindelöf), so that crossings between classes are
a mark of the solver: a step so long that the solution leaves the flow (Ott et al., "ResNet After All?", ICLR 2021,
arXiv:2007.15386, section 3).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from odebench.errors import IncompatibleError

# As many pairs as are looked at together: some hundred megabytes at most, however many trajectories there are.
PAIRS_AT_ONCE = 1 << 19

# (3 + 16 ε) ε with ε = 2^-53 bounds the relative error of an orientation: J. R. Shewchuk, "Adaptive precision floating-point
# arithmetic and fast robust geometric predicates", Discrete & Computational Geometry 18, 1997, section 4.1.
ORIENTATION_ERROR = (3.0 + 16.0 * 2.0**-53) * 2.0**-53
# Below this a product may have lost digits to underflow, which the bound does not know of.
LEAST_PRODUCT = 1e-290

# Boxes of states of magnitude 1 at most: far above their rounding, and a half side that no box reaches across.
BOX_MARGIN = 1e-12
EMPTY_BOX = -10.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Crossings:
    """The crossings between trajectories of different classes.

    Attributes:
        count: how many there are; two trajectories that cross three times count three times.
        pairs: the two rows that cross, `(count, 2)`, int64, the smaller first; sorted.
        points: where they cross, `(count, 2)`, float64.
    """

    count: int
    pairs: Tensor
    points: Tensor


def count_crossings(trajectories: Tensor, labels: Tensor) -> Crossings:
    """Count where the trajectories of rows of different classes cross, each taken as the polyline through its states.

    A crossing is a point inside a segment of one and inside a segment of the other, with both ends of each on different sides
    of the other. Trajectories that touch at a vertex, start from the same point or run along each other do not cross; times play
    no part. The decision is exact for the numbers given: what float64 leaves open is decided in fractions. Segments with an end
    that is not finite are left out.

    Args:
        trajectories: `(times, batch, 2)`, floating.
        labels: the class of each row, `(batch,)`.

    Raises:
        IncompatibleError: other shapes.
    """
    if trajectories.dim() != 3 or trajectories.shape[2] != 2 or labels.shape != trajectories.shape[1:2]:
        raise IncompatibleError(
            f"count_crossings: trajectories have the shape {tuple(trajectories.shape)} and labels {tuple(labels.shape)}; "
            "they must be (times, batch, 2) and (batch,)."
        )
    states = trajectories.detach().to(device="cpu", dtype=torch.float64)
    if len(states) < 2 or states.shape[1] < 2:
        return Crossings(
            count=0, pairs=torch.empty(0, 2, dtype=torch.int64), points=torch.empty(0, 2, dtype=states.dtype)
        )
    levels = _boxes(states)
    found = [_within(states, levels, pairs) for pairs in _pairs_of_rows(levels[-1][0], labels.cpu())]
    hits = torch.cat([torch.empty(0, 4, dtype=torch.int64), *found])
    for column in (3, 2, 1, 0):  # a stable sort by the last key first sorts by all of them
        hits = hits[hits[:, column].argsort(stable=True)]
    rows, segments = hits[:, :2], hits[:, 2:]
    return Crossings(count=len(hits), pairs=rows, points=_meeting(*_ends(states, rows, segments)))


def _boxes(states: Tensor) -> list[Tensor]:
    """Boxes around runs of 1, 2, 4, … segments up to the whole, each `(runs, batch, 6)`: direction, centre and half sides.

    A box lies along the chord of its run, so that smooth neighbours part early. Boxes are a filter only: they are made of states
    scaled to at most 1 in magnitude, and larger than all their rounding.
    """
    finite = torch.isfinite(states[:-1]).all(2) & torch.isfinite(states[1:]).all(2)
    largest = states[torch.isfinite(states)].abs().max() if finite.any() else 0
    scaled = states / (largest or 1)
    starts, ends = (torch.where(finite[:, :, None], scaled[part], 0.0) for part in (slice(None, -1), slice(1, None)))
    missing = (1 << (len(finite) - 1).bit_length()) - len(finite)
    starts, ends = (torch.cat((part, part.new_zeros(missing, *part.shape[1:]))) for part in (starts, ends))
    finite = torch.cat((finite, finite.new_zeros(missing, finite.shape[1])))
    return [_box(starts, ends, finite, 1 << level) for level in range(len(starts).bit_length())]


def _box(starts: Tensor, ends: Tensor, finite: Tensor, run: int) -> Tensor:
    """Boxes around runs of `run` segments."""
    starts, ends = (part.reshape(-1, run, *part.shape[1:]) for part in (starts, ends))
    left_out = ~finite.reshape(-1, run, finite.shape[1])
    chord = ends[:, -1] - starts[:, 0]
    length = chord.norm(dim=2, keepdim=True)
    along = torch.where(length > 0, chord / length, torch.tensor([1.0, 0.0], dtype=chord.dtype))
    across = torch.stack((-along[..., 1], along[..., 0]), dim=2)
    middles, halves = [], []
    for axis in (along, across):
        one, other = ((part * axis[:, None]).sum(3) for part in (starts, ends))
        low = torch.minimum(one, other).masked_fill(left_out, torch.inf).amin(1)
        high = torch.maximum(one, other).masked_fill(left_out, -torch.inf).amax(1)
        empty = low > high
        middles.append(((low + high) / 2).masked_fill(empty, 0.0)[:, :, None] * axis)
        halves.append(((high - low) / 2 + BOX_MARGIN).masked_fill(empty, EMPTY_BOX))
    return torch.cat((along, middles[0] + middles[1], torch.stack(halves, dim=2)), dim=2)


def _overlap(one: Tensor, other: Tensor) -> Tensor:
    """Whether boxes share a point: no side of either parts them (the separating axis theorem)."""
    ux, uy, cx, cy, length, width = one.unbind(-1)
    vx, vy, dx, dy, other_length, other_width = other.unbind(-1)
    dx, dy = dx - cx, dy - cy
    cosine, sine = (ux * vx + uy * vy).abs(), (ux * vy - uy * vx).abs()
    return (
        ((dx * ux + dy * uy).abs() <= length + cosine * other_length + sine * other_width)
        & ((dy * ux - dx * uy).abs() <= width + sine * other_length + cosine * other_width)
        & ((dx * vx + dy * vy).abs() <= other_length + cosine * length + sine * width)
        & ((dy * vx - dx * vy).abs() <= other_width + sine * length + cosine * width)
    )


def _pairs_of_rows(boxes: Tensor, labels: Tensor) -> Iterator[Tensor]:
    """Pairs of rows of different classes whose trajectories' boxes overlap, `(pairs, 4)` with the run 0 of each, in blocks."""
    rows = torch.arange(len(boxes))
    for block in rows.split(max(1, PAIRS_AT_ONCE // len(boxes))):
        i, j = ((labels[block, None] != labels) & (block[:, None] < rows)).nonzero(as_tuple=True)
        i = block[i]
        near = _overlap(boxes[i], boxes[j])
        pairs = torch.stack((i[near], j[near]), dim=1)
        yield torch.cat((pairs, torch.zeros_like(pairs)), dim=1)


def _within(states: Tensor, levels: list[Tensor], pairs: Tensor) -> Tensor:
    """Crossings `(found, 4)`, row, row, segment, segment, between pairs of runs of the highest level."""
    batch = states.shape[1]
    flat = [boxes.reshape(-1, boxes.shape[2]) for boxes in levels]
    halves = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]])
    found = [pairs[:0]]
    waiting = [(len(levels) - 1, pairs)]
    while waiting:
        level, pairs = waiting.pop()
        if len(pairs) > PAIRS_AT_ONCE:
            waiting += [(level, part) for part in pairs.split(PAIRS_AT_ONCE)]
        elif level == 0:
            found.append(pairs[_cross(*_ends(states, pairs[:, :2], pairs[:, 2:]))])
        elif len(pairs):
            runs = (2 * pairs[:, None, 2:] + halves).reshape(-1, 2)
            rows = pairs[:, None, :2].expand(-1, 4, -1).reshape(-1, 2)
            one, other = (flat[level - 1].index_select(0, places) for places in (runs * batch + rows).unbind(1))
            near = _overlap(one, other).nonzero().flatten()
            waiting.append((level - 1, torch.cat((rows[near], runs[near]), dim=1)))
    return torch.cat(found)


def _ends(states: Tensor, rows: Tensor, segments: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Start and end of the first segments, start and end of the second, each `(pairs, 2)`."""
    (i, j), (a, b) = rows.unbind(1), segments.unbind(1)
    return states[a, i], states[a + 1, i], states[b, j], states[b + 1, j]


def _cross(p: Tensor, q: Tensor, r: Tensor, s: Tensor) -> Tensor:
    """Whether the segments pq and rs cross inside both."""
    apart = _side(r, s, p) * _side(r, s, q) < 0
    cross = torch.zeros_like(apart)
    cross[apart] = _side(p[apart], q[apart], r[apart]) * _side(p[apart], q[apart], s[apart]) < 0
    return cross


def _side(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """The sign of the area of the triangle abc: 1 where c lies to the left of ab, -1 to the right, 0 on it. Exact."""
    u, v = a - c, b - c
    left, right = u[:, 0] * v[:, 1], u[:, 1] * v[:, 0]
    area = left - right
    sign = area.sign()
    lost = ((left.abs() < LEAST_PRODUCT) & (u[:, 0] != 0) & (v[:, 1] != 0)) | (
        (right.abs() < LEAST_PRODUCT) & (u[:, 1] != 0) & (v[:, 0] != 0)
    )
    # Not `<`: what overflowed to nan is to be decided in fractions too.
    unsure = ~(area.abs() >= ORIENTATION_ERROR * (left.abs() + right.abs())) | lost
    for k in unsure.nonzero().flatten().tolist():
        (ax, ay), (bx, by), (cx, cy) = (map(Fraction, point[k].tolist()) for point in (a, b, c))
        exact = (ax - cx) * (by - cy) - (ay - cy) * (bx - cx)
        sign[k] = (exact > 0) - (exact < 0)
    return sign


def _meeting(p: Tensor, q: Tensor, r: Tensor, s: Tensor) -> Tensor:
    """Where pq and rs, which cross, meet, to rounding."""
    along, across, between = q - p, s - r, r - p
    area = lambda u, v: u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]  # noqa: E731
    share = (area(between, across) / area(along, across)).nan_to_num(0.5).clamp(0.0, 1.0)
    return p + share[:, None] * along
