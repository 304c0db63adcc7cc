"""A small local plugin: an Euler solver and autograd through it, written against the contract alone, for tests of the runner."""

from __future__ import annotations

import dataclasses

import torch
from torch import nn

from odebench import GradientMethod, Grid, Model, Problem, Solution, Solver, Stats, StepSize, hookimpl
from odebench.errors import DivergedError, IncompatibleError


class PlainEuler(Solver):
    """y + h f, with a fixed step."""

    name = "plain-euler"
    order = 1
    stages = 1

    def solve(self, field, y0, ts, grid, inputs=()):
        if not isinstance(grid, StepSize) or grid.steps is None:
            raise IncompatibleError("plain-euler takes a number of steps. Give `steps`.")
        steps, outputs = grid.steps, len(ts) - 1
        y, ys, times = y0, [y0], []
        for index in range(outputs):
            start, end = float(ts[index]), float(ts[index + 1])
            count = steps // outputs
            h = (end - start) / count
            for step in range(count):
                t = start + step * h
                y = y + h * field(torch.full((), t, dtype=y.dtype), y)
                times.append((t, h))
            ys.append(y)
        table = torch.tensor(times, dtype=torch.float64)
        taken = Grid(t=table[:, 0].contiguous(), dt=table[:, 1].contiguous(), end=float(ts[-1]))
        return Solution(
            ys=torch.stack(ys), grid=taken, stats=Stats(evaluations_forward=len(times), accepted=len(times))
        )


class NoSteps(PlainEuler):
    """Says that it cannot, for this dtype."""

    name = "no-steps"

    def solve(self, field, y0, ts, grid, inputs=()):
        raise IncompatibleError("no-steps never takes a step.")


class GivesUp(PlainEuler):
    """Diverges on purpose, after some evaluations."""

    name = "gives-up"

    def solve(self, field, y0, ts, grid, inputs=()):
        for _ in range(3):
            field(torch.zeros((), dtype=y0.dtype), y0)
        raise DivergedError("The step size fell below its minimum at t = 0.")


class Plain(GradientMethod):
    """Autograd through the solver's steps."""

    name = "plain"
    exact_for_discretisation = True
    memory = "O(N s)"

    def solve(self, solver, field, y0, ts, grid, inputs=()):
        return solver.solve(field, y0, ts, grid, inputs)


class Decay(nn.Module):
    """f = -rate y."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = nn.Parameter(torch.tensor(rate, dtype=torch.float64))

    def forward(self, t, y):
        return -self.rate * y


class PlainDecay(Model):
    """Exponential decay with its closed form."""

    name = "plain-decay"

    def __init__(self, *, rate: float = 1.0, batch: int = 4, random: bool = False) -> None:
        self.rate, self.batch, self.random = rate, batch, random

    def problem(self, seed):
        y0 = torch.linspace(1.0, 2.0, self.batch * 2, dtype=torch.float64).reshape(self.batch, 2) * (1.0 + 0.1 * seed)

        def exact(problem, t):
            return problem.y0 * torch.exp(-problem.field.rate * t)

        return Problem(
            field=Noisy(self.rate) if self.random else Decay(self.rate), y0=y0, ts=(0.0, 0.5, 1.0), exact=exact
        )


class NoReference(PlainDecay):
    """Its closed form fails."""

    name = "no-reference"

    def problem(self, seed):
        return dataclasses.replace(super().problem(seed), exact=lambda problem, t: 1 / 0)


class Noisy(Decay):
    """A field that draws random numbers, as dropout does."""

    def forward(self, t, y):
        return -self.rate * y * (1.0 + 0.0 * torch.rand(()).item())


@hookimpl
def odebench_register_solvers(register):
    for solver in (PlainEuler, NoSteps, GivesUp):
        register(solver)


@hookimpl
def odebench_register_gradients(register):
    register(Plain)


@hookimpl
def odebench_register_models(register):
    register(PlainDecay)
    register(NoReference)
