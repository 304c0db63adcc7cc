"""A field that takes Python floats for times, and counts its evaluations."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from odebench.errors import FieldError


class TimedField:
    """`field(t, y)` with t a Python float, or a tensor, which is passed on.

    A float becomes a 0-dim tensor on y's device in y's real dtype (float32 for half types). Those that a solver announces
    with `announce` are made in one go: one tensor, and a view of it for each time, instead of a tensor for each stage.

    An engine whose every microsecond counts calls `function(times[t], y)` itself, and adds to `evaluations`.

    Attributes:
        function: the field, which takes tensors.
        times: the tensor of each time.
        evaluations: how often the field was called.
        rows_interact: whether rows of the batch depend on each other, where an implicit method has found out; else None.
    """

    __slots__ = ("evaluations", "function", "rows_interact", "times")

    def __init__(self, field: Callable[[Tensor, Tensor], Tensor], y0: Tensor) -> None:
        self.function = field
        self.times = _Times(time_dtype(y0.dtype), y0.device)
        self.evaluations = 0
        self.rows_interact: bool | None = None

    def announce(self, times: Sequence[float]) -> None:
        """Prepare the tensors of these times, and forget the earlier ones."""
        self.times.prepare(times)

    def __call__(self, t: float | Tensor, y: Tensor) -> Tensor:
        self.evaluations += 1
        derivative = self.function(self.times[t], y)
        if self.evaluations == 1:
            _check(derivative, y)
        return derivative


class _Times(dict[float, Tensor]):
    """Times as tensors; what was not prepared is made when it is asked for, and a tensor stands for itself."""

    def __init__(self, dtype: torch.dtype, device: torch.device) -> None:
        super().__init__()
        self._dtype, self._device = dtype, device

    def prepare(self, times: Sequence[float]) -> None:
        table = torch.tensor(times, dtype=torch.float64).to(device=self._device, dtype=self._dtype)
        self.clear()
        self.update(zip(times, table.unbind(), strict=True))

    def __missing__(self, t: float | Tensor) -> Tensor:
        return t if isinstance(t, Tensor) else torch.scalar_tensor(t, dtype=self._dtype, device=self._device)


def time_dtype(dtype: torch.dtype) -> torch.dtype:
    """The dtype in which a field of states of `dtype` gets its time."""
    if dtype.is_complex:
        return dtype.to_real()
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype


def _check(derivative: object, y: Tensor) -> None:
    if not isinstance(derivative, Tensor):
        raise FieldError(
            f"The field returned a {type(derivative).__name__} for a tensor state; it must return a tensor."
        )
    if derivative.shape != y.shape:
        raise FieldError(
            f"The field returned a derivative of shape {tuple(derivative.shape)} for a state of shape {tuple(y.shape)}. "
            "Return one of the state's shape."
        )
    if derivative.device != y.device:
        raise FieldError(f"The field returned a derivative on {derivative.device} for a state on {y.device}.")
    if torch.promote_types(derivative.dtype, y.dtype) != y.dtype:
        raise FieldError(
            f"The field returned a derivative of {derivative.dtype} for a state of {y.dtype}, which would change the state's "
            f"dtype. Convert the initial state to {derivative.dtype}, or the field to {y.dtype}."
        )
