"""Steps that are given, as a controller of diffrax's. Imports JAX."""

from __future__ import annotations

from typing import Any

import diffrax
import jax.numpy as jnp


class GivenSteps(diffrax.AbstractStepSizeController):
    """Steps that lead from one point to the next, wherever a solve begins among them and in whichever direction it goes.

    diffrax's own `StepTo` begins at its first point and ends at its last. `BacksolveAdjoint` solves from each output time to the one
    before it, and rows with steps of their own have different numbers of them.

    Attributes:
        points: rising once `wrap` has turned them; the last may be repeated.
    """

    points: Any

    def wrap(self, direction: Any) -> GivenSteps:
        """The points in the direction of a solve."""
        return GivenSteps(jnp.sort(self.points * direction))

    def init(
        self, terms: Any, t0: Any, t1: Any, y0: Any, dt0: Any, args: Any, func: Any, error_order: Any
    ) -> tuple[Any, Any]:
        """The end of the first step; there is no state."""
        return self._after(t0), None

    def adapt_step_size(
        self,
        t0: Any,
        t1: Any,
        y0: Any,
        y1_candidate: Any,
        args: Any,
        y_error: Any,
        error_order: Any,
        controller_state: Any,
    ) -> tuple[Any, Any, Any, Any, Any, Any]:
        """Every step is accepted."""
        return True, t1, self._after(t1), False, None, diffrax.RESULTS.successful

    def _after(self, t: Any) -> Any:
        index = jnp.searchsorted(self.points, t, side="right")
        return self.points[jnp.minimum(index, len(self.points) - 1)]
