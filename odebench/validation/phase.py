"""Crossings of a model's trajectories, where its states are points of a plane."""

from __future__ import annotations

import torch
from torch import Tensor

from odebench.contract import Grid
from odebench.errors import OdebenchError
from odebench.numerics.crossings import count_crossings
from odebench.validation.calls import OWN, Call
from odebench.validation.result import PhaseCrossings
from odebench.validation.subject import Subject

TIME_DEPENDENT = (
    "Crossings of trajectories were not counted: the field depends on time, and trajectories of such a field may cross."
)


def crossings_of(subject: Subject, inputs: Tensor, labels: Tensor) -> tuple[PhaseCrossings | None, str | None]:
    """Crossings between classes under the model's own solver, or None, and perhaps a remark saying why.

    Counted where the model solves once, its states are points of a plane, its field does not depend on time, and the targets are
    classes.

    Args:
        subject: the model.
        inputs: the rows whose trajectories are followed.
        labels: their targets.
    """
    if labels.is_floating_point() or labels.dim() != 1 or len(labels.unique()) < 2:
        return None, None
    calls = subject.evaluate(inputs, OWN).calls
    if len(calls) != 1 or not isinstance(calls[0].y0, Tensor) or calls[0].y0.shape[:1] != labels.shape:
        return None, None
    call = calls[0]
    if call.y0[0].numel() != 2:
        return None, None
    start, end = (torch.tensor(time, dtype=call.y0.dtype, device=call.y0.device) for time in (call.ts[0], call.ts[-1]))
    if not torch.equal(call.field(start, call.y0), call.field(end, call.y0)):
        return None, TIME_DEPENDENT
    try:
        found = count_crossings(_trajectories(call), labels)
    except OdebenchError as error:
        return None, f"Crossings of trajectories were not counted: {error}"
    pairs = len(found.pairs.unique(dim=0)) if found.count else 0
    return PhaseCrossings(trajectories=len(labels), count=found.count, pairs=pairs), None


def _trajectories(call: Call) -> Tensor:
    """The states at the ends of all steps, `(times, rows, 2)`."""
    solver, request = OWN.means(call)
    grid = request
    if not isinstance(request, Grid):
        grid = solver.solve(call.field, call.y0, (call.ts[0], call.ts[-1]), request).grid
    direction = 1.0 if call.ts[-1] > call.ts[0] else -1.0
    starts = grid.t if grid is not None else torch.empty(0)
    times = [t for t in starts.tolist()[1:] if direction * (call.ts[-1] - t) > 0]
    ys = solver.solve(call.field, call.y0, [call.ts[0], *times, call.ts[-1]], request).ys
    return ys.reshape(len(ys), len(call.y0), 2)
