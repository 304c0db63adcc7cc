"""Whether a plugin keeps what it promises: plain functions, for us and for authors of plugins in their own repositories.

A check takes an instance, raises `Failure` where a promise is broken, and may return a line on what it measured. Which checks
apply follows from what the instance declares: `checks_of(plugin)`. In a test suite:

    @parametrize_with_checks([MySolver()])
    def test_it_keeps_what_it_promises(plugin, check):
        check(plugin)

and in a shell `odebench check NAME`. A gap that is known is declared on the class, `known_failures = {"check_x": "why"}`; it is
then expected, and a check that passes against that is a failure too.

The names are loaded when they are first used: the process that starts others to run checks needs no torch.
"""

from __future__ import annotations

import importlib
from typing import Any

_WHERE = {
    "Check": "odebench.conformance.checks",
    "Failure": "odebench.conformance.failure",
    "checks_of": "odebench.conformance.checks",
    "gradient_checks": "odebench.conformance.gradients",
    "kind_of": "odebench.conformance.checks",
    "model_checks": "odebench.conformance.models",
    "parametrize_with_checks": "odebench.conformance.parametrize",
    "solver_checks": "odebench.conformance.solvers",
}

__all__ = sorted(_WHERE)


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'odebench.conformance' has no attribute {name!r}")
    return getattr(importlib.import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return __all__
