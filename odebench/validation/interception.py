"""Solves inside somebody's `forward`, taken over without a change of their text.

`torchdiffeq.odeint`, `torchdiffeq.odeint_adjoint`, `odebench.odeint` and `odebench.solve` are replaced by routers of the same
name for a while. A router does what its function does until somebody listens. `from torchdiffeq import odeint` binds the name
when it is executed, so the routers have to be there before a model's module is imported; names that a loaded module, or a part of
the model, holds already are replaced where they can be seen. torchdiffeq is touched only where somebody has loaded it.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import inspect
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from odebench.api import build, grid_request
from odebench.contract import Solution, Solver, State
from odebench.drop_in import solver_of_call
from odebench.errors import IncompatibleError, OdebenchError
from odebench.numerics.outputs import checked_times
from odebench.validation.calls import Call, division_of

Listener = Callable[[Call], State]
"""Takes a call, returns the states at its times."""

_LISTENER: contextvars.ContextVar[Listener | None] = contextvars.ContextVar("listener", default=None)

# What is taken over: the module that everybody imports it from first, then others that hold the same function.
_ODEINTS = (("torchdiffeq", "odeint"), ("torchdiffeq", "odeint_adjoint"), ("odebench.drop_in", "odeint"))
_SOLVES = (("odebench.api", "solve"),)
# Inside these libraries only what is public changes: what they do among themselves is theirs.
_LIBRARIES = ("odebench", "torchdiffeq")
_PUBLIC = ("torchdiffeq", "torchdiffeq._impl", "odebench.api", "odebench.drop_in")


@contextlib.contextmanager
def routed(model: nn.Module | None = None) -> Iterator[None]:
    """Put routers in place of the functions: where they live, in all loaded modules, and in the parts of `model`."""
    routers = {id(function): (function, router) for function, router in _routers()}
    undo: list[tuple[dict[str, Any], str, Any]] = []
    try:
        for names in _places(model):
            for name, value in list(names.items()):
                if id(value) in routers and value is routers[id(value)][0]:
                    undo.append((names, name, value))
                    names[name] = routers[id(value)][1]
        yield
    finally:
        for names, name, value in reversed(undo):
            names[name] = value


@contextlib.contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Hand every routed call to `listener`; calls that it causes itself pass."""
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)


def _routers() -> Iterator[tuple[Any, Any]]:
    for reads, places in ((_odeint_call, _ODEINTS), (_solve_call, _SOLVES)):
        for where, name in places:
            function = getattr(sys.modules.get(where), name, None)
            if function is not None:
                function = getattr(function, "routes", function)
                yield function, _router(function, reads)


@functools.cache
def _router(function: Callable[..., Any], reads: Callable[..., tuple[Call | None, Any]]) -> Callable[..., Any]:
    signature = inspect.signature(function)

    @functools.wraps(function)
    def router(*args: Any, **kwargs: Any) -> Any:
        listener = _LISTENER.get()
        if listener is None:
            return function(*args, **kwargs)
        # A call that means nothing fails here as it would fail there.
        given = signature.bind(*args, **kwargs)
        given.apply_defaults()
        with contextlib.ExitStack() as stack:
            stack.callback(_LISTENER.reset, _LISTENER.set(None))
            call, wrap = reads(function, given)
            return function(*args, **kwargs) if call is None else wrap(listener(call))

    router.routes = function
    return router


def _places(model: nn.Module | None) -> Iterator[dict[str, Any]]:
    """Every table of names in which a function may stand."""
    for name, module in list(sys.modules.items()):
        if isinstance(module, ModuleType) and (name in _PUBLIC or name.partition(".")[0] not in _LIBRARIES):
            yield vars(module)
    for part in model.modules() if isinstance(model, nn.Module) else ():
        yield vars(part)


def _odeint_call(function: Any, given: inspect.BoundArguments) -> tuple[Call | None, Any]:
    """A call of `odeint`, torchdiffeq's or ours; None for one of a single time, which solves nothing."""
    asked = given.arguments
    if asked["event_fn"] is not None:
        raise IncompatibleError(
            "The model calls odeint with event_fn. Where its solve ends is then found by the solver itself, and another one cannot "
            "take its place."
        )
    func, y0, t = asked["func"], asked["y0"], asked["t"]
    t = t.detach() if isinstance(t, Tensor) and t.is_floating_point() else torch.as_tensor(t, dtype=torch.float64)
    if t.dim() != 1 or len(t) < 2:
        return None, None
    try:
        solver, request = solver_of_call(
            func, y0, t, rtol=asked["rtol"], atol=asked["atol"], method=asked["method"], options=asked["options"]
        )
    except OdebenchError as cause:
        raise IncompatibleError(f"The model calls odeint in a way that cannot be taken over: {cause}") from cause

    def original(field: Any) -> State:
        return _again(function, given, func=field)

    said = asked["method"] if asked["method"] not in (None, solver.name) else None
    times = tuple(checked_times(t))
    ours = function.__module__.partition(".")[0] == "odebench"
    call = Call(
        field=func, y0=y0, ts=times, solver=solver, request=request, said=said, original=None if ours else original
    )
    return call, lambda ys: ys


def _solve_call(function: Any, given: inspect.BoundArguments) -> tuple[Call | None, Any]:
    """A call of `odebench.solve`."""
    asked = given.arguments
    solver = asked["solver"] if isinstance(asked["solver"], Solver) else build("solver", asked["solver"])
    named = {name: asked[name] for name in ("rtol", "atol", "batch", "steps", "step_size", "grid")}
    times = tuple(checked_times(asked["ts"]))
    request = division_of(grid_request(solver, **named), times)

    call = Call(field=asked["field"], y0=asked["y0"], ts=times, solver=solver, request=request)
    return call, lambda ys: Solution(ys=ys, grid=None)


def _again(function: Any, given: inspect.BoundArguments, **changes: Any) -> Any:
    """The call as it was but for some arguments."""
    again = inspect.BoundArguments(given.signature, type(given.arguments)({**given.arguments, **changes}))
    return function(*again.args, **again.kwargs)
