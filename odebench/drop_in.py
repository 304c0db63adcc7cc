"""`odeint`: torchdiffeq's call, with its argument order, its defaults, its grids and its meaning of each method."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from odebench.api import Named, build
from odebench.contract import GradientMethod, GridRequest, State, Tolerance
from odebench.errors import IncompatibleError, OdebenchError, nearest
from odebench.numerics.odeint_adaptive import OdeintAdaptive, OdeintRules
from odebench.numerics.odeint_fixed import OdeintFixed
from odebench.numerics.odeint_grid import grid_through, points_by_step_size
from odebench.numerics.outputs import checked_times
from odebench.numerics.packing import Packing
from odebench.plugins import Entry, build_registry

DEFAULT_METHOD = "dopri5"

FIXED_OPTIONS = ("step_size", "grid_constructor", "interp", "perturb", "norm")
ADAPTIVE_OPTIONS = (
    "first_step", "min_step", "max_step", "step_t", "jump_t",
    "safety", "ifactor", "dfactor", "max_num_steps", "norm", "dtype",
)  # fmt: skip
CALLBACKS = tuple(f"callback_{what}{of}" for of in ("", "_adjoint") for what in ("step", "accept_step", "reject_step"))


class OdeintError(OdebenchError, ValueError):
    """An argument of `odeint` that cannot be taken; a ValueError too, which is what torchdiffeq raises."""


def odeint(
    func: Callable[[Tensor, State], State],
    y0: State,
    t: Tensor | Sequence[float],
    *,
    rtol: float | Tensor | Sequence[Any] = 1e-7,
    atol: float | Tensor | Sequence[Any] = 1e-9,
    method: str | None = None,
    options: Mapping[str, Any] | None = None,
    event_fn: None = None,
    gradient: Named | GradientMethod = "direct",
) -> State:
    """Solve dy/dt = func(t, y) from y0 at t[0], as `torchdiffeq.odeint` does with the same arguments.

    Methods mean what they mean there: `rk4` is the 3/8 rule, a method of fixed steps takes one step from each time in `t` to
    the next where no option says otherwise, and one with error control passes the end and interpolates. What differs:

    * Step sizes are constants in every gradient. torchdiffeq differentiates its choice of the first step, which changes the
      gradient by about the tolerance; with a `first_step` in `options` both gradients are equal.
    * Events, times that require a gradient, callbacks of `func` and options that are not listed below are refused.

    Args:
        func: the vector field, called with a 0-dim tensor and a state.
        y0: the state at t[0]: a tensor of any shape, or a tuple of tensors.
        t: times, rising or falling.
        rtol, atol: tolerances of the local error: numbers, tensors that broadcast with y0, or one of these for each tensor of
            a tuple. Methods of fixed steps ignore them.
        method: a name as torchdiffeq's; None takes torchdiffeq's default.
        options: for fixed steps `step_size`, `grid_constructor`, `interp` ("linear" or "cubic"), `perturb`; with error control
            `first_step`, `min_step`, `max_step`, `step_t`, `jump_t`, `safety`, `ifactor`, `dfactor`, `max_num_steps`, `norm`.
        event_fn: refused; it stands here to say so.
        gradient: a gradient method: a name, a table with parameters, or an instance. "continuous-adjoint" stands for
            torchdiffeq's `odeint_adjoint`.

    Returns:
        The states at all times in `t`, `(len(t), *y0.shape)`, y0 first; a tuple for a tuple.

    Raises:
        OdeintError: an argument that means nothing here; the message names what does.
        GridError: times or a grid that describe no solve.
        DivergedError: no step is small enough, or too many were needed.
    """
    if event_fn is not None:
        raise OdeintError(
            "odeint: event_fn is given, but events are not offered. Solve to given times, or use torchdiffeq."
        )
    for name in CALLBACKS:
        if hasattr(func, name):
            raise OdeintError(
                f"odeint: func has {name}, which would not be called. Remove it; `odebench.solve` returns the steps as data."
            )
    t = t if isinstance(t, Tensor) and t.is_floating_point() else torch.as_tensor(t, dtype=torch.float64)
    if len(t) == 1:
        return tuple(y[None] for y in y0) if isinstance(y0, tuple) else y0[None]
    ts = checked_times(t)
    solver, request = solver_of_call(func, y0, t, rtol=rtol, atol=atol, method=method, options=options)
    chosen = gradient if isinstance(gradient, GradientMethod) else build("gradient", gradient)
    if (reason := chosen.supports(solver)) is not None:
        raise IncompatibleError(f"odeint: gradient {chosen.name!r} cannot work with {solver.name!r}: {reason}")
    return chosen.solve(solver, func, y0, ts, request).ys


def solver_of_call(
    func: Callable[[Tensor, State], State],
    y0: State,
    t: Tensor,
    *,
    rtol: Any = 1e-7,
    atol: Any = 1e-9,
    method: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> tuple[OdeintFixed | OdeintAdaptive, GridRequest]:
    """What a call of `odeint` with these arguments solves with, and how it divides time: a `Grid` or a `Tolerance`.

    Raises:
        OdeintError: as `odeint`.
        GridError: times or a grid that describe no solve.
    """
    entry = _method(method)
    prepare = _fixed if entry.factory.odeint_midpoint is None else _adaptive
    return prepare(entry, func, y0, t, checked_times(t), rtol, atol, dict(options or {}))


@functools.cache
def _methods() -> dict[str, Entry]:
    """What is built in, by the names that torchdiffeq gives it."""
    entries = build_registry(prefixes=()).entries("solver")
    return {name: entry for entry in entries if (name := getattr(entry.factory, "odeint_name", None)) is not None}


def _method(method: str | None) -> Entry:
    methods = _methods()
    if method is None:
        method = DEFAULT_METHOD
    if method not in methods:
        offered = ", ".join(sorted(methods))
        hint = f" Did you mean {near!r}?" if (near := nearest(str(method), methods)) else ""
        raise OdeintError(f"odeint: there is no method {method!r}; there are: {offered}.{hint}")
    return methods[method]


def _fixed(
    entry: Entry, func: Any, y0: State, t: Tensor, ts: list[float], rtol: Any, atol: Any, options: dict[str, Any]
) -> tuple[OdeintFixed, GridRequest]:
    _check_options(entry, options, FIXED_OPTIONS)
    interp = options.get("interp", "linear")
    if interp not in ("linear", "cubic"):
        raise OdeintError(f"odeint: options['interp'] is {interp!r}; it must be 'linear' or 'cubic'.")
    step_size, constructor = options.get("step_size"), options.get("grid_constructor")
    if step_size is not None and constructor is not None:
        raise OdeintError("odeint: options has both 'step_size' and 'grid_constructor'. Give one of them.")
    points = t
    if step_size is not None:
        points = points_by_step_size(t, float(step_size))
    elif constructor is not None:
        points = constructor(func, y0, t)
    solver = OdeintFixed(entry.build(), interp=interp, perturb=bool(options.get("perturb", False)))
    return solver, grid_through(points, ts)


def _adaptive(
    entry: Entry, func: Any, y0: State, t: Tensor, ts: list[float], rtol: Any, atol: Any, options: dict[str, Any]
) -> tuple[OdeintAdaptive, GridRequest]:
    _check_options(entry, options, ADAPTIVE_OPTIONS)
    packing = Packing(y0)
    dtype = options.get("dtype")
    if dtype is not None and torch.promote_types(dtype, packing.pack(y0).abs().dtype) != torch.float64:
        raise OdeintError(
            f"odeint: options['dtype'] is {dtype}; times and steps are always float64 here. Leave it out."
        )
    number = lambda name, default: float(options.get(name, default))  # noqa: E731
    least_rtol, all_rtol = _tolerance("rtol", rtol, y0, packing)
    least_atol, all_atol = _tolerance("atol", atol, y0, packing)
    rules = OdeintRules(
        packing=packing,
        norm=options.get("norm"),
        rtol=all_rtol,
        atol=all_atol,
        min_step=number("min_step", 0.0),
        max_step=number("max_step", math.inf),
        step_t=_stops(options, "step_t"),
        jump_t=_stops(options, "jump_t"),
    )
    if shared := set(rules.step_t) & set(rules.jump_t):
        raise OdeintError(f"odeint: 'step_t' and 'jump_t' both hold {sorted(shared)}. Leave these out of 'step_t'.")
    first = options.get("first_step")
    tolerance = Tolerance(
        rtol=least_rtol,
        atol=least_atol,
        first_step=None if first is None else float(first),
        max_steps=int(options.get("max_num_steps", 2**31 - 1)),
        safety=number("safety", 0.9),
        min_factor=number("dfactor", 0.2),
        max_factor=number("ifactor", 10.0),
    )
    return OdeintAdaptive(entry.build(), rules), tolerance


def _check_options(entry: Entry, options: dict[str, Any], known: Iterable[str]) -> None:
    for name in options:
        if name not in known:
            hint = f" Did you mean {near!r}?" if (near := nearest(str(name), known)) else ""
            method = entry.factory.odeint_name
            raise OdeintError(f"odeint: method {method!r} has no option {name!r}; it has: {', '.join(known)}.{hint}")


def _stops(options: dict[str, Any], name: str) -> tuple[float, ...]:
    values = options.get(name)
    if values is None:
        return ()
    times = torch.as_tensor(values, dtype=torch.float64).reshape(-1).tolist()
    if len(set(times)) < len(times):
        raise OdeintError(f"odeint: options[{name!r}] holds a time twice: {times}. Give each once.")
    return tuple(times)


def _tolerance(name: str, value: Any, y0: State, packing: Packing) -> tuple[float, Tensor | None]:
    """The least tolerance, and those of all elements where they differ, packed as the state is."""
    if isinstance(value, Tensor):
        value = value.detach()
    if not isinstance(value, Iterable) or (isinstance(value, Tensor) and value.dim() == 0):
        return float(value), None
    if isinstance(y0, tuple):
        parts = list(value)
        if len(parts) != len(y0):
            raise OdeintError(
                f"odeint: {name} has {len(parts)} entries for a state of {len(y0)} tensors. Give one for each."
            )
        state: State = tuple(_expanded(name, part, y) for part, y in zip(parts, y0, strict=True))
    else:
        state = _expanded(name, value, y0)
    packed = packing.pack(state)
    return (packed.min().item() if packed.numel() else 0.0), packed


def _expanded(name: str, value: Any, y: Tensor) -> Tensor:
    value = torch.as_tensor(value, dtype=torch.float64, device=y.device).detach()
    try:
        return value.expand(y.shape)
    except RuntimeError as cause:
        raise OdeintError(
            f"odeint: {name} has the shape {tuple(value.shape)}, which does not expand to the state's {tuple(y.shape)}."
        ) from cause
