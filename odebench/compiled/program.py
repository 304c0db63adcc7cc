"""A program compiled whole, and kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from typing import Any

import torch
from torch import Tensor

from odebench.compiled.field_graph import FieldGraph
from odebench.errors import CompileError

MOST_VARIANTS = 8
"""A program that has to be compiled more often than this is given up: shapes that should be free are not."""


class Program:
    """A function of tensors, compiled at its first call as one graph.

    Attributes:
        seconds: how long its compilations have taken.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.seconds = 0.0
        self._compiled = torch.compile(
            function,
            fullgraph=True,
            options={"cpp_wrapper": True},
            recompile_limit=MOST_VARIANTS,
            isolate_recompiles=True,
        )
        self._called = False

    def __call__(self, *arguments: Any) -> Any:
        with torch.no_grad():
            if self._called:
                return self._compiled(*arguments)
            start = time.perf_counter()
            try:
                result = self._compiled(*arguments)
            except Exception as cause:
                raise CompileError(f"The solve cannot be compiled: {type(cause).__name__}: {_first_line(cause)}") from cause
            self.seconds += time.perf_counter() - start
            self._called = True
            return result


def program_of(graph: FieldGraph, key: Hashable, make: Callable[[], Callable[..., Any]]) -> Program:
    """The program of this field and this key, made at the first call."""
    program = graph.programs.get(key)
    if program is None:
        program = graph.programs[key] = Program(make())
    return program


def free(tensor: Tensor, *dimensions: int) -> Tensor:
    """Let the sizes of these dimensions vary from call to call, where they do not stand for a batch of none or one."""
    for dimension in dimensions:
        if dimension < tensor.dim() and tensor.shape[dimension] > 1:
            torch._dynamo.maybe_mark_dynamic(tensor, dimension)
    return tensor


def _first_line(cause: BaseException) -> str:
    return next((line.strip() for line in str(cause).splitlines() if line.strip()), "")
