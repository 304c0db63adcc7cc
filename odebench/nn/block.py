"""A neural ODE as a block of a network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from odebench import api
from odebench.contract import GradientMethod, Grid, GridRequest, Solution, Solver, State, Stats
from odebench.errors import GridError, IncompatibleError
from odebench.nn.frozen import HeldField


class ODEBlock(nn.Module):
    """z ↦ z(t1), where dz/dt = field(t, z) and z(t0) is the input. Blocks can be stacked, nested, compiled and distributed.

    What a network of L blocks with N steps each holds for its backward pass is said by the gradient method: "direct" the graphs
    of all steps, O(L N); "anode" the inputs of the blocks, and the graph of one block while it is gone through, O(L) + O(N);
    "anode" with slots O(L) + O(slots).

        network = nn.Sequential(
            nn.Conv2d(3, 64, 3, padding=1),
            ODEBlock(ConvField(64), solver="euler", steps=5, gradient="anode"),
            ODEBlock(ConvField(64), solver="dopri5", rtol=1e-3, gradient={"name": "revolve", "memory": "64MiB"}),
        )

    Under autocast a state of half precision is carried on in float32: sums of many small increments need it. The field computes
    as autocast says.

    Args:
        field: called as `field(t, z)`, t a 0-dim tensor; its parameters are the block's.
        solver: a name, a table with parameters, or an instance.
        gradient: likewise.
        steps: number of equal steps.
        step_size: instead, their length.
        rtol, atol: instead, tolerances of an adaptive solver; 1e-6 where nothing is said.
        batch: "joint" steps for the whole batch, or "per-sample", with tolerances.
        grid: instead, a `StepSize`, a `Tolerance` with more options, or a `Grid`.
        span: t0 and t1.
        takes_time: whether the field is called with the time; otherwise as `field(z)`.
        compile: as in `odebench.solve`.

    Attributes:
        stats: counts of the latest solve; those of the backward pass are filled in when it has run.
        latest_grid: its steps.

    Raises:
        UnknownNameError: no such solver or gradient method.
        IncompatibleError: the gradient method cannot work with the solver, or the field is no module.
        GridError: steps, tolerances or times that describe no solve.
    """

    def __init__(
        self,
        field: nn.Module,
        *,
        solver: api.Named | Solver = api.DEFAULT_SOLVER,
        gradient: api.Named | GradientMethod = api.DEFAULT_GRADIENT,
        steps: int | None = None,
        step_size: float | None = None,
        rtol: float | None = None,
        atol: float | None = None,
        batch: str = "joint",
        grid: GridRequest | None = None,
        span: Sequence[float] = (0.0, 1.0),
        takes_time: bool = True,
        compile: api.Compile = False,  # noqa: A002 - torch's own word for it
    ) -> None:
        super().__init__()
        if not isinstance(field, nn.Module):
            raise IncompatibleError(
                f"The field of an ODEBlock is {field!r}; it must be a module, so that its parameters are the block's."
            )
        self.field = field if takes_time else HeldField(field)
        self.solver = solver if isinstance(solver, Solver) else api.build("solver", solver)
        self.gradient = gradient if isinstance(gradient, GradientMethod) else api.build("gradient", gradient)
        if (reason := self.gradient.supports(self.solver)) is not None:
            raise IncompatibleError(
                f"gradient {self.gradient.name!r} cannot work with solver {self.solver.name!r}: {reason}"
            )
        self.request = api.grid_request(self.solver, rtol, atol, batch, steps, step_size, grid)
        self.span = tuple(float(t) for t in span)
        if len(self.span) != 2 or self.span[0] == self.span[1]:
            raise GridError(f"The span of an ODEBlock is {span!r}; it must be two different times.")
        self.compile_solve = compile
        self.stats = Stats()
        self.latest_grid: Grid | None = None

    def forward(self, z: State, inputs: tuple[Tensor, ...] = ()) -> State:
        """The state at the end of the span.

        Args:
            z: `(batch, *state)`, or a tuple of such tensors.
            inputs: tensors that the field uses and does not own, to which gradients must flow.
        """
        y1 = self.solve(z, self.span, inputs).y1
        # Copies, so that what the next layers keep is a state, and not all the solution's states.
        return tuple(leaf.clone() for leaf in y1) if isinstance(y1, tuple) else y1.clone()

    def solve(self, z: State, ts: Sequence[float], inputs: tuple[Tensor, ...] = ()) -> Solution:
        """The states at `ts`, of which the first is where z is; divided as the block divides its span."""
        state = tuple(map(_whole, z)) if isinstance(z, tuple) else _whole(z)
        solution = api.solve(
            self.field,
            state,
            ts,
            solver=self.solver,
            gradient=self.gradient,
            grid=self.request,
            inputs=inputs,
            compile=self.compile_solve,
        )
        self.stats, self.latest_grid = solution.stats, solution.grid
        return solution

    def extra_repr(self) -> str:
        """Solver, gradient method and division of time."""
        return f"solver={self.solver.name}, gradient={self.gradient.name}, {self.request}, span={self.span}"


def _whole(leaf: Tensor) -> Tensor:
    """In float32 where autocast made it half."""
    half = leaf.dtype in (torch.float16, torch.bfloat16)
    return leaf.float() if half and torch.is_autocast_enabled(leaf.device.type) else leaf
