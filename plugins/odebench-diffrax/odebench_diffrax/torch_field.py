"""A torch field that compiled programs call back, where there is none in JAX: right for any field, and slow. Imports JAX."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from torch import Tensor

from odebench.numerics.lent_field import LentField


class _Lent:
    """The field that the running program calls: programs do not depend on it, and serve for all fields of the same shapes."""

    def __init__(self) -> None:
        self.field: LentField | None = None
        self.dtype = torch.float64
        self.autocast: torch.dtype | None = None
        self.error: BaseException | None = None

    def call(self, work: Callable[..., Any], *arrays: np.ndarray) -> Any:
        # Threads have an autocast each, and the way back may run where there is none. Nothing is cached: what is cast without a graph
        # must not be met where there is one.
        mixed = torch.autocast("cpu", enabled=self.autocast is not None, dtype=self.autocast, cache_enabled=False)
        try:
            with mixed:
                return work(*(torch.from_numpy(np.array(array)) for array in arrays))
        except BaseException as error:
            self.error = error  # what JAX raises in its place does not hold it
            raise


_lent = _Lent()


@contextmanager
def lending(field: LentField, dtype: torch.dtype, autocast: torch.dtype | None) -> Iterator[None]:
    """Programs that run here call `field`, on states of this dtype and under autocast to that one; what it raises is raised here."""
    before = _lent.field, _lent.dtype, _lent.autocast
    _lent.field, _lent.dtype, _lent.autocast, _lent.error = field, dtype, autocast, None
    log = logging.getLogger("jax._src.callback")  # would print what is raised here
    silent, log.disabled = log.disabled, True
    try:
        yield
    except Exception:
        if _lent.error is not None:
            raise _lent.error from None
        raise
    finally:
        log.disabled = silent
        _lent.field, _lent.dtype, _lent.autocast = before
        _lent.error = None


def call_back(t: Any, y: Any, p: Mapping[str, Any]) -> Any:
    """The lent field, in the place of one in JAX; `p` are the tensors that get gradients, in the order of their names."""
    return _evaluated(t, y, tuple(p[name] for name in sorted(p, key=int)))


@jax.custom_jvp
def _evaluated(t: Any, y: Any, wanted: tuple[Any, ...]) -> Any:
    struct = jax.ShapeDtypeStruct(y.shape, y.dtype)
    return jax.pure_callback(lambda *a: _lent.call(_value, *a), struct, t, y, vmap_method="broadcast_all")


def _jvp_of_evaluated(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, Any]:
    t, y, wanted = primals
    _, dy, dwanted = tangents  # times are constants
    return _evaluated(t, y, wanted), _pushed.bind(t, y, *wanted, dy, *dwanted)


_evaluated.defjvp(_jvp_of_evaluated)


def _value(t: Tensor, y: Tensor) -> np.ndarray:
    """The derivative; with an axis of rows in front, each a batch of one at a time of its own."""
    with torch.no_grad():
        if y.dim() == len(_lent.field.shape):
            return _array(_once(t, y.to(_lent.dtype)), y)
        state = y.reshape(_lent.field.shape)
        times = t.to(_lent.field.time_dtype).reshape(-1, *(1,) * (state.dim() - 1))
        return _array(_lent.field.evaluate(times, state.to(_lent.dtype)).reshape(y.shape), y)


def _once(t: Tensor, y: Tensor) -> Tensor:
    """One evaluation for the whole state, or for a single row of it."""
    if y.shape == _lent.field.shape:
        return _lent.field(t, y)
    return _lent.field.evaluate(t.to(_lent.field.time_dtype).reshape(()), y)


def _pulled_back(t: Tensor, y: Tensor, cotangent: Tensor) -> tuple[np.ndarray, ...]:
    """Gradients of y and of each declared tensor."""
    sources = tuple(_lent.field.parameters())
    with torch.enable_grad():
        state = y.to(_lent.dtype).requires_grad_()
        derivative = _once(t, state)
        found = torch.autograd.grad(
            derivative, (state, *sources), cotangent.to(_lent.dtype).reshape(derivative.shape), allow_unused=True
        ) if derivative.requires_grad else [None] * (1 + len(sources))  # fmt: skip
    like = (y, *sources)
    return tuple(_array(torch.zeros_like(x) if g is None else g, x) for g, x in zip(found, like, strict=True))


def _pushed_forward(t: Tensor, y: Tensor, *tangents: Tensor) -> np.ndarray:
    """The derivative's change along tangents of y and of each declared tensor: the gradient of the gradient of a dummy."""
    sources = tuple(_lent.field.parameters())
    with torch.enable_grad():
        state = y.to(_lent.dtype).requires_grad_()
        derivative = _once(t, state)
        if not derivative.requires_grad:
            return _array(torch.zeros_like(y), y)
        dummy = torch.zeros_like(derivative, requires_grad=True)
        found = torch.autograd.grad(derivative, (state, *sources), dummy, create_graph=True, allow_unused=True)
        pairs = [(g, v.to(g.dtype)) for g, v in zip(found, tangents, strict=True) if g is not None and g.requires_grad]
        if not pairs:
            return _array(torch.zeros_like(y), y)
        change = torch.autograd.grad([g for g, _ in pairs], dummy, [v for _, v in pairs])[0]
    return _array(change.reshape(y.shape), y)


def _array(tensor: Tensor, like: Tensor) -> np.ndarray:
    """As NumPy has it, which knows no half types of torch's."""
    dtype = torch.float32 if like.dtype == torch.bfloat16 else like.dtype
    return tensor.detach().to(dtype).reshape(like.shape).cpu().numpy()


# The change of the field along tangents as an operation that JAX can transpose: t, y and the declared tensors, then tangents.
_pushed = Primitive("odebench_pushed_forward")


def _count(operands: tuple[Any, ...]) -> int:
    """Of y and declared tensors among the operands."""
    return (len(operands) - 1) // 2


def _push(t: Any, y: Any, *others: Any) -> Any:
    count = _count((t, y, *others))
    struct = jax.ShapeDtypeStruct(y.shape, y.dtype)
    tangents = others[count - 1 :]
    return jax.pure_callback(
        lambda *a: _lent.call(_pushed_forward, *a), struct, t, y, *tangents, vmap_method="sequential"
    )


def _linear_jvp(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, Any]:
    """Along what it is linear in; the field's second derivatives are not asked of anybody here."""
    count = _count(primals)
    moved = [
        jnp.zeros_like(one) if isinstance(tangent, ad.Zero) else tangent
        for one, tangent in zip(primals[1 + count :], tangents[1 + count :], strict=True)
    ]
    return _pushed.bind(*primals), _pushed.bind(*primals[: 1 + count], *moved)


def _transposed(cotangent: Any, t: Any, y: Any, *others: Any) -> list[Any]:
    count = _count((t, y, *others))
    if isinstance(cotangent, ad.Zero):
        return [None] * (1 + 2 * count)
    wanted = others[: count - 1]
    return [*[None] * (1 + count), *_pull(t, y, wanted, cotangent)]


@jax.custom_jvp
def _pull(t: Any, y: Any, wanted: tuple[Any, ...], cotangent: Any) -> tuple[Any, ...]:
    structs = tuple(jax.ShapeDtypeStruct(one.shape, one.dtype) for one in (y, *wanted))
    return tuple(
        jax.pure_callback(lambda *a: _lent.call(_pulled_back, *a), structs, t, y, cotangent, vmap_method="sequential")
    )


_pull.defjvp(lambda primals, tangents: (_pull(*primals), _pull(*primals[:3], tangents[3])))


def _one_after_the_other(arguments: tuple[Any, ...], dims: tuple[Any, ...]) -> tuple[Any, int]:
    size = next(one.shape[dim] for one, dim in zip(arguments, dims, strict=True) if dim is not None)
    moved = [
        jnp.broadcast_to(one, (size, *one.shape)) if dim is None else jnp.moveaxis(one, dim, 0)
        for one, dim in zip(arguments, dims, strict=True)
    ]
    return jax.lax.map(lambda each: _pushed.bind(*each), tuple(moved)), 0


_pushed.def_impl(lambda *operands: jax.jit(_push)(*operands))
_pushed.def_abstract_eval(lambda t, y, *others: y)
ad.primitive_jvps[_pushed] = _linear_jvp
ad.primitive_transposes[_pushed] = _transposed
batching.primitive_batchers[_pushed] = _one_after_the_other
mlir.register_lowering(_pushed, mlir.lower_fun(_push, multiple_results=False))
