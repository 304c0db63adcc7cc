"""diffrax's solves as compiled programs, each compiled once for a plan, a field and the shapes of what it is given. Imports JAX."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import optimistix

from odebench_diffrax.controllers import GivenSteps
from odebench_diffrax.plan import BACKSOLVE, FORWARD_MODE, Plan

# So many programs are kept: each holds what it was compiled for alive.
_KEPT = 64
_programs: OrderedDict[Any, Program] = OrderedDict()


class Program:
    """A solve that is compiled when it first runs, and its way back, compiled when that first runs.

    Args:
        plan: what is asked of diffrax.
        function: the field, called as `function(t, y, p)`.
    """

    def __init__(self, plan: Plan, function: Callable[[Any, Any, Mapping[str, Any]], Any]) -> None:
        self.plan = plan
        self._run = _solve(plan, function)
        self._forward: Any = None
        self._backward: Any = None

    def forward(self, given: tuple[Any, ...]) -> tuple[Any, Any, Any]:
        """The states, what diffrax tells, and what the way back needs; None where none is asked for.

        Args:
            given: y0 (leaves), parameters by name, output times, and numbers of the step control.
        """
        if self._forward is None:
            self._forward = self._compiled_forward(given)
        found = self._forward(*given)
        return jax.block_until_ready(found if len(found) == 3 else (*found, None))

    def backward(self, kept: Any, given: tuple[Any, ...], cotangents: tuple[Any, ...]) -> tuple[Any, ...]:
        """Gradients of what `plan.wanted` names, in that order."""
        arguments = (cotangents, *given) if kept is None else (kept, cotangents)
        if self._backward is None:
            pull = self._along_tangents if kept is None else _apply
            self._backward = jax.jit(pull).lower(*arguments).compile()
        return jax.block_until_ready(self._backward(*arguments))

    @property
    def forward_bytes(self) -> tuple[int, int]:
        """Temporaries and outputs of the forward program, by XLA's analysis."""
        return _bytes(self._forward)

    @property
    def backward_bytes(self) -> tuple[int, int]:
        """Temporaries and outputs of the backward program, by XLA's analysis."""
        return _bytes(self._backward)

    def _compiled_forward(self, given: tuple[Any, ...]) -> Any:
        plan = self.plan
        if not any(plan.wanted) or plan.adjoint == FORWARD_MODE:
            return jax.jit(self._run).lower(*given).compile()

        def recorded(y0: Any, parameters: Any, ts: Any, control: Any) -> tuple[Any, Any, Any]:
            chosen, others = plan.parted(y0, parameters)
            states, pull, told = jax.vjp(
                lambda chosen: self._run(*plan.joined(chosen, others), ts, control), chosen, has_aux=True
            )
            return states, told, pull

        return jax.jit(recorded).lower(*given).compile()

    def _along_tangents(self, cotangents: Any, y0: Any, parameters: Any, ts: Any, control: Any) -> Any:
        """Each element of the gradient from a solve with its tangent, so many at a time."""
        chosen, others = self.plan.parted(y0, parameters)
        flat, unflattened = jax.flatten_util.ravel_pytree(chosen)

        def states(elements: Any) -> Any:
            return self._run(*self.plan.joined(unflattened(elements), others), ts, control)[0]

        def element(index: Any) -> Any:
            _, moved = jax.jvp(states, (flat,), (jax.nn.one_hot(index, flat.size, dtype=flat.dtype),))
            return sum(jnp.vdot(one, other) for one, other in zip(cotangents, moved, strict=True))

        found = jax.lax.map(element, jnp.arange(flat.size), batch_size=min(self.plan.chunk, flat.size))
        return (unflattened(found.astype(flat.dtype)),)


def program_for(plan: Plan, function: Callable[..., Any], given: tuple[Any, ...]) -> Program:
    """The program for this plan and field, on arrays of these shapes and dtypes."""
    shapes = tuple((leaf.shape, leaf.dtype.name) for leaf in jax.tree_util.tree_leaves(given))
    key = (plan, function, tuple(given[1]), tuple(given[3]), shapes)
    if key not in _programs:
        _programs[key] = Program(plan, function)
        while len(_programs) > _KEPT:
            _programs.popitem(last=False)
    _programs.move_to_end(key)
    return _programs[key]


def reason_of(result: int) -> str | None:
    """Why diffrax did not finish; None where it did."""
    if result == diffrax.RESULTS.successful._value:
        return None
    return " ".join(diffrax.RESULTS._index_to_message[result].split())


def _apply(pull: Any, cotangents: Any) -> Any:
    return pull(cotangents)


def _bytes(compiled: Any) -> tuple[int, int]:
    found = compiled.memory_analysis()
    return found.temp_size_in_bytes, found.output_size_in_bytes


def _solve(plan: Plan, function: Callable[..., Any]) -> Callable[..., tuple[Any, Any]]:
    """A function of y0, parameters, output times and numbers of the step control, which gives the states and what diffrax tells."""
    dtype = jnp.dtype(plan.dtype)

    def field(t: Any, y: Any, p: Any) -> Any:
        if plan.half is None:
            return function(t, y, p)
        # diffrax would take half states to the times' dtype; only the field sees them in their own.
        half = jnp.dtype(plan.half)
        derivative = function(t, jax.tree_util.tree_map(lambda leaf: leaf.astype(half), y), p)
        return jax.tree_util.tree_map(lambda leaf: leaf.astype(dtype), derivative)

    def one(y0: Any, p: Mapping[str, Any], ts: Any, control: Mapping[str, Any]) -> tuple[Any, Any]:
        differentiated, constant = plan.by_gradient(p)
        states = diffrax.SubSaveAt(t0=True, t1=True, ts=ts[1:-1] if len(ts) > 2 else None)
        saved = [states, diffrax.SubSaveAt(steps=True, fn=_nothing)] if plan.tells_steps else states
        direction = jnp.where(ts[-1] > ts[0], 1.0, -1.0).astype(dtype)
        # The adjoint equation has a part for each array of floats in `args`, so that what needs no gradient goes there as bits: it may
        # not be closed over, since the adjoint's program is another one.
        found = diffrax.diffeqsolve(
            diffrax.ODETerm(lambda t, y, p: field(t, y, {**_floats(p[1], constant), **p[0]})),
            _solver(plan),
            ts[0],
            ts[-1],
            direction * control["first_step"] if "first_step" in control else None,
            y0,
            (differentiated, _bits(constant)),
            saveat=diffrax.SaveAt(subs=saved),
            stepsize_controller=_controller(plan, control),
            adjoint=_adjoint(plan, control),
            max_steps=plan.max_steps,
            throw=False,
        )
        told = {
            "steps": found.stats["num_steps"],
            "accepted": found.stats["num_accepted_steps"],
            "result": found.result._value,
        }
        if plan.tells_steps:
            told["ends"] = found.ts[1]
        return found.ys[0] if plan.tells_steps else found.ys, told

    def run(y0: Any, p: Any, ts: Any, control: Any) -> tuple[Any, Any]:
        start = jax.tree_util.tree_map(lambda leaf: leaf.astype(dtype), y0)
        start = start if plan.is_tuple else start[0]
        if plan.per_sample:
            rows = {name: 0 if name == "points" else None for name in control}
            mapped = jax.vmap(one, in_axes=(0, None, None, rows), out_axes=(1, 0))
            states, told = mapped(start[:, None], p, ts, control)
            states = states[:, :, 0]
        else:
            states, told = one(start, p, ts, control)
        states = states if plan.is_tuple else (states,)
        return (states if plan.half is None else tuple(leaf.astype(jnp.dtype(plan.half)) for leaf in states)), told

    return run


def _bits(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Floats as integers of the same bits; what is no float stays."""
    return {
        name: jax.lax.bitcast_convert_type(one, f"int{8 * one.dtype.itemsize}")
        if jnp.issubdtype(one.dtype, jnp.floating)
        else one
        for name, one in arrays.items()
    }


def _floats(bits: Mapping[str, Any], like: Mapping[str, Any]) -> dict[str, Any]:
    """What `_bits` was given, whose dtypes `like` still has."""
    return {
        name: one if one.dtype == like[name].dtype else jax.lax.bitcast_convert_type(one, like[name].dtype)
        for name, one in bits.items()
    }


def _nothing(t: Any, y: Any, args: Any) -> None:
    return None


def _solver(plan: Plan) -> Any:
    chosen = getattr(diffrax, plan.solver)
    if plan.newton is None or not issubclass(chosen, diffrax.AbstractImplicitSolver):
        return chosen()
    # Without a tolerance of the steps, the equations of a step need one of their own. diffrax's simplified Newton method, whose
    # Jacobian is that at the start of the step, gives up on steps that no controller made short enough for it.
    return chosen(root_finder=optimistix.Newton(rtol=plan.newton, atol=plan.newton, norm=optimistix.rms_norm))


def _controller(plan: Plan, control: Mapping[str, Any], **more: Any) -> Any:
    if plan.control == "points":
        return diffrax.StepTo(control["points"])
    if plan.control == "given":
        return GivenSteps(control["points"])
    pcoeff, icoeff, dcoeff = plan.coefficients
    return diffrax.PIDController(
        rtol=control["rtol"], atol=control["atol"], pcoeff=pcoeff, icoeff=icoeff, dcoeff=dcoeff,
        dtmin=control.get("min_step"), force_dtmin=False, safety=control["safety"], factormin=control["min_factor"],
        factormax=control["max_factor"], **more,
    )  # fmt: skip


def _adjoint(plan: Plan, control: Mapping[str, Any]) -> Any:
    if plan.adjoint != BACKSOLVE:
        arguments = {} if plan.checkpoints is None else {"checkpoints": plan.checkpoints}
        return getattr(diffrax, plan.adjoint)(**arguments)
    # What ends the way back early must not pass for a gradient.
    if "points" in control:
        return diffrax.BacksolveAdjoint(stepsize_controller=GivenSteps(control["points"]), throw=True)
    if not plan.seminorm:
        return diffrax.BacksolveAdjoint(throw=True)
    controller = _controller(plan, control, norm=diffrax.adjoint_rms_seminorm)
    return diffrax.BacksolveAdjoint(stepsize_controller=controller, throw=True)
