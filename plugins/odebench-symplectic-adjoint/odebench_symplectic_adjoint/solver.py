"""What all solvers of the library have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

import odebench
from odebench.contract import Field, GridRequest, State
from odebench.errors import IncompatibleError
from odebench.numerics.adapted_request import given_grid, outputs_on_points, refuse_unhonoured
from odebench.numerics.lent_field import LentField
from odebench.numerics.outputs import checked_times
from odebench.research_code import ResearchCode, ResearchSolver
from odebench_symplectic_adjoint.code import SOURCE, SYMPLECTIC_ADJOINT
from odebench_symplectic_adjoint.steps import Steps, watched_method

HONOURED = {"rtol", "atol", "first_step", "max_steps", "safety", "min_factor", "max_factor", "norm_elements"}


class SymplecticAdjointSolver(ResearchSolver):
    """A method of `torch_symplectic_adjoint.odeint`, a descendant of torchdiffeq 0.1.1.

    * A step that would pass an output time ends there: nothing is interpolated. Methods without an error estimate take one step
      from each time that they are given to the next, so that the points of a grid are given. Pairs take given steps in the same
      way, their estimate put aside.
    * The controller is purely integral. Times are float64; the field gets them in the state's dtype, at the end of a step the
      number before it.
    * The library differentiates the choice of the first step. For odebench's own gradient methods a norm that no gradient passes
      makes it a constant; no number of the solution changes.
    * The derivative at the end of a step is computed even where no further step follows. The first step is chosen with one more.
    * A tuple is packed: its norm is the root mean square of all elements, where the library would take the largest of the
      tensors'.

    Args:
        source: folder of a clone of https://github.com/tksmatsubara/symplectic-adjoint-method; None takes that in
            ODEBENCH_SYMPLECTIC_ADJOINT_SOURCE.

    Attributes:
        method: the library's name.
        embedded: whether it is an embedded pair, which takes given steps in a way of its own.
    """

    method: ClassVar[str]
    embedded: ClassVar[bool] = False
    code: ClassVar[ResearchCode] = SYMPLECTIC_ADJOINT
    source: ClassVar[str] = SOURCE

    def solve(
        self,
        field: Field,
        y0: State,
        ts: Sequence[float] | Tensor,
        grid: GridRequest,
        inputs: tuple[Tensor, ...] = (),
    ) -> odebench.Solution:
        """As `odebench.Solver.solve` says: step sizes are constants to autograd, the first one too."""
        return self.run(field, y0, ts, grid, self.library.odeint, constant_steps=True)

    def run(
        self,
        field: Field,
        y0: State,
        ts: Sequence[float] | Tensor,
        grid: GridRequest,
        function: Callable[..., Tensor],
        *,
        constant_steps: bool = False,
        declared: tuple[Tensor, ...] | None = None,
        gradient: str = "",
        **arguments: Any,
    ) -> odebench.Solution:
        """Solve with a function of the library.

        Args:
            field, y0, ts, grid: as in `solve`.
            function: one of the library's five.
            constant_steps: whether to keep gradients from passing through the choice of the first step.
            declared: tensors that the library's backward gives gradients to.
            gradient: the name of the gradient method.
            arguments: further ones of `function`.

        Raises:
            DivergedError: the library gave up.
        """
        times = checked_times(ts)
        tolerance = self._tolerance(grid)
        lent = LentField(field, y0, declared=declared, method=gradient)
        y = lent.packing.pack(y0)
        if y.is_complex():
            raise IncompatibleError(
                f"Solver {self.name!r} takes real states only. Give real and imaginary parts as two tensors."
            )
        if declared is not None:
            arguments["adjoint_params"] = declared
        points, places, method, steps, options = times, list(range(len(times))), self.method, None, {}
        if tolerance is None:
            grid = given_grid(grid, times, self.name)
            points, places = outputs_on_points(times, grid, self.name)
        if tolerance is not None:
            steps = Steps(most=tolerance.max_steps, start=times[0], turned=times[-1] < times[0])
        if self.embedded:
            method = watched_method(self.library, self.method)
            options = {"given": True} if tolerance is None else {"steps": steps, **_options(tolerance, constant_steps)}
        if tolerance is not None:
            arguments |= {"rtol": tolerance.rtol, "atol": tolerance.atol}
        t = torch.tensor(points, dtype=torch.float64, device=y.device)
        ys = function(lent, y, t, method=method, options=options, **arguments)
        if len(places) < len(points):
            ys = ys[places]
        lent.end_forward()
        if tolerance is not None:
            grid = steps.told(lent.stats)
        else:
            lent.stats.accepted = grid.steps
        return odebench.Solution(ys=lent.packing.unpack_outputs(ys), grid=grid, stats=lent.stats)

    def _tolerance(self, grid: GridRequest) -> odebench.Tolerance | None:
        if not isinstance(grid, odebench.Tolerance):
            return None
        if not self.adaptive:
            raise IncompatibleError(
                f"Solver {self.name!r} takes fixed steps and cannot follow a tolerance. Give steps or step_size instead."
            )
        refuse_unhonoured(grid, self.name, "symplectic-adjoint", HONOURED)
        return grid


def _options(tolerance: odebench.Tolerance, constant_steps: bool) -> dict[str, Any]:
    """The library's options for the controller of a pair."""
    options: dict[str, Any] = {
        "safety": tolerance.safety, "dfactor": tolerance.min_factor, "ifactor": tolerance.max_factor,
    }  # fmt: skip
    if tolerance.first_step is not None:
        options["first_step"] = tolerance.first_step
    if tolerance.norm_elements is not None or (constant_steps and torch.is_grad_enabled()):
        options["norm"] = _root_mean_square_of_first(tolerance.norm_elements)
    return options


def _root_mean_square_of_first(elements: int | None) -> Callable[[Tensor], Tensor]:
    """The library's norm, of the first elements of a packed state, a constant to autograd."""

    def norm(tensor: Tensor) -> Tensor:
        return tensor.detach().reshape(-1)[:elements].pow(2).mean().sqrt()

    return norm
