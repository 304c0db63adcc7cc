"""Evaluations of the field: what a solver says that it took is what the host counted."""

from __future__ import annotations

import torch
from torch import Tensor

from odebench.conformance.failure import Failure
from odebench.conformance.problems import turning
from odebench.conformance.solvers.requests import requests, solved
from odebench.contract import Field, Solver, State, StepSize


class Counted:
    """A field, and how often it was called; nothing leads from it to the field."""

    __slots__ = ("__weakref__", "_call", "calls")

    def __init__(self, field: Field) -> None:
        self.calls = 0
        self._call = field

    def __call__(self, t: Tensor, y: State) -> State:
        self.calls += 1
        return self._call(t, y)


@torch.no_grad()
def check_evaluations_are_counted(solver: Solver) -> str:
    """The evaluations that a solution reports are those that the field saw."""
    problem = turning()
    seen = []
    for words, request in requests(solver).items():
        for ts in ((0.0, 1.0), (0.0, 0.25, 0.5, 1.0)):
            field = Counted(problem.field)
            reported = solved(solver, field, problem.y0, ts, request, problem.name).stats.evaluations_forward
            seen.append(f"{field.calls} with {words}")
            if reported != field.calls:
                raise Failure(
                    expected=f"{field.calls} evaluations in `stats`, as the field counted with {words} and {len(ts)} output times",
                    measured=f"{reported}",
                    cause="evaluations outside the stages are not counted: the first slope, a rejected step, an output time"
                    if reported < field.calls
                    else "evaluations are counted that a cache made unnecessary",
                    look="where `stats.evaluations_forward` is added up, or who calls the field without counting",
                )
    return "; ".join(dict.fromkeys(seen))


@torch.no_grad()
def check_declared_stages(solver: Solver) -> str:
    """A fixed step evaluates the field as often as `stages` says."""
    problem = turning()
    for steps in (1, 7):
        field = Counted(problem.field)
        solved(solver, field, problem.y0, (0.0, 1.0), StepSize(steps=steps), problem.name)
        if field.calls != solver.stages * steps:
            raise Failure(
                expected=f"{solver.stages * steps} evaluations in {steps} steps: `stages` is {solver.stages}",
                measured=f"{field.calls}",
                cause="`stages` counts an evaluation that the next step takes over, or misses one",
                look="`stages`, and how the carry is passed on",
            )
    return f"{solver.stages} a step"
