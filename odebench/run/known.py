"""What the host knows about one cell: references, kept on disk, and the exact gradient of the cell's own grid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from odebench.contract import Grid, Known, Model, Problem, Reference, Solver
from odebench.contract import relative_l2 as relative_l2
from odebench.errors import NotKnownError
from odebench.run.oracle import exact_discrete_gradient
from odebench.run.reference import reference_gradient, reference_solution
from odebench.run.reference_cache import ReferenceCache, problem_key


class CellKnown(Known):
    """The judge's knowledge of one cell. Nothing is computed before it is asked for, and nothing twice.

    Args:
        model: the model of the cell.
        seed: the cell's seed.
        dtype: the dtype that the cell's problem was rounded to.
        parameters: the model's parameters, defaults included (JSON-able): they are part of the cache's key.
        version: version of the distribution that the model comes from.
        solver: the cell's solver; None where no discrete gradient will be asked for.
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
        solver: Solver | None = None,
        grid: Grid | None = None,
        cache: ReferenceCache | None = None,
    ) -> None:
        self._model, self._seed, self._dtype = model, seed, dtype
        self._parameters, self._version = dict(parameters or {}), version
        self._solver, self._grid = solver, grid
        self._cache = ReferenceCache() if cache is None else cache
        self._found: dict[object, Reference | NotKnownError] = {}

    def solution(self, ts: tuple[float, ...]) -> Reference:
        """As `Known.solution`; times among the problem's own output times share one computation."""
        ts = tuple(ts)
        whole = self._problem().ts
        if ts != whole and set(ts) <= set(whole) and ts[0] == whole[0]:
            reference = self.solution(whole)
            chosen = [whole.index(t) for t in ts]
            value = reference.value
            value = tuple(leaf[chosen] for leaf in value) if isinstance(value, tuple) else value[chosen]
            return Reference(value=value, uncertainty=reference.uncertainty, method=reference.method)
        return self._once(("solution", ts), lambda: self._cached(f"solution {list(ts)}", "solution", ts))

    def gradient(self) -> Reference:
        """As `Known.gradient`."""
        return self._once("gradient", lambda: self._cached("gradient", "gradient", ()))

    def discrete_gradient(self) -> Reference:
        """As `Known.discrete_gradient`; never kept on disk, since every grid is another question."""
        return self._once("discrete", self._discrete)

    def _discrete(self) -> Reference:
        if self._solver is None:
            raise NotKnownError("No solver was named, so there is no discrete solution to differentiate.")
        return exact_discrete_gradient(self._problem(), self._solver, self._grid)

    def _cached(self, kind: str, what: str, ts: tuple[float, ...]) -> Reference:
        def compute() -> Reference:
            return (
                reference_solution(self._problem(), ts) if what == "solution" else reference_gradient(self._problem())
            )

        dtype = str(self._dtype).removeprefix("torch.")
        key = problem_key(kind, self._model, self._parameters, self._version, self._seed, dtype, self._problem())
        return self._cache.get(key, compute)

    def _problem(self) -> Problem:
        """A fresh instance, rounded as the cell's was: lifting it to float64 must not touch anybody else's."""
        return self._model.problem(self._seed).to(self._dtype, "cpu")

    def _once(self, key: object, compute: Any) -> Reference:
        if key not in self._found:
            try:
                self._found[key] = compute()
            except NotKnownError as error:
                self._found[key] = error
        found = self._found[key]
        if isinstance(found, NotKnownError):
            raise found
        return found
