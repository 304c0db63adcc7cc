"""What all methods of torchsde have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
import torchsde
from torch import Tensor

import odebench
from odebench.contract import Field, GridRequest, State
from odebench.errors import GridError, IncompatibleError
from odebench.numerics.adapted_request import given_grid
from odebench.numerics.lent_field import LentField
from odebench.numerics.outputs import checked_times, nearest_fitting_count, outputs_by_step

# A step counts as equal to the others within this share of its length.
EQUAL = 1e-9


class WithoutNoise(LentField):
    """The field as an equation with noise, the noise being zero; time runs forward, whatever its direction.

    torchsde takes states `[batch, features]`; the whole state is one row.

    Attributes:
        sde_type, noise_type: as torchsde asks.
    """

    noise_type = "diagonal"

    def __init__(self, *positional: Any, sde_type: str, direction: float, start: float, **named: Any) -> None:
        super().__init__(*positional, **named)
        self.sde_type, self._direction, self._start = sde_type, direction, start

    def f(self, t: Tensor, y: Tensor) -> Tensor:
        """The drift."""
        derivative = self(self._start + self._direction * t, y)
        return derivative if self._direction > 0 else -derivative

    def g(self, t: Tensor, y: Tensor) -> Tensor:
        """The diffusion."""
        return torch.zeros_like(y)


class NoNoise(torchsde.BaseBrownian):
    """A Brownian motion that stands still: torchsde's own would draw random numbers, which are multiplied with zero.

    Args:
        like: a state, `[batch, features]`.
    """

    def __init__(self, like: Tensor) -> None:
        super().__init__()
        self._shape, self._dtype, self._device = like.shape, like.dtype, like.device

    def __call__(self, ta: Any, tb: Any = None, return_U: bool = False, return_A: bool = False) -> Tensor:  # noqa: N803
        """No increment."""
        return torch.zeros(self._shape, dtype=self._dtype, device=self._device)

    def __repr__(self) -> str:
        return "NoNoise()"

    @property
    def dtype(self) -> torch.dtype:
        """Of the state."""
        return self._dtype

    @property
    def device(self) -> torch.device:
        """Of the state."""
        return self._device

    @property
    def shape(self) -> torch.Size:
        """Of the state."""
        return self._shape

    @property
    def levy_area_approximation(self) -> str:
        """None is needed."""
        return "none"


class TorchsdeSolver(odebench.OpaqueSolver):
    """A method of `torchsde.sdeint` for the equation without noise.

    * Steps are equal, of length `dt`, but for a shorter last one; output times must fall on them. torchsde adds lengths up and cuts the last one at the end:
      where the sum falls short by a unit of rounding it takes one step more. Here `dt` is longer by two units of rounding of the
      span.
    * Time runs from 0 inside torchsde, whatever the direction.
    * The Brownian motion is one that stands still: torchsde's own draws numbers in a tree, which took over 20 s for steps of 0.05
      in float64.
    * torchsde's error control compares a step with two of half the length; it is made for noise, and not offered.

    Source: X. Li, T.-K. L. Wong, R. T. Q. Chen, D. Duvenaud, AISTATS 2020, arXiv:2001.01328; torchsde 0.2.6.
    """

    method: ClassVar[str]
    sde_type: ClassVar[str] = "stratonovich"
    source: ClassVar[str] = "X. Li et al., AISTATS 2020, arXiv:2001.01328; torchsde 0.2.6"

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
        function: Callable[..., Tensor] = torchsde.sdeint,
        declared: tuple[Tensor, ...] | None = None,
        gradient: str = "",
        **arguments: Any,
    ) -> odebench.Solution:
        """Solve with `sdeint`, or another function of torchsde.

        Args:
            field, y0, ts, grid: as in `solve`.
            function, arguments: what is called, and with which further arguments.
            declared: tensors that an adjoint gives gradients to.
            gradient: its name.
        """
        times = checked_times(ts)
        if isinstance(grid, odebench.Tolerance):
            raise IncompatibleError(
                f"Solver {self.name!r} takes fixed steps and cannot follow a tolerance. Give steps or step_size instead."
            )
        grid = given_grid(grid, times, self.name)
        dt = self._equal_steps(grid, times)
        direction = 1.0 if times[-1] > times[0] else -1.0
        lent = WithoutNoise(
            field, y0, sde_type=self.sde_type, direction=direction, start=times[0], declared=declared, method=gradient
        )
        row = lent.packing.pack(y0).reshape(1, -1)
        slack = 2 * torch.finfo(lent.time_dtype).eps * abs(times[-1] - times[0])
        asked = torch.tensor([abs(t - times[0]) for t in times], dtype=lent.time_dtype, device=row.device)
        ys = function(lent, row, asked, bm=NoNoise(row), method=self.method, dt=dt + slack, **arguments)
        lent.end_forward()
        lent.stats.accepted = grid.steps
        ys = ys.reshape(len(times), *lent.shape)
        return odebench.Solution(ys=lent.packing.unpack_outputs(ys), grid=grid, stats=lent.stats)

    def _equal_steps(self, grid: odebench.Grid, ts: Sequence[float]) -> float:
        placed = outputs_by_step(ts, grid.t.tolist(), grid.dt.tolist(), grid.end)
        lengths = grid.dt.abs()
        length = lengths[0].item()
        uneven = bool((lengths[:-1] - length).abs().max() > EQUAL * length) if len(lengths) > 1 else False
        longer = lengths[-1].item() > length * (1.0 + EQUAL)
        if uneven or longer or abs(grid.end - ts[-1]) > EQUAL * length:
            raise GridError(
                f"Solver {self.name!r} takes equal steps from the first to the last output time, of which the last may be shorter."
            )
        if any(share not in (0.0, 1.0) for here in placed.values() for _, share in here):
            fitting = nearest_fitting_count(ts, grid.steps)
            advice = f"The nearest number of uniform steps that does is {fitting}." if fitting else "Use other times."
            raise GridError(f"Solver {self.name!r} has no interpolant, so output times must fall on the grid. {advice}")
        return length
