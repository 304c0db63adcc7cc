"""One grid for the whole training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from odebench.contract import Field, GridRequest, Solver, State, StepPolicy, Trial, Try
from odebench.errors import IncompatibleError


class Fixed(StepPolicy):
    """Keeps the grid that it is given; costs no evaluation."""

    name = "fixed"

    def begin(
        self,
        solver: Solver,
        build_solver: Callable[[str | dict[str, Any]], Solver],
        field: Field,
        y0: State,
        ts: Sequence[float],
        grid: GridRequest | None,
    ) -> GridRequest:
        """The grid that was asked for; as `StepPolicy.begin` says."""
        if grid is None:
            raise IncompatibleError(
                "Step policy 'fixed' keeps the grid that it is given, and none was given. Give steps, a step size or a "
                "tolerance."
            )
        self._grid = grid
        return grid

    @property
    def due(self) -> bool:
        """Never: nothing is looked at."""
        return False

    def after(self, own: Trial, attempt: Try) -> GridRequest:
        """The same grid."""
        return self._grid

    def state_dict(self) -> dict[str, Any]:
        """Nothing is remembered."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing is remembered."""
