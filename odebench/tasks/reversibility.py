"""Whether a solver finds back."""

from __future__ import annotations

import torch
from torch import Tensor

from odebench.contract import Answer, Known, Setting, State, Task, Unknown, relative_l2
from odebench.tasks.answers import counts, named, state_of


class Reversibility(Task):
    """Solve from t0 to t1, and from there back to t0 on a grid of the same kind: how far from y0 does it end?

    A method of order p misses y0 by O(dt**p); only an algebraically reversible one returns to rounding. The span ends at the
    problem's `reversible_span`, where it has one: contracting fields lose y0 altogether on a long span.
    """

    name = "reversibility"

    def forward(self, setting: Setting, y0: State) -> Answer:
        """Two solves; `y0` and `returned` are the states at both ends of the round trip."""
        problem = setting.problem
        start, end = problem.ts[0], problem.ts[-1] if problem.reversible_span is None else problem.reversible_span
        with torch.no_grad():
            there = setting.solver.solve(setting.field, y0, (start, end), setting.grid)
            back = setting.solver.solve(setting.field, there.y1, (end, start), setting.grid)
        return Answer(states=named("y0", y0) | named("returned", back.y1), grid=there.grid, **counts(there, back))

    def judge(self, answer: dict[str, Tensor], known: Known) -> dict[str, float | str | Unknown]:
        """The distance between both ends, relative to the first."""
        error = relative_l2(state_of(answer, "returned"), state_of(answer, "y0"))
        if error == float("inf"):
            return {"roundtrip_error": Unknown("The initial state is zero, so there is no relative error.")}
        return {"roundtrip_error": error}
