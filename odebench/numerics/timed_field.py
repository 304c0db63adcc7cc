"""A field that takes Python floats for times, and counts its evaluations."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from odebench.errors import FieldError
from odebench.numerics.sending import sent


class TimedField:
    """`field(t, y)` with t a Python float, or a tensor, which is passed on.

    A float becomes a 0-dim tensor on y's device in y's real dtype (float32 for half types). Those that a solver announces
    with `announce` are made in one go: one tensor, and a view of it for each time, instead of a tensor for each stage.

    The first two calls are looked at: what the field returns, and that it writes neither into its argument nor into what it
    returned before. Both would give wrong states without an error.

    An engine whose every microsecond counts calls `function(times[t], y)` itself, and adds to `evaluations`.

    Attributes:
        function: the field, which takes tensors.
        times: the tensor of each time.
        evaluations: how often the field was called.
        rows_interact: whether rows of the batch depend on each other, where an implicit method has found out; else None.
    """

    __slots__ = ("__weakref__", "evaluations", "function", "rows_interact", "times")

    def __init__(self, field: Callable[[Tensor, Tensor], Tensor], y0: Tensor) -> None:
        self.function = functools.partial(_watched, _Watch(weakref.ref(self), field))
        self.times = _Times(time_dtype(y0.dtype), y0.device)
        self.evaluations = 0
        self.rows_interact: bool | None = None

    @property
    def watched(self) -> bool:
        """Whether the calls of the field are still looked at; `function` is another one afterwards."""
        return isinstance(self.function, functools.partial) and self.function.func is _watched

    def announce(self, times: Sequence[float]) -> None:
        """Prepare the tensors of these times, and forget the earlier ones."""
        self.times.prepare(times)

    def __call__(self, t: float | Tensor, y: Tensor) -> Tensor:
        self.evaluations += 1
        return self.function(self.times[t], y)


class _Times(dict[float, Tensor]):
    """Times as tensors; what was not prepared is made when it is asked for, and a tensor stands for itself."""

    def __init__(self, dtype: torch.dtype, device: torch.device) -> None:
        super().__init__()
        self._dtype, self._device = dtype, device

    def prepare(self, times: Sequence[float]) -> None:
        table = sent(torch.tensor(times, dtype=self._dtype), self._device)
        self.clear()
        self.update(zip(times, table.unbind(), strict=True))

    def __missing__(self, t: float | Tensor) -> Tensor:
        return t if isinstance(t, Tensor) else torch.scalar_tensor(t, dtype=self._dtype, device=self._device)


def time_dtype(dtype: torch.dtype) -> torch.dtype:
    """The dtype in which a field of states of `dtype` gets its time."""
    if dtype.is_complex:
        return dtype.to_real()
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype


class _Watch:
    """What is remembered between the first and the second call of a field."""

    def __init__(self, owner: weakref.ref[TimedField], field: Callable[[Tensor, Tensor], Tensor]) -> None:
        self.owner, self.field = owner, field
        self.first: weakref.ref[Tensor] | None = None
        self.version = 0


def _watched(watch: _Watch, t: Tensor, y: Tensor) -> Tensor:
    before = _version(y)
    derivative = watch.field(t, y)
    if _version(y) != before:
        raise FieldError("The field changes the state that it is given in place. Let it compute a new tensor.")
    if watch.first is None:
        check_derivative(derivative, y)
        watch.first, watch.version = weakref.ref(derivative), _version(derivative)
        return derivative
    first = watch.first()
    if first is not None and _version(first) != watch.version:
        raise FieldError(
            "The field writes into the tensor that it returned before, which is still needed. Let it return a new one."
        )
    if (owner := watch.owner()) is not None:
        owner.function = watch.field
    return derivative


def _version(tensor: Tensor) -> int:
    """How often the tensor's memory was written to, as far as torch counts that."""
    return 0 if tensor.is_inference() else tensor._version


def check_derivative(derivative: object, y: Tensor) -> None:
    """Raise where this is no derivative of a state `y`.

    Raises:
        FieldError: it is no tensor, or its shape, device or dtype is another.
    """
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
