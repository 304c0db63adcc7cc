"""How well, and at which cost, a solver solves."""

from __future__ import annotations

import torch
from torch import Tensor

from odebench.contract import Answer, Known, Setting, State, Task, Unknown
from odebench.tasks.answers import counts, named, state_of
from odebench.tasks.trajectory import final_error, provenance, reference_or_reason, trajectory_errors


class Integrate(Task):
    """Solve the problem at its output times, without gradients."""

    name = "integrate"

    def forward(self, setting: Setting, y0: State) -> Answer:
        """One solve; `ys` at the problem's output times."""
        with torch.no_grad():
            solution = setting.solver.solve(setting.field, y0, setting.problem.ts, setting.grid)
        return Answer(states=named("ys", solution.ys), grid=solution.grid, stats=(solution.stats,), **counts(solution))

    def judge(self, answer: dict[str, Tensor], known: Known) -> dict[str, float | str | Unknown]:
        """Errors at t1 and over the output times."""
        ys = state_of(answer, "ys")
        reference = reference_or_reason(known, known.problem.ts)
        return {"error_final": final_error(ys, reference)} | trajectory_errors(ys, reference) | provenance(reference)
