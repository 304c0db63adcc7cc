"""Where trajectories of different classes cross in a two-dimensional state space.

Trajectories of an autonomous field that is Lipschitz never cross (Picard and Lindelöf), so that crossings between classes are
a mark of the solver: a step so long that the solution leaves the flow (Ott et al., "ResNet After All?", ICLR 2021,
arXiv:2007.15386, section 3).
"""

from __future__ import annotations

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
    """Bounding boxes of runs of 1, 2, 4, … segments up to the whole, each `(runs, batch, 4)`: low x, y and -high x, y.

    Highs are negated, so that a run's box is the minimum over its parts in all four; an empty box is all infinite.
    """
    ends = torch.cat((torch.minimum(states[:-1], states[1:]), torch.minimum(-states[:-1], -states[1:])), dim=2)
    finite = torch.isfinite(states[:-1]).all(2) & torch.isfinite(states[1:]).all(2)
    levels = [torch.where(finite[:, :, None], ends, torch.inf)]
    while len(levels[-1]) > 1:
        boxes = levels[-1]
        if len(boxes) % 2:
            boxes = levels[-1] = torch.cat((boxes, torch.full_like(boxes[:1], torch.inf)))
        levels.append(torch.minimum(boxes[0::2], boxes[1::2]))
    return levels


def _overlap(one: Tensor, other: Tensor) -> Tensor:
    """Whether boxes share a point."""
    return (one[..., :2] <= -other[..., 2:]).all(-1) & (other[..., :2] <= -one[..., 2:]).all(-1)


def _pairs_of_rows(boxes: Tensor, labels: Tensor) -> list[Tensor]:
    """Pairs of rows of different classes whose trajectories' boxes overlap, `(pairs, 4)` with the run 0 of each, in blocks."""
    batch = len(boxes)
    rows = torch.arange(batch)
    height = max(1, PAIRS_AT_ONCE // batch)
    blocks = []
    for block in rows.split(height):
        wanted = _overlap(boxes[block, None], boxes[None]) & (labels[block, None] != labels) & (block[:, None] < rows)
        i, j = wanted.nonzero(as_tuple=True)
        blocks.append(torch.stack((block[i], j, torch.zeros_like(i), torch.zeros_like(i)), dim=1))
    return blocks


def _within(states: Tensor, levels: list[Tensor], pairs: Tensor) -> Tensor:
    """Crossings `(found, 4)`, row, row, segment, segment, between pairs of runs of the highest level."""
    found = []
    waiting = [(len(levels) - 1, pairs)]
    while waiting:
        level, pairs = waiting.pop()
        if len(pairs) > PAIRS_AT_ONCE:
            waiting += [(level, part) for part in pairs.split(PAIRS_AT_ONCE)]
        elif level == 0:
            cross = _cross(*_ends(states, pairs[:, :2], pairs[:, 2:]))
            found.append(pairs[cross])
        elif len(pairs):
            halves = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]])
            rows = pairs[:, None, :2].expand(-1, 4, -1)
            runs = 2 * pairs[:, None, 2:] + halves
            parts = torch.cat((rows, runs), dim=2).reshape(-1, 4)
            boxes = levels[level - 1]
            waiting.append(
                (level - 1, parts[_overlap(boxes[parts[:, 2], parts[:, 0]], boxes[parts[:, 3], parts[:, 1]])])
            )
    return torch.cat([pairs[:0].reshape(0, 4), *found])


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
