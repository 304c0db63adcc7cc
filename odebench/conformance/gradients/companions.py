"""The solvers that a gradient method is tried with, each with the same solve once more as a plain loop of torch operations.

They are tableaux of the checks' own: a gradient method has to work with solvers that its author has not seen.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction as F
from typing import Any, ClassVar

import torch
from torch import Tensor

from odebench.contract import Field, GradientMethod, Grid, Solver, State, Step
from odebench.numerics import ButcherTableau, ExplicitRungeKutta, OneStepSolver
from odebench.numerics.packing import Packing

Replay = Callable[..., State]

_CLOSE = 1e-9


@dataclass(frozen=True, kw_only=True)
class Companion:
    """A solver, and what it computes.

    Attributes:
        solver: what the gradient method is given.
        replay: called as `replay(field, y0, ts, grid, inputs=())`: the solver's steps on a grid, recorded by autograd. `inputs` are what the field
            uses and does not own; only a solver that has gradients of its own asks for them.
    """

    solver: Solver
    replay: Replay


_NODES = (F(0), F(2, 3), F(2, 3), F(1))
_ROWS = ((), (F(2, 3),), (F(0), F(2, 3)), (F(1, 4), F(3, 8), F(3, 8)))
_WEIGHTS = (F(1, 4), F(3, 8), F(3, 8), F(0))
# Of order 2: 7/8 + 1/8 = 1, and 2/3 · 9/16 + 1/8 = 1/2.
_EMBEDDED = (F(5, 16), F(9, 32), F(9, 32), F(1, 8))


class ThreeStages(ExplicitRungeKutta):
    """Fixed steps, order 3.

    Source: E. J. Nyström, "Über die numerische Integration von Differentialgleichungen", Acta Soc. Sci. Fenn. 50(13), 1925;
    in Hairer, Nørsett, Wanner, "Solving ODEs I", 2nd ed., section II.1.
    """

    name: ClassVar[str] = "conformance/three-stages"
    tableau: ClassVar[ButcherTableau] = ButcherTableau(order=3, c=_NODES[:3], a=_ROWS[:3], b=_WEIGHTS[:3])


class Pair(ExplicitRungeKutta):
    """The same with an error estimate from the derivative at the end of the step, which is the next one's first stage."""

    name: ClassVar[str] = "conformance/pair"
    tableau: ClassVar[ButcherTableau] = ButcherTableau(
        order=3,
        c=_NODES,
        a=_ROWS,
        b=_WEIGHTS,
        b_error=tuple(b - b_hat for b, b_hat in zip(_WEIGHTS, _EMBEDDED, strict=True)),
        embedded_order=2,
    )


class PairOfThree(ExplicitRungeKutta):
    """The three stages with an error estimate from themselves: no step shares an evaluation with another."""

    name: ClassVar[str] = "conformance/pair-of-three"
    tableau: ClassVar[ButcherTableau] = ButcherTableau(
        order=3, c=_NODES[:3], a=_ROWS[:3], b=_WEIGHTS[:3], b_error=(F(0), F(-3, 8), F(3, 8)), embedded_order=2
    )


class OneStage(ExplicitRungeKutta):
    """The least that a step can be: one evaluation."""

    name: ClassVar[str] = "conformance/one-stage"
    tableau: ClassVar[ButcherTableau] = ButcherTableau(order=1, c=(F(0),), a=((),), b=(F(1),))


class TwoSteps(OneStepSolver):
    """The derivative of the step before belongs to the state.

    Source: the two-step Adams-Bashforth formula, Hairer, Nørsett, Wanner, "Solving ODEs I", 2nd ed., III.1 (1.5).
    """

    name = "conformance/two-steps"
    order = 2
    carry_is = "state"

    def first_carry(self, field: Any, t: float, y: Tensor) -> Tensor:
        """As though the derivative had been the same before."""
        return field(t, y)

    def step(
        self, field: Any, t: float, dt: float, y: Tensor, carry: Any = None, *, error: bool = False, dense: bool = False
    ) -> Step:
        """As `OneStepSolver.step` says."""
        slope = field(t, y)
        return Step(y + dt * (1.5 * slope - 0.5 * carry), carry=slope)


def fixed(method: GradientMethod) -> list[Companion]:
    """Solvers that take uniform steps and that `method` supports; the first is of one step and order 3 where it can be."""
    own = [
        Companion(solver=ThreeStages(), replay=_runge_kutta(3)),
        Companion(solver=Pair(adaptive=False), replay=_runge_kutta(3)),
        Companion(solver=TwoSteps(), replay=_two_steps),
    ]
    return _supported(method, own) or _registered(method, adaptive=False)


def adaptive(method: GradientMethod) -> list[Companion]:
    """Solvers that follow a tolerance and that `method` supports."""
    return _supported(method, [Companion(solver=Pair(), replay=_runge_kutta(3))]) or _registered(method, adaptive=True)


def companion_of(method: GradientMethod) -> Companion:
    """The solver for checks that need one only; it takes uniform steps."""
    return fixed(method)[0]


def thrifty(method: GradientMethod) -> list[Companion]:
    """Solvers with different numbers of stages, to see what each takes of memory."""
    own = [
        Companion(solver=OneStage(), replay=_runge_kutta(1)),
        Companion(solver=ThreeStages(), replay=_runge_kutta(3)),
    ]
    return _supported(method, own) or fixed(method)[:1]


def lacking(method: GradientMethod) -> str | None:
    """Why none of the solvers that `method` supports can be used on this machine; None where one can, or none is known."""
    if fixed(method) or adaptive(method):
        return None
    solvers = (solver for solver in _offered(method) if method.supports(solver) is None)
    return next((solver.unavailable for solver in solvers if solver.unavailable is not None), None)


def _supported(method: GradientMethod, companions: list[Companion]) -> list[Companion]:
    return [companion for companion in companions if method.supports(companion.solver) is None]


def _registered(method: GradientMethod, adaptive: bool) -> list[Companion]:
    """Where a method supports none but its own library's solvers, or reversible ones: those among the registered ones."""
    found = []
    for solver in _offered(method):
        if (
            solver.differentiable
            and solver.unavailable is None
            and solver.order > 1  # of order 1 the adjoint equation's gap is too wide for the bounds here
            and method.supports(solver) is None
            and (solver.adaptive if adaptive else solver.takes_grids)
        ):
            found.append(Companion(solver=solver, replay=_solved_again(solver)))
    # Order 3 leaves the widest window between rounding and the asymptotic range; fewer are quicker, and explicit ones.
    return sorted(
        found, key=lambda one: (one.solver.implicit, abs(one.solver.order - 3), one.solver.adaptive != adaptive)
    )[:2]


def _offered(method: GradientMethod) -> list[Solver]:
    """The solvers of odebench and of the method's own plugin that need no parameters."""
    from odebench.errors import OdebenchError
    from odebench.plugins import build_registry

    prefix, _, rest = method.name.partition("/")
    found = []
    for entry in build_registry(prefixes=(prefix,) if rest else ()).entries("solver"):
        with contextlib.suppress(OdebenchError):  # it needs parameters, or its library is not there
            found.append(entry.build())
    return found


def _solved_again(solver: Solver) -> Replay:
    return lambda field, y0, ts, grid, inputs=(): solver.solve(field, y0, ts, grid, inputs).ys


def _runge_kutta(stages: int) -> Replay:
    """Explicit Runge-Kutta steps from the formula, with the cubic Hermite polynomial inside them."""
    if stages == 1:
        nodes, rows, weights = [0.0], [[]], [1.0]
    else:
        nodes, weights = [float(c) for c in _NODES[:3]], [float(b) for b in _WEIGHTS[:3]]
        rows = [[float(a) for a in row] for row in _ROWS[:3]]

    def step(field: Any, t: Any, dt: Any, y: Tensor, before: Tensor | None) -> tuple[Tensor, Tensor]:
        k: list[Tensor] = []
        for c, row in zip(nodes, rows, strict=True):
            k.append(field(t + c * dt, y + dt * sum(a * slope for a, slope in zip(row, k, strict=True))))
        return y + dt * sum(b * slope for b, slope in zip(weights, k, strict=True)), k[0]

    return lambda field, y0, ts, grid, inputs=(): _loop(step, field, y0, ts, grid)


def _two_steps(field: Field, y0: State, ts: Sequence[float], grid: Grid, inputs: tuple[Tensor, ...] = ()) -> State:
    def step(field: Any, t: Any, dt: Any, y: Tensor, before: Tensor | None) -> tuple[Tensor, Tensor]:
        slope = field(t, y)
        return y + dt * (1.5 * slope - 0.5 * (slope if before is None else before)), slope

    return _loop(step, field, y0, ts, grid)


def _loop(step: Callable[..., Any], field: Field, y0: State, ts: Sequence[float], grid: Grid) -> State:
    packing = Packing(y0)
    packed_field = packing.field(field)

    def timed(t: Any, y: Tensor) -> Tensor:
        return packed_field(torch.as_tensor(t, dtype=y.dtype), y)

    y = packing.pack(y0)
    if grid.per_sample:  # a column for the times, and none is asked for but the last
        steps = [(t[:, None], dt[:, None]) for t, dt in zip(grid.t, grid.dt, strict=True)]
        for t, dt in steps:
            y, _ = step(timed, t, dt, y, None)
        return packing.unpack_outputs(torch.stack((packing.pack(y0), y)))
    ys, slope = [y], None
    for t, dt in zip(grid.t.tolist(), grid.dt.tolist(), strict=True):
        ahead, slope = step(timed, t, dt, y, slope)
        while len(ys) < len(ts) and (ts[len(ys)] - t) / dt <= 1.0 + _CLOSE:
            theta = (ts[len(ys)] - t) / dt
            inside = theta < 1.0 - _CLOSE
            ys.append(_hermite(theta, dt, y, ahead, slope, timed(t + dt, ahead)) if inside else ahead)
        y = ahead
    return packing.unpack_outputs(torch.stack(ys))


def _hermite(theta: float, dt: float, y: Tensor, ahead: Tensor, slope: Tensor, slope_ahead: Tensor) -> Tensor:
    """Hairer, Nørsett, Wanner, "Solving ODEs I", 2nd ed., II.6 (6.7)."""
    bend = (1 - 2 * theta) * (ahead - y) + (theta - 1) * dt * slope + theta * dt * slope_ahead
    return (1 - theta) * y + theta * ahead + theta * (theta - 1) * bend
