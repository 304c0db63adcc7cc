"""A cell's field in JAX: checked against the torch field before anything is measured, and counted where nobody sees it called.

JAX is imported here when a cell's solver asks for it, and in the child only.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from odebench.contract import LentJaxField, Model, Problem, State, lend_jax_field, relative_l2
from odebench.errors import IncompatibleError, MeasurementError
from odebench.numerics.jax_arrays import lent, to_torch
from odebench.numerics.jax_start import start_jax
from odebench.numerics.timed_field import time_dtype
from odebench.run.counting import Counter

_STATES = 4
"""Random states at which both fields are compared, in each dtype."""
_ROUNDING = 100.0
"""Units of rounding, times the root of one evaluation, by which they may differ."""
_SPREAD = 0.1
"""Of the random states around the initial one, relative to its largest element."""


def attach_jax_field(model: Model, problem: Problem) -> None:
    """Have the problem's field offer the model's `jax_field`, once it is seen to be the same field.

    Raises:
        IncompatibleError: the model has none, or JAX is not installed.
        MeasurementError: it is another field.
    """
    declared = model.jax_field()
    if declared is None or problem.network is not None:
        raise IncompatibleError(f"Model {model.name!r} has no `jax_field`, and the solver takes fields in JAX only.")
    dtype = _leaves(problem.y0)[0].dtype
    for checked in dict.fromkeys((torch.float64, dtype)):
        module = problem.field if checked == dtype else copy.deepcopy(problem.field).double()
        _compare(model.name, module, lend_jax_field(module, declared), problem, checked)
    twin = lend_jax_field(problem.field, declared)
    problem.field.jax_field = lambda: twin


def counting_jax_field(twin: LentJaxField, counter: Counter) -> LentJaxField:
    """The same field, whose evaluations and vector-Jacobian products are counted where a compiled program really makes them.

    Each evaluation carries a call back to Python along, and each product one on its way back. What the compiler leaves out is
    not counted, and what it repeats is counted again.
    """
    counted = _counted(counter)
    function = twin.function

    def counting(t: Any, y: Any, p: Mapping[str, Any]) -> Any:
        derivative = function(t, y, p)
        if isinstance(derivative, tuple):
            return (counted(derivative[0]), *derivative[1:])
        return counted(derivative)

    return LentJaxField(function=counting, names=twin.names, buffers=twin.buffers)


def _counted(counter: Counter) -> Any:
    """The identity on an array, which counts itself and its transpose."""
    jax = start_jax()
    from jax.extend.core import Primitive
    from jax.interpreters import ad, batching, mlir

    def told(what: str) -> Any:
        def tell(element: Any) -> Any:
            if what == "evaluation":
                counter.evaluations[counter.phase] += 1
            else:
                counter.vjps += 1
            return element

        return tell

    def through(what: str, x: Any) -> Any:
        # An element of the result goes round by Python: no two evaluations are alike for the compiler, and none can be left out.
        flat = x.reshape(-1)
        struct = jax.ShapeDtypeStruct(flat[:1].shape, x.dtype)
        seen = jax.pure_callback(told(what), struct, flat[:1], vmap_method="broadcast_all")
        return flat.at[:1].set(seen).reshape(x.shape)

    passed = Primitive("odebench_passed")
    passed.def_impl(lambda x: x)
    passed.def_abstract_eval(lambda x: x)

    @jax.custom_jvp
    def pulled_back(cotangent: Any) -> Any:
        return through("product", cotangent)

    # A backward that is linear in something else asks for its derivative alone, which is a product as well.
    pulled_back.defjvp(lambda primals, tangents: (pulled_back(primals[0]), pulled_back(tangents[0])))
    ad.deflinear2(passed, lambda ct, _: [ct if isinstance(ct, ad.Zero) else pulled_back(ct)])
    batching.primitive_batchers[passed] = lambda arguments, dims: (passed.bind(*arguments), dims[0])
    mlir.register_lowering(passed, mlir.lower_fun(lambda x: x, multiple_results=False))

    @jax.custom_jvp
    def evaluated(derivative: Any) -> Any:
        return through("evaluation", derivative)

    evaluated.defjvp(lambda primals, tangents: (evaluated(primals[0]), passed.bind(tangents[0])))
    return evaluated


def _compare(name: str, module: nn.Module, twin: LentJaxField, problem: Problem, dtype: torch.dtype) -> None:
    """Evaluate both fields at random states.

    Raises:
        MeasurementError: they differ by more than rounding, or do not run.
    """
    generator = torch.Generator().manual_seed(0)
    allowed = _ROUNDING * torch.finfo(dtype).eps
    for _ in range(_STATES):
        y = _random_state(problem.y0, dtype, generator)
        share = torch.rand((), generator=generator, dtype=torch.float64).item()
        t = torch.tensor(problem.ts[0] + share * (problem.ts[-1] - problem.ts[0]), dtype=time_dtype(dtype))
        with torch.no_grad():
            expected = module(t, y)
        got = _evaluated(name, module, twin, t, y)
        shapes = [tuple(leaf.shape) for leaf in _leaves(got)], [tuple(leaf.shape) for leaf in _leaves(expected)]
        if shapes[0] != shapes[1]:
            raise MeasurementError(
                f"Model {name!r}: its `jax_field` gives a derivative of shapes {shapes[0]}; the torch field's are {shapes[1]}."
            )
        gap = relative_l2(_doubled(got), _doubled(expected))
        if not (gap <= allowed or math.isnan(_size(expected))):
            raise MeasurementError(
                f"Model {name!r}: its `jax_field` is another field than the torch one. At a random state and t = {t.item():.4g}, in "
                f"{str(dtype).removeprefix('torch.')}, they differ by {gap:.1e}, where rounding allows {allowed:.1e}. Correct the "
                "model's `jax_field`."
            )


def _evaluated(name: str, module: nn.Module, twin: LentJaxField, t: Tensor, y: State) -> State:
    jax = start_jax()
    arrays = {key: lent(value) for key, value in module.named_parameters()}
    arrays |= {key: lent(value) for key, value in twin.buffers.items()}
    state = tuple(map(lent, y)) if isinstance(y, tuple) else lent(y)
    try:
        got = jax.jit(twin.function)(lent(t), state, arrays)
    except Exception as error:
        raise MeasurementError(f"Model {name!r}: its `jax_field` raised {type(error).__name__}: {error}") from error
    return tuple(map(to_torch, got)) if isinstance(got, tuple) else to_torch(got)


def _random_state(y0: State, dtype: torch.dtype, generator: torch.Generator) -> State:
    moved = []
    for leaf in _leaves(y0):
        noise = torch.randn(leaf.shape, generator=generator, dtype=torch.float64)
        scale = _SPREAD * leaf.abs().max().item() if leaf.numel() else 0.0
        moved.append((leaf.detach().cpu().double() + (scale or 1.0) * noise).to(dtype))
    return tuple(moved) if isinstance(y0, tuple) else moved[0]


def _doubled(state: State) -> State:
    return tuple(leaf.double() for leaf in state) if isinstance(state, tuple) else state.double()


def _size(state: State) -> float:
    return sum(leaf.double().norm().item() for leaf in _leaves(state))


def _leaves(state: State) -> tuple[Tensor, ...]:
    return state if isinstance(state, tuple) else (state,)
