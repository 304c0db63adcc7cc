"""Answering a whole set: counts of several solves."""

from __future__ import annotations

import torch

from odebench.contract import Tolerance
from odebench.tasks import evaluation
from odebench.tasks.evaluation import evaluate
from tests.tasks.classroom import build_solver, learning


def test_counts_of_unlike_solves_are_whole_as_their_columns_are(monkeypatch):
    """An adaptive solver takes other steps for other examples; a fraction would be no count, and lost as one."""
    monkeypatch.setattr(evaluation, "_ROWS", 7)
    lesson, accepted = learning(), []
    with torch.no_grad():
        lesson.field.net[0].weight.mul_(20.0)
    solver, grid = build_solver("bosh3"), Tolerance(rtol=1e-5, atol=1e-5)
    with torch.no_grad():
        for first in range(0, 30, 7):
            solution = solver.solve(lesson.field, lesson.test.inputs[first : first + 7], lesson.ts, grid)
            accepted.append(solution.stats.accepted)
    assert sum(accepted) % len(accepted), "otherwise the mean is whole by itself"
    found = evaluate(lesson, lesson.field, solver, grid, lesson.test)
    assert (found.solves, found.accepted) == (5, sum(accepted))
    assert isinstance(found.steps, int)
    assert abs(found.steps - sum(accepted) / 5) <= 0.5
