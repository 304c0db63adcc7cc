"""The compiled engine as a cell's task meets it: in the place of the solver and of the gradient method."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn

from odebench.contract import Field, GradientMethod, Grid, GridRequest, Solution, Solver, State, Stats
from odebench.errors import CompileError


@dataclass(frozen=True, kw_only=True)
class EngineSolve:
    """One solve that ran in the compiled engine.

    Attributes:
        solver, module, y0, ts, request: what was asked; `module` is the field itself.
        grid, stats: what came back; the backward figures are there when the backward has run.
    """

    solver: Solver
    module: Field
    y0: State
    ts: Sequence[float]
    request: GridRequest
    grid: Grid
    stats: Stats


class Engine:
    """Has the solves of one cell run compiled.

    The engine is the host's own, so it is given the field itself; tasks, and plugins that solve where it cannot, are given the
    opaque one.

    Args:
        asked: True, or "auto": solve without where the engine refuses.

    Attributes:
        compiled: whether solves ran in it; None before the first.
        refusal: why solves run without it from now on; None where they do not.
        solves: what ran in it since this was made a list; None keeps nothing.
    """

    def __init__(self, asked: Literal[True, "auto"]) -> None:
        self._asked = asked
        self.compiled: bool | None = None
        self.refusal: str | None = None
        self._last: Stats | None = None
        self.solves: list[EngineSolve] | None = None
        # The fields are kept beside what stands behind them, so that no other can have the identity of one.
        self._known: dict[int, tuple[Field, nn.Module]] = {}

    @property
    def compiled_as(self) -> str | None:
        """What the programs of the last solve are, as `Stats` tells it, its backward pass included where that has run."""
        return None if self._last is None or not self.compiled else self._last.compiled_as

    def wrapper(self, wrap: Callable[[nn.Module], Field]) -> Callable[[nn.Module], Field]:
        """`wrap`, with a note of what stands behind each field."""

        def noted(module: nn.Module) -> Field:
            field = wrap(module)
            self._known[id(field)] = (field, module)
            return field

        return noted

    def solver(self, solver: Solver) -> Any:
        """What a task is given in the place of `solver`."""
        return _SolverInEngine(self, solver)

    def gradient(self, method: GradientMethod) -> Any:
        """What a task is given in the place of `method`."""
        return _GradientInEngine(self, method)

    def refuse(self, refusal: CompileError) -> None:
        """Go on without, where the cell allows it; raises `refusal` where not."""
        self.compiled = False
        if self._asked is True:
            raise refusal
        self.refusal = str(refusal)

    def solve(
        self,
        method: GradientMethod,
        solver: Solver,
        field: Field,
        y0: State,
        ts: Sequence[float],
        grid: GridRequest,
        inputs: tuple[Tensor, ...] = (),
    ) -> Solution:
        """`method.solve`, compiled."""
        if self.refusal is None:
            # The compiler is loaded by those who compile.
            from odebench.compiled import solve_compiled

            self.compiled = True
            module = self._known[id(field)][1] if id(field) in self._known else field
            try:
                solution = solve_compiled(solver, method, module, y0, ts, grid)
            except CompileError as refusal:
                self.refuse(refusal)
            else:
                self._last = solution.stats
                self._keep(solver, module, y0, ts, grid, solution)
                return solution
        solution = method.solve(solver, field, y0, ts, grid, inputs)
        solution.stats.compile_fallback_reason = self.refusal
        return solution

    def _keep(
        self, solver: Solver, module: Field, y0: State, ts: Sequence[float], request: GridRequest, solution: Solution
    ) -> None:
        if self.solves is None:
            return
        leaves = tuple(leaf.detach().clone() for leaf in (y0 if isinstance(y0, tuple) else (y0,)))
        self.solves.append(
            EngineSolve(
                solver=solver,
                module=module,
                y0=leaves if isinstance(y0, tuple) else leaves[0],
                ts=tuple(ts),
                request=request,
                grid=solution.grid,
                stats=solution.stats,
            )
        )


class _Autograd(GradientMethod):
    """A solve without a gradient method, through which autograd may pass."""

    name = "autograd"
    exact_for_discretisation = True
    memory = "O(N)"
    compiled_memory = "steps"

    def solve(
        self,
        solver: Solver,
        field: Field,
        y0: State,
        ts: Sequence[float],
        grid: GridRequest,
        inputs: tuple[Tensor, ...] = (),
    ) -> Solution:
        return solver.solve(field, y0, ts, grid, inputs)


class _InEngine:
    """Everything of what it stands for, but `solve`."""

    def __init__(self, engine: Engine, own: Any) -> None:
        self._engine, self._own = engine, own

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own, name)


class _SolverInEngine(_InEngine):
    def solve(
        self, field: Field, y0: State, ts: Sequence[float], grid: GridRequest, inputs: tuple[Tensor, ...] = ()
    ) -> Solution:
        return self._engine.solve(_Autograd(), self._own, field, y0, ts, grid, inputs)


class _GradientInEngine(_InEngine):
    def solve(
        self,
        solver: Any,
        field: Field,
        y0: State,
        ts: Sequence[float],
        grid: GridRequest,
        inputs: tuple[Tensor, ...] = (),
    ) -> Solution:
        own = solver._own if isinstance(solver, _SolverInEngine) else solver
        return self._engine.solve(self._own, own, field, y0, ts, grid, inputs)


def start_engine(asked: bool | Literal["auto"]) -> Engine | None:
    """The engine that a cell asks for; None for one that is not compiled."""
    return None if asked is False else Engine(asked)


def compile_s(stats: Sequence[Stats]) -> float:
    """Seconds in which something was compiled for these solves."""
    return sum(one.compile_s for one in stats)
