"""What keeps numbers out of the inputs of compiled code."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import FunctionType
from typing import Any


@functools.cache
def numbers_are_constant() -> AbstractContextManager[None]:
    """While it is open, numbers are part of what is compiled; those that TorchDynamo makes inputs of could not enter a loop."""
    # Loaded by those who compile: a solver that is read from a file needs no compiler.
    import torch._dynamo

    return torch._dynamo.config.patch(specialize_float=True)


_numbers = itertools.count()


def fresh(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that calls `function`, with a name of its own.

    TorchDynamo remembers by file, line and name which numbers differed from one compilation to the next, and makes inputs of
    those: the coefficients of two solvers in one loop would end up as such.
    """

    def call(*arguments: Any) -> Any:
        return function(*arguments)

    code = call.__code__.replace(co_name=f"call_{next(_numbers)}")
    return FunctionType(code, call.__globals__, code.co_name, None, call.__closure__)
