"""A batch whose metrics are given instead of computed, and the solvers that the policies ask for."""

from __future__ import annotations

from collections.abc import Callable

from odebench.api import build
from odebench.contract import GridRequest, Solver, StepPolicy, Trial


def build_solver(named):
    """The solver of a name."""
    return build("solver", named)


def begun(policy: StepPolicy, solver: str, grid: GridRequest | None = None, ts=(0.0, 1.0), field=None, y0=None):
    """The policy after `begin`, and the first grid."""
    return policy, policy.begin(build_solver(solver), build_solver, field, y0, ts, grid)


class Batch:
    """Answers attempts from a list, in order, and remembers what was attempted; an exception in the list is raised.

    `answers` may also be a function of solver's name and grid.
    """

    def __init__(self, answers=()):
        self.answers: list | Callable = answers if callable(answers) else list(answers)
        self.asked: list[tuple[str, GridRequest]] = []

    def __call__(self, solver: Solver, grid: GridRequest) -> Trial:
        self.asked.append((solver.name, grid))
        answer = self.answers(solver.name, grid) if callable(self.answers) else self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, Trial) else Trial(metric=answer)


def no_attempt(solver, grid):
    """For iterations in which nothing may be attempted."""
    raise AssertionError(f"{solver.name} was attempted on {grid}")
