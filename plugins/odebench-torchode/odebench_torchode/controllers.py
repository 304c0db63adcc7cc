"""Step size controllers: torchode's own, watched, and one that gives steps out."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torchode
from torch import Tensor

import odebench
from odebench.errors import DivergedError

# Without a least step of the caller's, the length is looked at once in so many attempts: that is a synchronisation with a device.
LOOKED_AT_EVERY = 64


class Watch:
    """The attempts of a solve: where they began, how long they were, and which rows accepted them.

    Args:
        tolerance: how many attempts, and how short, are allowed.
        smallest: the least step where the tolerance has none.
    """

    def __init__(self, tolerance: odebench.Tolerance, smallest: float) -> None:
        self._attempts: list[tuple[Tensor, Tensor, Tensor]] = []
        self._count = 0
        self._most = tolerance.max_steps
        self._smallest = smallest if tolerance.min_step is None else tolerance.min_step
        self._every = LOOKED_AT_EVERY if tolerance.min_step is None else 1
        self.recording = True

    def note(self, t: Tensor, dt: Tensor, accept: Tensor, dt_next: Tensor) -> None:
        """Remember an attempt.

        Raises:
            DivergedError: there were too many, or the next one is too short.
        """
        self._count += 1
        if self.recording:
            self._attempts.append((t, dt, accept))
        if self._count > self._most:
            raise DivergedError(f"torchode: {self._most} steps were not enough.")
        if self._count % self._every == 0:
            # A row that has arrived waits with steps of length 0.
            short = (dt.abs() > 0.0) & (dt_next.abs() < self._smallest)
            if short.any():
                row = int(short.nonzero()[0, 0])
                raise DivergedError(
                    f"torchode: the step size fell to {dt_next[row].item():.3g} at t = {t[row].item():.6g}."
                )

    def end(self, stats: odebench.Stats, per_sample: bool) -> odebench.Grid:
        """The accepted steps; they are forgotten here, and the count begins anew for the backward."""
        t, dt, accept = (torch.stack(list(column)).detach().cpu() for column in zip(*self._attempts, strict=True))
        self._attempts.clear()
        self._count, self.recording = 0, False
        moved = accept & (dt != 0.0)
        stats.rejected = int((~accept & (dt != 0.0)).sum())
        keep = moved.any(dim=1)
        t, dt = t[keep].double(), torch.where(moved, dt, 0.0)[keep].double()
        if not per_sample:
            t, dt = t[:, 0], dt[:, 0]
        stats.accepted = len(t)
        return odebench.Grid(t=t, dt=dt, end=(t[-1] + dt[-1]).reshape(-1)[0].item())


class WatchedIntegral(torchode.IntegralController):
    """torchode's integral controller, watched."""

    def __init__(self, watch: Watch, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.watch = watch

    def adapt_step_size(self, t0: Tensor, dt: Tensor, y0: Tensor, step_result: Any, state: Any, stats: Any) -> Any:
        """As torchode's."""
        adapted = super().adapt_step_size(t0, dt, y0, step_result, state, stats)
        self.watch.note(t0, dt, adapted[0], adapted[1])
        return adapted


class WatchedPid(torchode.PIDController):
    """torchode's PID controller, watched."""

    def __init__(self, watch: Watch, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.watch = watch

    def adapt_step_size(self, t0: Tensor, dt: Tensor, y0: Tensor, step_result: Any, state: Any, stats: Any) -> Any:
        """As torchode's."""
        adapted = super().adapt_step_size(t0, dt, y0, step_result, state, stats)
        self.watch.note(t0, dt, adapted[0], adapted[1])
        return adapted


class GivenSteps(torchode.FixedStepController):
    """The steps of a grid, those inside the time span that is asked for; torchode's adjoint asks for one span after the other.

    torchode adds up step lengths, so that its own `FixedStepController` with a hundredth of the span can take a 101st step; here
    each length is what is left from where rounding led to the next point.

    Args:
        starts: where steps begin, rising or falling; by row `(steps, batch)`.
        lengths: of the steps, signed.
        end: where the last one ends.
    """

    def __init__(self, starts: np.ndarray, lengths: np.ndarray, end: float) -> None:
        super().__init__()
        self._starts, self._lengths, self._end = starts, lengths, end
        self._ahead: list[Tensor] = []

    def init(
        self, term: Any, problem: torchode.InitialValueProblem, method_order: int, dt0: Any, *, stats: Any, args: Any
    ) -> Any:
        """As torchode's."""
        if self._starts.ndim == 2:
            lengths = torch.from_numpy(self._lengths[::-1].copy())
        else:
            lengths, _ = self.between(problem.t_start[0].item(), problem.t_end[0].item(), problem.time_dtype)
            lengths = torch.from_numpy(lengths[::-1].copy())[:, None].expand(-1, problem.batch_size)
        self._ahead = list(lengths.to(problem.t_start).unbind())
        return super().init(term, problem, method_order, self._ahead.pop(), stats=stats, args=args)

    def between(self, start: float, end: float, dtype: torch.dtype) -> tuple[np.ndarray, np.ndarray]:
        """The lengths of the steps from `start` to `end` in `dtype`, and where torchode's sum of them arrives after each."""
        number = np.float32 if dtype == torch.float32 else np.float64
        points = np.append(self._starts, self._end)
        slack = 1e-9 * abs(points[-1] - points[0]) / len(points)
        inside = points[(points > min(start, end) + slack) & (points < max(start, end) - slack)]
        if (points[-1] > points[0]) != (end > start):
            inside = inside[::-1]
        # On the whole grid its own lengths serve as long as their sum meets its points, so that a solve is repeated bit for bit.
        own = self._lengths if len(inside) == len(points) - 2 and start == points[0] else None
        lengths, reached = [], [number(start)]
        for index, point in enumerate((*inside, end)):
            exact = own is not None and reached[-1] == number(self._starts[index])
            lengths.append(number(own[index]) if exact else number(point) - reached[-1])
            reached.append(reached[-1] + lengths[-1])
        return np.array(lengths), np.array(reached)

    def adapt_step_size(self, t0: Tensor, dt: Tensor, y0: Tensor, step_result: Any, state: Any, stats: Any) -> Any:
        """As torchode's: every step is accepted, and the next one leads to the next point."""
        accept = super().adapt_step_size(t0, dt, y0, step_result, state, stats)[0]
        # Where rounding left a remainder, torchode goes on for one more step, cut at the end.
        return accept, self._ahead.pop() if self._ahead else dt, state, None
