"""What the host knows about one cell: references, kept on disk, and the exact gradient of the cell's own grid."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from odebench.contract import Grid, Known, Model, Problem, Reference, Solver
from odebench.contract import relative_l2 as relative_l2
from odebench.errors import NotKnownError
from odebench.plan.cell import Cell
from odebench.plugins import Registry
from odebench.run.bench import build, dtype_of
from odebench.run.oracle import exact_discrete_gradient
from odebench.run.reference import reference_gradient, reference_solution
from odebench.run.reference_cache import ReferenceCache, problem_key


class ProblemKnown(Known):
    """The judge's knowledge of one problem. Nothing is computed before it is asked for, and nothing twice.

    Args:
        model: the model.
        seed: of its problem.
        dtype: to which the problem was rounded.
        parameters: the model's parameters, defaults included (JSON-able): they are part of the cache's key.
        version: version of the distribution that the model comes from.
        solver: gives the solver of the discrete solution; None where no discrete gradient will be asked for.
        grid: the steps that it took; None where it does not tell.
        cache: where references are kept; None takes the user's cache folder.
    """

    def __init__(
        self,
        *,
        model: Model,
        seed: int,
        dtype: torch.dtype,
        parameters: Mapping[str, Any] | None = None,
        version: str = "",
        solver: Callable[[], Solver] | None = None,
        grid: Grid | None = None,
        cache: ReferenceCache | None = None,
    ) -> None:
        self._model, self._seed, self._dtype = model, seed, dtype
        self._parameters, self._version = dict(parameters or {}), version
        self._solver, self._grid = solver, grid
        self._cache = ReferenceCache() if cache is None else cache
        self._found: dict[object, Reference | NotKnownError] = {}

    @cached_property
    def problem(self) -> Problem:
        """The problem, rounded, on CPU."""
        return self._fresh_problem()

    def solution(self, ts: tuple[float, ...]) -> Reference:
        """As `Known.solution`; times among the problem's own output times share one computation."""
        ts, whole = tuple(ts), self.problem.ts
        if ts == whole or not set(ts) <= set(whole) or ts[0] != whole[0]:
            return self._once(f"solution at {list(ts)}", lambda: reference_solution(self._fresh_problem(), ts))
        reference = self.solution(whole)
        chosen, value = [whole.index(t) for t in ts], reference.value
        value = tuple(leaf[chosen] for leaf in value) if isinstance(value, tuple) else value[chosen]
        return replace(reference, value=value)

    def gradient(self) -> Reference:
        """As `Known.gradient`."""
        return self._once("gradient", lambda: reference_gradient(self._fresh_problem()))

    def discrete_gradient(self) -> Reference:
        """As `Known.discrete_gradient`; not kept on disk, since every grid is another question."""
        if self._solver is None:
            raise NotKnownError("No solver was named, so there is no discrete solution to differentiate.")
        return self._remember(
            "discrete", lambda: exact_discrete_gradient(self._fresh_problem(), self._solver(), self._grid)
        )

    def _once(self, kind: str, compute: Callable[[], Reference]) -> Reference:
        dtype = str(self._dtype).removeprefix("torch.")
        question = (kind, self._model, self._parameters, self._version, self._seed, dtype, self.problem)
        return self._remember(kind, lambda: self._cache.get(problem_key(*question), compute))

    def _remember(self, kind: str, compute: Callable[[], Reference]) -> Reference:
        if kind not in self._found:
            try:
                self._found[kind] = compute()
            except NotKnownError as error:
                self._found[kind] = error
        found = self._found[kind]
        if isinstance(found, NotKnownError):
            raise found
        return found

    def _fresh_problem(self) -> Problem:
        """An instance of its own: what lifts it to float64 moves its field in place."""
        return self._model.problem(self._seed).to(self._dtype, "cpu")


class CellKnown(ProblemKnown):
    """The judge's knowledge of one cell. The solver is built only when its own `step` may be needed.

    Args:
        cell: the question.
        registry: where its model and solver are found.
        grid: the steps that the answer took; None where the solver does not tell.
        cache: folder of references; None takes the user's.
        solver: gives the solver where the registry has none; None asks the registry.
        discrete: gives the discrete gradient where the solver can take its steps elsewhere only; None replays them here.
    """

    def __init__(
        self,
        cell: Cell,
        registry: Registry,
        grid: Grid | None,
        *,
        cache: str | Path | None = None,
        solver: Callable[[], Solver] | None = None,
        discrete: Callable[[], Reference] | None = None,
    ) -> None:
        self._discrete = discrete
        entry = registry.get("model", cell.model.name)
        super().__init__(
            model=entry.build(**cell.model.parameters),
            seed=cell.seed,
            dtype=dtype_of(cell),
            parameters=cell.model.parameters,
            version=f"{entry.distribution} {entry.version}",
            solver=solver or (lambda: build("solver", cell.solver, registry)),
            grid=grid,
            cache=ReferenceCache(None if cache is None else Path(cache)),
        )

    def discrete_gradient(self) -> Reference:
        """As `Known.discrete_gradient`."""
        return super().discrete_gradient() if self._discrete is None else self._remember("discrete", self._discrete)
