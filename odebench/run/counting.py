"""Counting what a solve asks of the field, where the solve cannot see it, and noticing what it asks behind our back."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn

from odebench.contract import LentJaxField


class Counter:
    """Counts of the field's evaluations in each phase, and of its vector-Jacobian products.

    A class of its own, and no list: `torch.func` would take a list for a tree of arguments and count on a copy of it.
    """

    def __init__(self) -> None:
        self.evaluations = {"forward": 0, "backward": 0}
        self.vjps = 0
        self.phase = "forward"

    @property
    def total(self) -> int:
        """Evaluations in all phases."""
        return sum(self.evaluations.values())


class CountingField:
    """Calls `module`, and counts: evaluations by the call, vector-Jacobian products by a node at the outputs' end of its graph."""

    def __init__(self, module: nn.Module, counter: Counter) -> None:
        self.jax_field: Callable[[], LentJaxField] | None = None  # in the place of the module's own
        self._module = module
        self._counter = counter
        self._depth = threading.local()

    def __call__(self, t: Tensor, y: Any) -> Any:
        self._counter.evaluations[self._counter.phase] += 1
        before, self._depth.inside = self.inside, True
        try:
            derivative = self._module(t, y)
        finally:
            self._depth.inside = before
        if not torch.is_grad_enabled():
            return derivative
        if isinstance(derivative, tuple):
            return _CountVjp.apply(self._counter, *derivative)
        return _CountVjp.apply(self._counter, derivative)[0] if isinstance(derivative, Tensor) else derivative

    @property
    def inside(self) -> bool:
        """Whether this thread is in an evaluation that was counted."""
        return getattr(self._depth, "inside", False)


class _CountVjp(torch.autograd.Function):
    """The identity; its backward counts. Copies, since a plugin may write into what the field returned."""

    generate_vmap_rule = True

    @staticmethod
    def forward(counter: Counter, *leaves: Tensor) -> tuple[Tensor, ...]:
        return tuple(leaf.clone() for leaf in leaves)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.counter = inputs[0]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        ctx.counter.vjps += 1
        return (None, *gradients)

    @staticmethod
    def jvp(ctx: Any, _: None, *tangents: Tensor | None) -> tuple[Any, ...]:
        return tuple(None if tangent is None else tangent.clone() for tangent in tangents)


class Audit:
    """Watches the code of fields while a plugin runs: evaluations that did not come through a counting field.

    A plugin could dig the module out of a closure or find it with `gc`, and call it uncounted. Python tells a profiler of each
    function that starts, so the field's own functions are recognised whoever calls them.

    Attributes:
        uncounted: how often a module of a field was entered outside a counted evaluation.
        removed: whether the plugin took the profiler away.
    """

    def __init__(self) -> None:
        self.uncounted = 0
        self.removed = False
        self._watching = False
        self._countings: list[CountingField] = []
        self._parts: set[int] = set()
        self._codes = {nn.Module._call_impl.__code__}

    def add(self, module: nn.Module, counting: CountingField) -> None:
        """Watch the code of this field too, whose evaluations are counted there."""
        self._countings.append(counting)
        self._parts |= {id(part) for part in module.modules()}
        codes = [getattr(getattr(type(part), "forward", None), "__code__", None) for part in module.modules()]
        self._codes |= {code for code in codes if code is not None}

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch this thread, and those that it starts."""
        before = sys.getprofile()
        callback = self._seen  # One object: a bound method is a new one at each look.
        threading.setprofile(callback)
        sys.setprofile(callback)
        self._watching = True
        try:
            yield
        finally:
            self.removed = self.removed or sys.getprofile() is not callback
            self._watching = False
            sys.setprofile(before)
            threading.setprofile(None)

    def _seen(self, frame: FrameType, event: str, argument: Any) -> None:
        if event == "c_call":
            # Told before the call happens: taking the profiler away and putting it back is seen too.
            self.removed = self.removed or (argument is sys.setprofile and self._watching)
        elif event == "call" and frame.f_code in self._codes and not self._inside:
            # The module may be called through its class, with any name for `self`: it is the first argument.
            code = frame.f_code
            if code.co_argcount and id(frame.f_locals.get(code.co_varnames[0])) in self._parts:
                self.uncounted += 1

    @property
    def _inside(self) -> bool:
        return any(counting.inside for counting in self._countings)
