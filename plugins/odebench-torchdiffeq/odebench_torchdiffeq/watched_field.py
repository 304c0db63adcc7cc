"""The field as torchdiffeq sees it: counted, and, with error control, watched step by step."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

import odebench
from odebench.contract import Field, State
from odebench.errors import DivergedError
from odebench.numerics.reach import refuse_undeclared

HALF = (torch.float16, torch.bfloat16)


class CountedField:
    """`field`, whose evaluations are counted.

    A plain object, not a module: torchdiffeq sees neither parameters nor the field's own callbacks.

    Args:
        field: the vector field.
        declared: tensors that an adjoint gives gradients to; None where autograd finds all by itself.
        method: the name of the adjoint, for messages.

    Attributes:
        stats: evaluations before `forward_is_over`, and after it.
    """

    def __init__(self, field: Field, declared: Sequence[Tensor] | None = None, method: str = "") -> None:
        self.stats = odebench.Stats()
        self.forward_is_over = False
        self._field = field
        self._declared = declared
        self._method = method

    def __call__(self, t: Tensor, y: State) -> State:
        if t.dtype in HALF:  # torchdiffeq casts times to the state's dtype; a field gets float32 at least
            t = t.float()
        derivative = self._field(t, y)
        if self.forward_is_over:
            self.stats.evaluations_backward += 1
            if self._declared is not None:
                self._refuse_undeclared(t, y, derivative)
        else:
            self.stats.evaluations_forward += 1
        return derivative

    def _refuse_undeclared(self, t: Tensor, y: State, derivative: State) -> None:
        """Once, in the first evaluation of the backward: torchdiffeq would lose these gradients in silence."""
        known = (*self._declared, *(y if isinstance(y, tuple) else (y,)), t)
        outputs = derivative if isinstance(derivative, tuple) else (derivative,)
        refuse_undeclared(self._field, outputs, (), known, self._method)
        self._declared = None


class WatchedField(CountedField):
    """A counted field with the callbacks of torchdiffeq's adaptive solvers: they tell the accepted steps.

    A callback keeps two 0-dim tensors a step and looks at none of them, so that it costs well under a microsecond of the
    some 700 that a step takes, and no synchronisation with a device.

    Args:
        max_steps: more attempts than this, forward or backward, end the solve.
        min_step: a shorter attempt ends the solve; None leaves it to torchdiffeq, which goes on until the time stands still.
    """

    def __init__(
        self,
        field: Field,
        declared: Sequence[Tensor] | None = None,
        method: str = "",
        *,
        max_steps: int,
        min_step: float | None = None,
    ) -> None:
        super().__init__(field, declared, method)
        self._starts: list[Tensor] = []
        self._lengths: list[Tensor] = []
        self._max_steps = max_steps
        self._min_step = min_step
        self._backward_steps = 0
        if min_step is not None:
            self.callback_step = self._check_length

    def callback_accept_step(self, t0: Tensor, y0: State, dt: Tensor) -> None:
        """torchdiffeq accepted a step from t0; dt is positive also where time falls."""
        self._starts.append(t0)
        self._lengths.append(dt)
        self.stats.accepted += 1
        self._check_count(self.stats.accepted + self.stats.rejected)

    def callback_reject_step(self, t0: Tensor, y0: State, dt: Tensor) -> None:
        """torchdiffeq rejected a step."""
        self.stats.rejected += 1
        self._check_count(self.stats.accepted + self.stats.rejected)

    def callback_step_adjoint(self, t0: Tensor, y0: State, dt: Tensor) -> None:
        """torchdiffeq attempts a step of the adjoint's solve, where its own assertion would surface in a backward."""
        self._backward_steps += 1
        self._check_count(self._backward_steps)
        if self._min_step is not None or t0 + dt == t0:
            self._check_length(t0, y0, dt)

    def grid(self, direction: float) -> odebench.Grid | None:
        """The accepted steps, the last of which may pass the end; None where there was none. They are forgotten here.

        An adjoint keeps the field until its backward, and is not to keep two tensors a step with it.
        """
        if not self._starts:
            return None
        starts = torch.stack(self._starts).detach().double().cpu()
        lengths = torch.stack(self._lengths).detach().double().cpu() * direction
        self._starts.clear()
        self._lengths.clear()
        return odebench.Grid(t=starts, dt=lengths, end=(starts[-1] + lengths[-1]).item())

    def _check_count(self, attempts: int) -> None:
        if attempts > self._max_steps:
            raise DivergedError(f"torchdiffeq: {self._max_steps} steps were not enough.")

    def _check_length(self, t0: Tensor, y0: State, dt: Tensor) -> None:
        if self._min_step is None or dt < self._min_step:
            raise DivergedError(f"torchdiffeq: the step size fell to {dt.item():.3g} at t = {t0.item():.6g}.")
