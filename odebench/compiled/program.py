"""A program compiled whole, and kept."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Hashable
from typing import Any

import torch
from torch import Tensor

from odebench.compiled.field_graph import FieldGraph, told
from odebench.compiled.fresh import fresh, numbers_are_constant
from odebench.compiled.watch import Watch
from odebench.errors import CompileError

MOST_VARIANTS = 8
"""A program that has to be compiled more often than this is given up: shapes that should be free are not."""


BACKEND = "inductor"
OPTIONS: dict[str, Any] | None = {"cpp_wrapper": True}
"""The loop itself is compiled too: it runs without Python."""


class Program:
    """A function of tensors, compiled at its first call as one graph."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._compiled = torch.compile(
            fresh(function),
            fullgraph=True,
            backend=BACKEND,
            options=OPTIONS,
            recompile_limit=MOST_VARIANTS,
            isolate_recompiles=True,
        )
        self._called = False

    def __call__(self, *arguments: Any) -> Any:
        with torch.no_grad(), Watch():
            if self._called:
                return self._compiled(*arguments)
            try:
                with numbers_are_constant(), warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # those of the compiler about itself
                    result = self._compiled(*arguments)
            except Exception as cause:
                raise CompileError(f"The solve cannot be compiled: {told(cause)}") from cause
            self._called = True
            return result


def program_of(graph: FieldGraph, key: Hashable, make: Callable[[], Callable[..., Any]]) -> Callable[..., Any]:
    """The program of this field and this key, made at the first call."""
    program = graph.programs.get((BACKEND, key))
    if program is None:
        program = graph.programs[BACKEND, key] = (graph.translate or Program)(make())
    return program


def free(tensor: Tensor, *dimensions: int) -> Tensor:
    """Let the sizes of these dimensions vary from call to call, where they do not stand for a batch of none or one."""
    if "torch._dynamo" not in sys.modules:
        return tensor  # nothing is compiled here, nor was: the solver was read from a file
    for dimension in dimensions:
        if dimension < tensor.dim() and tensor.shape[dimension] > 1:
            torch._dynamo.maybe_mark_dynamic(tensor, dimension)
    return tensor
