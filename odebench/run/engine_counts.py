"""What compiled loops tell of their evaluations, held against an eager replay of the steps that they took."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from odebench.contract import Tolerance
from odebench.errors import MeasurementError
from odebench.run.counting import Counter, CountingField
from odebench.run.engine import EngineSolve
from odebench.run.step_cost import cost_of_step

#: Evaluations that belong to no step: the slope at the start and one more to find the first step, where that is to be found; else
#: the slope at the very end, which a loop whose steps are all alike has for an interpolant that nobody asks for.
_FOUND, _GIVEN = 2, 1


def add_told(solves: Sequence[EngineSolve], counter: Counter) -> None:
    """Count what the solves tell: no callable of ours is called in a compiled loop."""
    for solve in solves:
        counter.evaluations["forward"] += solve.stats.evaluations_forward
        counter.evaluations["backward"] += solve.stats.evaluations_backward


def check_told(solves: Sequence[EngineSolve]) -> None:
    """Take the steps of each solve again, without the engine, and count.

    An accepted step needs what the replay needs for it. A refused one needs as much, and is not in the replay; nor is the search
    for the first step. Where each row has steps of its own, an attempt may be refused in some rows only, so that there are at most as
    many as rows refused. The way back computes each step again, once, or twice where its start has to be computed first.

    Raises:
        MeasurementError: a count cannot be.
    """
    for solve in solves:
        replayed = _replayed(solve)
        each = round(cost_of_step(solve.solver).forward)
        extra = _FOUND if isinstance(solve.request, Tolerance) else _GIVEN
        most = replayed + each * solve.stats.rejected + extra
        least = replayed if solve.grid.per_sample else most - extra
        told = solve.stats.evaluations_forward
        if not least <= told <= most:
            raise MeasurementError(
                f"The compiled solve tells {told} evaluations of the field; its {solve.stats.accepted} accepted steps took {replayed} "
                f"when they were taken again, which with {solve.stats.rejected} refused ones makes {least} to {most}."
            )
        back, steps = solve.stats.evaluations_backward, solve.grid.steps
        if back and not each * steps <= back <= 2 * (each + 1) * steps + _FOUND:
            raise MeasurementError(
                f"The compiled way back tells {back} evaluations of the field for {steps} steps of {each} each."
            )


def _replayed(solve: EngineSolve) -> int:
    """Evaluations of the same steps, counted where Python is called."""
    counter = Counter()
    with torch.no_grad():
        solve.solver.solve(CountingField(solve.module, counter), solve.y0, solve.ts, solve.grid)
    return counter.evaluations["forward"]
