"""Rows of a batch, which are problems of their own."""

from __future__ import annotations

import torch

from odebench.conformance.failure import Failure
from odebench.conformance.problems import turning
from odebench.conformance.solvers.requests import bits_differ, solved
from odebench.contract import GridRequest, Solver, StepSize, Tolerance


@torch.no_grad()
def check_rows_do_not_interact(solver: Solver) -> str:
    """On given steps a row's solution does not change, bit for bit, when other rows hold other values."""
    return _compare(solver, StepSize(steps=6), "6 given steps")


@torch.no_grad()
def check_rows_with_steps_of_their_own_do_not_interact(solver: Solver) -> str:
    """With steps of its own for each row, a row's solution does not change, bit for bit, when other rows hold other values."""
    return _compare(solver, Tolerance(rtol=1e-3, atol=1e-4, batch="per-sample"), "steps for each row")


def _compare(solver: Solver, request: GridRequest, words: str) -> str:
    problem = turning()
    ts = (0.0, 0.5, 1.0)
    before = solved(solver, problem.field, problem.y0, ts, request, problem.name).ys
    for row in (0, len(problem.y0) - 1):
        # Faster and slower: the other rows would need shorter steps, more iterations, or fewer.
        for factor in (1.7, 0.3):
            other = problem.y0 * factor
            other[row] = problem.y0[row]
            after = solved(solver, problem.field, other, ts, request, problem.name).ys
            if (gap := bits_differ(before[:, row], after[:, row])) is not None:
                raise Failure(
                    expected=f"row {row} to stay as it is, bit for bit, when the others are multiplied by {factor} ({words})",
                    measured=f"a relative change of {gap:.2g}",
                    cause="something is computed over the whole batch: a norm, an iteration that ends for all at once, a shared "
                    "matrix",
                    look="every reduction in the step that has no `dim`",
                )
    return words
