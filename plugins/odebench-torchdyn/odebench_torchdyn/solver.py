"""What all solvers of torchdyn have in common."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torchdyn.numerics.odeint import odeint
from torchdyn.numerics.sensitivity import _gather_odefunc_adjoint, _gather_odefunc_interp_adjoint
from torchdyn.numerics.solvers.ode import str_to_solver

import odebench
from odebench.contract import Field, GridRequest, State
from odebench.errors import DivergedError, GridError, IncompatibleError
from odebench.numerics.adapted_request import given_grid, refuse_unhonoured
from odebench.numerics.outputs import checked_times, nearest_fitting_count, outputs_by_step
from odebench_torchdyn.watched_field import WatchedField

HONOURED = {"rtol", "atol", "max_steps", "safety", "min_factor", "max_factor"}


class TorchdynSolver(odebench.OpaqueSolver):
    """A method of `torchdyn.numerics.odeint`.

    `torchdyn.core.ODEProblem`, which adds the choice of the gradient to that, is passed by: importing it imports
    pytorch-lightning, and fails with it where torchvision does not fit the build of torch. What it calls is called here.

    * torchdyn is called from one output time to the next. In a single call it tells a state only where t + dt equals an output
      time to the last bit, and finds output times of fixed steps with `torch.isclose`, which takes neighbours for the same
      where they differ by less than 1e-5 of the time.
    * Adaptive methods cut a step at the end of a call; they take no steps that they are given. `first_step` cannot be chosen.
      Tableaux are built in the state's dtype: torchdyn, given a name by `ODEProblem`, would round those of float64 to float32.
    * After the first step its step lengths are float32, whatever the state is, because its controller's factors are: errors below about
      1e-8 cannot be had. They are handed to it in float32 here too, as everybody's torchdyn has them.
    * Fixed steps are given point by point; output times must fall on them.
    * torchdyn never gives up: at a state that is not finite it would shorten its step for ever. Here the length is looked at once in
      32 attempts.
    * Reversed time is turned by torchdyn; it chooses the first step with the field at the wrong time then.

    Source: M. Poli et al., "TorchDyn: A Neural Differential Equations Library", 2020, arXiv:2009.09346; torchdyn 1.0.6.
    """

    method: ClassVar[str]
    first_node: ClassVar[float] = 0.0
    source: ClassVar[str] = "M. Poli et al., arXiv:2009.09346; torchdyn 1.0.6"

    def solve(
        self,
        field: Field,
        y0: State,
        ts: Sequence[float] | Tensor,
        grid: GridRequest,
        inputs: tuple[Tensor, ...] = (),
    ) -> odebench.Solution:
        """As `odebench.Solver.solve` says."""
        return self.run(field, y0, ts, grid)

    def run(
        self,
        field: Field,
        y0: State,
        ts: Sequence[float] | Tensor,
        grid: GridRequest,
        *,
        sensitivity: str = "autograd",
        declared: tuple[Tensor, ...] | None = None,
        gradient: str = "",
    ) -> odebench.Solution:
        """Solve as an `ODEProblem` does.

        Args:
            field, y0, ts, grid: as in `solve`.
            sensitivity: torchdyn's name of the way to a gradient.
            declared: tensors that an adjoint gives gradients to.
            gradient: its name.

        Raises:
            DivergedError: the step size fell to nothing, or there were too many steps.
        """
        times = checked_times(ts)
        tolerance = self._tolerance(grid)
        if tolerance is None:
            grid = given_grid(grid, times, self.name)
        lent = WatchedField(
            field, y0, declared=declared, method=gradient, most=None if tolerance is None else tolerance.max_steps
        )
        if declared == ():  # torchdyn joins the parameters to one tensor
            lent.register_parameter(
                "none", torch.nn.Parameter(torch.zeros(1, dtype=lent.time_dtype, device=lent.device))
            )
        y = lent.packing.pack(y0)
        solver = str_to_solver(self.method, y.dtype)
        if tolerance is None:
            rtol = atol = 1e-3  # torchdyn's defaults, which it takes as a sign that none were set
        else:
            rtol, atol = tolerance.rtol, tolerance.atol
            solver.safety = torch.tensor([tolerance.safety])
            solver.min_factor = torch.tensor([tolerance.min_factor])
            solver.max_factor = torch.tensor([tolerance.max_factor])
        if sensitivity == "autograd":

            def call(x: Tensor, span: Tensor) -> Tensor:
                # torchdyn turns falling times round, and not those that are to be saved.
                last = span[-1:] if span[-1] > span[0] else -span[-1:]
                return odeint(lent, x, span, solver, atol, rtol, save_at=last if tolerance is None else ())[1]

        else:
            gather = _gather_odefunc_adjoint if sensitivity == "adjoint" else _gather_odefunc_interp_adjoint
            # The adjoint goes back over the states that are saved, a step between each two.
            adjoint = gather(lent, None, solver, atol, rtol, None, solver, atol, rtol, None, "standard").apply

            def call(x: Tensor, span: Tensor) -> Tensor:
                return adjoint(torch.cat([p.contiguous().flatten() for p in lent.parameters()]), x, span)[1]

        ys, state = [y], self.begun(lent, y, times)
        for span in _spans(times, grid if tolerance is None else None, self.name):
            lent.begin_call()
            points = torch.tensor(span, dtype=lent.time_dtype, device=y.device)
            states = call(state, points)
            if tolerance is not None and len(states) < 2:
                raise DivergedError(
                    f"Solver {self.name!r} lost the state at {span[-1]!r}: a sum of steps missed it by rounding."
                )
            state = states[-1]
            ys.append(self.told(state, y))
        lent.end_forward()
        if tolerance is None:
            lent.stats.accepted = grid.steps
        else:
            grid = lent.told_steps(times[:-1], times[-1], self.first_node)
        return odebench.Solution(ys=lent.packing.unpack_outputs(torch.stack(ys)), grid=grid, stats=lent.stats)

    def begun(self, lent: WatchedField, y: Tensor, ts: Sequence[float]) -> Tensor:
        """What torchdyn starts from."""
        return y

    def told(self, state: Tensor, like: Tensor) -> Tensor:
        """The state of the field in what torchdyn gives."""
        return state

    def _tolerance(self, grid: GridRequest) -> odebench.Tolerance | None:
        if isinstance(grid, odebench.Tolerance):
            if not self.adaptive:
                raise IncompatibleError(
                    f"Solver {self.name!r} takes fixed steps and cannot follow a tolerance. Give steps or step_size instead."
                )
            refuse_unhonoured(grid, self.name, "torchdyn", HONOURED)
            return grid
        if self.adaptive:
            raise IncompatibleError(
                f"Solver {self.name!r} chooses its steps itself and takes none that it is given. Give rtol and atol."
            )
        return None


def _spans(ts: Sequence[float], grid: odebench.Grid | None, name: str) -> list[list[float]]:
    """The points of each call: from one output time to the next, with the grid points between them."""
    if grid is None:
        return [list(pair) for pair in itertools.pairwise(ts)]
    placed = outputs_by_step(ts, grid.t.tolist(), grid.dt.tolist(), grid.end)
    if any(share not in (0.0, 1.0) for here in placed.values() for _, share in here):
        fitting = nearest_fitting_count(ts, grid.steps)
        advice = f"The nearest number of uniform steps that does is {fitting}." if fitting else "Use other times."
        raise GridError(f"Solver {name!r} has no interpolant, so output times must fall on the grid. {advice}")
    points = [*grid.t.tolist(), grid.end]
    spans, first = [], 0
    for step in sorted(placed):
        spans.append(points[first : step + 2])
        first = step + 1
    return spans
