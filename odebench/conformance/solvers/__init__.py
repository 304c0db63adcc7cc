"""The checks of a solver."""

from __future__ import annotations

from collections.abc import Callable

from odebench.contract import Solver


def solver_checks(solver: Solver) -> list[Callable[[Solver], str | None]]:
    """The checks that apply to a solver, by what it declares."""
    return []
