"""An honest solver, and others that each break one promise."""

from __future__ import annotations

import dataclasses
import math
from fractions import Fraction as F

import torch

from odebench.contract import Grid, Solution, Step, StepSize, Tolerance
from odebench.errors import DivergedError
from odebench.numerics import ButcherTableau, ExplicitRungeKutta, OneStepSolver

B = (F(2, 9), F(1, 3), F(4, 9), F(0))
B_ERROR = (F(-5, 72), F(1, 12), F(1, 9), F(-1, 8))
A = ((), (F(1, 2),), (F(0), F(3, 4)), B[:3])
C = (F(0), F(1, 2), F(3, 4), F(1))


class Honest(ExplicitRungeKutta):
    """Bogacki and Shampine's pair."""

    name = "honest"
    tableau = ButcherTableau(order=3, c=C, a=A, b=B, b_error=B_ERROR)


class HonestMidpoint(ExplicitRungeKutta):
    """The midpoint rule with its continuous extension."""

    name = "honest-midpoint"
    tableau = ButcherTableau(
        order=2, c=(0, F(1, 2)), a=((), (F(1, 2),)), b=(0, 1), dense=((F(1), F(-1)), (F(0), F(1))), dense_order=2
    )


class HonestLinearPart(OneStepSolver):
    """Lawson's Euler method, whose linear part is its own: it tells a field solved backward from its mirror image.

    Source: J. D. Lawson, SIAM Journal on Numerical Analysis 4(3), 1967.
    """

    name, order, stages = "honest-linear-part", 1, 1

    def __init__(self, *, rate=0.1):
        self.rate = rate

    def step(self, field, t, dt, y, carry=None, *, error=False, dense=False):
        return Step(math.exp(self.rate * dt) * (y + dt * (field(t, y) - self.rate * y)))


class ForwardStep(OneStepSolver):
    """The second evaluation is at a time that lies ahead, whichever way time goes."""

    name, order, stages = "broken", 2, 2

    def step(self, field, t, dt, y, carry=None, *, error=False, dense=False):
        once = y + dt * field(t, y)
        return Step(0.5 * (y + once + dt * field(t + abs(dt), once)))


class WrongWeight(Honest):
    name = "wrong-weight"
    tableau = ButcherTableau(
        order=3,
        c=C,
        a=(*A[:3], (F(1, 4), F(1, 4), F(1, 2))),
        b=(F(1, 4), F(1, 4), F(1, 2), F(0)),
        b_error=B_ERROR,
    )


class WrongEstimate(Honest):
    name = "wrong-estimate"
    tableau = ButcherTableau(order=3, c=C, a=A, b=B, b_error=(F(-5, 72), F(1, 12), F(1, 8), F(-10, 72)))


class WrongExtension(HonestMidpoint):
    name = "wrong-extension"
    tableau = ButcherTableau(
        order=2, c=(0, F(1, 2)), a=((), (F(1, 2),)), b=(0, 1), dense=((F(0),), (F(1),)), dense_order=2
    )


class Changed(Honest):
    """Does something to the outcome of a step, or to what goes into it."""

    name = "changed"

    def step(self, field, t, dt, y, carry=None, *, error=False, dense=False):
        return self.change(super().step(field, t, dt, y, carry, error=error, dense=dense), error, t, dt)

    def change(self, step, error, t, dt):
        return step


class WrongStageTime(Honest):
    name = "wrong-stage-time"

    def step(self, field, t, dt, y, carry=None, *, error=False, dense=False):
        k0 = field(t, y)
        k1 = field(t + 0.6 * dt, y + dt * 0.5 * k0)
        k2 = field(t + 0.75 * dt, y + dt * 0.75 * k1)
        return Step(y + dt * (2 / 9 * k0 + 1 / 3 * k1 + 4 / 9 * k2))


class OptimisticControl(Changed):
    """Takes the root of its estimate."""

    def change(self, step, error, t, dt):
        return step._replace(error=step.error.abs().sqrt()) if error else step


class WrongExponent(Honest):
    name = "wrong-exponent"

    def __init__(self):
        super().__init__()
        self.error_order = 4


class WrongInterpolant(Honest):
    name = "wrong-interpolant"

    def interpolate(self, dense, theta):
        return super().interpolate(dense, theta) + 1e-3 * theta * (1 - theta) * dense.dt * dense.k0


class MoreStages(Honest):
    name = "more-stages"

    def __init__(self):
        super().__init__()
        self.stages = 4


class MixesRows(Changed):
    def change(self, step, error, t, dt):
        return step._replace(y1=step.y1 + 1e-15 * step.y1.mean(0))


class SharesEstimates(Changed):
    def change(self, step, error, t, dt):
        return step._replace(error=step.error.mean(0, keepdim=True).expand_as(step.error)) if error else step


class OtherWithGraph(Changed):
    def change(self, step, error, t, dt):
        return step._replace(y1=step.y1 * (1 + 2**-51)) if torch.is_grad_enabled() else step


class OtherWithEstimate(Changed):
    def change(self, step, error, t, dt):
        return step._replace(y1=step.y1 * (1 + 2**-51)) if error else step


class WrongCarry(Changed):
    def change(self, step, error, t, dt):
        return step._replace(carry=None if step.carry is None else step.carry * (1 + 2**-51))


class Promotes(Changed):
    def change(self, step, error, t, dt):
        return step._replace(y1=step.y1 + torch.zeros_like(step.y1, dtype=torch.float64))


class Views(Honest):
    name = "views"

    def step(self, field, t, dt, y, carry=None, *, error=False, dense=False):
        y.view(-1)
        return super().step(field, t, dt, y, carry, error=error, dense=dense)


class NeedsElements(Honest):
    name = "needs-elements"

    def step(self, field, t, dt, y, carry=None, *, error=False, dense=False):
        y.max()
        return super().step(field, t, dt, y, carry, error=error, dense=dense)


class ForwardOnly(Honest):
    name = "forward-only"

    def step(self, field, t, dt, y, carry=None, *, error=False, dense=False):
        return super().step(_Forward(field, t), t, dt, y, None, error=error, dense=dense)


class _Forward:
    """A field that is called at the time mirrored at the start of the step, where time falls."""

    def __init__(self, field, t):
        self.field, self.t = field, t
        self.times = _Mirrored(field.times, t)
        self.function = field.function

    @property
    def evaluations(self):
        return self.field.evaluations

    @evaluations.setter
    def evaluations(self, count):
        self.field.evaluations = count

    def __call__(self, t, y):
        return self.field(self.t + abs(t - self.t), y)


class _Mirrored:
    def __init__(self, times, t):
        self.times, self.t = times, t

    def __getitem__(self, t):
        return self.times[self.t + abs(t - self.t)]


class OwnClock(WrongStageTime):
    """Each step begins at time 0."""

    name = "own-clock"

    def step(self, field, t, dt, y, carry=None, *, error=False, dense=False):
        k0 = field(0.0, y)
        k1 = field(0.5 * dt, y + dt * 0.5 * k0)
        k2 = field(0.75 * dt, y + dt * 0.75 * k1)
        y1 = y + dt * (2 / 9 * k0 + 1 / 3 * k1 + 4 / 9 * k2)
        return Step(y1, 0 * y1 if error else None)


class IgnoresNan(Changed):
    def change(self, step, error, t, dt):
        y1 = step.y1.nan_to_num(0.0, 0.0, 0.0)
        return step._replace(y1=y1, error=step.error.nan_to_num(0.0, 0.0, 0.0) if error else None, carry=None)


class Wrapped(Honest):
    """Does something before or after a solve."""

    name = "wrapped"

    def solve(self, field, y0, ts, grid, inputs=()):
        return self.after(super().solve(field, y0, ts, self.before(y0, ts, grid), inputs))

    def before(self, y0, ts, grid):
        return grid

    def after(self, solution):
        return solution


class CountsLess(Wrapped):
    def after(self, solution):
        solution.stats.evaluations_forward -= 1
        return solution


class RoundsGrid(Wrapped):
    def after(self, solution):
        grid = solution.grid
        return dataclasses.replace(solution, grid=Grid(t=grid.t, dt=grid.dt.float().double(), end=grid.end))


class LosesGrid(Wrapped):
    def after(self, solution):
        return dataclasses.replace(solution, grid=None)


class OtherDevice(Wrapped):
    def after(self, solution):
        return dataclasses.replace(solution, ys=solution.ys.to("meta"))


class Squeezes(Wrapped):
    def after(self, solution):
        return dataclasses.replace(solution, ys=solution.ys.squeeze(1))


class Unpacks(Wrapped):
    def after(self, solution):
        return dataclasses.replace(solution, ys=list(solution.ys)) if isinstance(solution.ys, tuple) else solution


class MixesOutputs(Wrapped):
    def after(self, solution):
        return dataclasses.replace(
            solution, ys=torch.cat((solution.ys[:1], solution.ys[1:-1].flip(0), solution.ys[-1:]))
        )


class StretchesSteps(Wrapped):
    def before(self, y0, ts, grid):
        if isinstance(grid, StepSize) and grid.step_size is not None:
            return StepSize(steps=max(1, round((ts[-1] - ts[0]) / grid.step_size)))
        return grid


class WritesIntoState(Wrapped):
    def before(self, y0, ts, grid):
        if isinstance(y0, torch.Tensor):
            y0.mul_(1.0001)
        return grid


class GivesView(Honest):
    name = "gives-view"

    def solve(self, field, y0, ts, grid, inputs=()):
        solution = super().solve(field, y0, ts, grid, inputs)
        y0.set_(solution.ys[0])  # so that both share their memory
        return solution


class Seeds(Wrapped):
    def before(self, y0, ts, grid):
        torch.manual_seed(0)
        return grid


class ChangesDtypeOnErrors(Honest):
    name = "changes-dtype-on-errors"

    def solve(self, field, y0, ts, grid, inputs=()):
        torch.set_default_dtype(torch.float64)
        solution = super().solve(field, y0, ts, grid, inputs)
        torch.set_default_dtype(torch.float32)
        return solution


class Swallows(Honest):
    name = "swallows"

    def solve(self, field, y0, ts, grid, inputs=()):
        try:
            return super().solve(field, y0, ts, grid, inputs)
        except RuntimeError:
            raise DivergedError("Something went wrong.") from None


class Patient(Wrapped):
    def before(self, y0, ts, grid):
        return dataclasses.replace(grid, max_steps=10**6) if isinstance(grid, Tolerance) else grid


class Loops(Honest):
    """Tries a step that is not a number again and again."""

    name = "loops"

    def step(self, field, t, dt, y, carry=None, *, error=False, dense=False):
        step = super().step(field, t, dt, y, carry, error=error, dense=dense)
        while error and not bool(torch.isfinite(step.y1).all()):
            step = super().step(field, t, dt, y, None, error=error, dense=dense)
        return step


class Remembers(Honest):
    name = "remembers"

    def __init__(self):
        super().__init__()
        self.known = {}

    def solve(self, field, y0, ts, grid, inputs=()):
        key = (id(field), id(y0), repr(grid))
        if key not in self.known:
            self.known[key] = super().solve(field, y0, ts, grid, inputs)
        return self.known[key]


class Drifts(Changed):
    """Gives a little more at each solve."""

    solves = 0

    def solve(self, field, y0, ts, grid, inputs=()):
        self.solves += 1
        solution = super().solve(field, y0, ts, grid, inputs)
        return Solution(ys=solution.ys * (1 + self.solves * 2**-51), grid=solution.grid, stats=solution.stats)


class SnapsOutputs(Honest):
    """Where it chooses the step, an output just before its end is that at its end."""

    name = "snaps-outputs"

    def step(self, field, t, dt, y, carry=None, *, error=False, dense=False):
        step = super().step(field, t, dt, y, carry, error=error, dense=dense)
        return step._replace(dense=(step.dense, error, step.y1)) if dense else step

    def interpolate(self, dense, theta):
        inner, chosen, end = dense
        return end if chosen and theta > 0.9 else super().interpolate(inner, theta)


class KeepsRejectedStage(Honest):
    """The last stage of every attempt is the first of the next, also where the attempt was rejected."""

    name = "keeps-rejected-stage"
    kept = None

    def step(self, field, t, dt, y, carry=None, *, error=False, dense=False):
        step = super().step(
            field, t, dt, y, self.kept if error and self.kept is not None else carry, error=error, dense=dense
        )
        self.kept = step.carry if error else None
        return step


class PlansTooLong(Honest):
    """Tells of an attempt in vain before each step, as a control does that always plans too long a step."""

    name = "plans-too-long"

    def solve(self, field, y0, ts, grid, inputs=()):
        solution = super().solve(field, y0, ts, grid, inputs)
        return dataclasses.replace(
            solution,
            stats=dataclasses.replace(solution.stats, rejected=solution.stats.rejected + solution.stats.accepted),
        )
