"""A benchmark suite for neural-ODE solvers, gradient methods and models, and a library of fast, exact ones.

The public names are loaded when they are first used, so that `import odebench` needs no torch.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_WHERE = {
    "Answer": "odebench.contract",
    "ButcherTableau": "odebench.numerics",
    "DiagonallyImplicitRungeKutta": "odebench.numerics",
    "Examples": "odebench.contract",
    "ExplicitRungeKutta": "odebench.numerics",
    "Field": "odebench.contract",
    "Findings": "odebench.contract",
    "GradientMethod": "odebench.contract",
    "Grid": "odebench.contract",
    "Learning": "odebench.contract",
    "Model": "odebench.contract",
    "OdebenchError": "odebench.errors",
    "OneStepSolver": "odebench.numerics",
    "OpaqueSolver": "odebench.contract",
    "Problem": "odebench.contract",
    "Setting": "odebench.contract",
    "Solution": "odebench.contract",
    "Solver": "odebench.contract",
    "Stats": "odebench.contract",
    "Step": "odebench.contract",
    "StepPolicy": "odebench.contract",
    "StepSize": "odebench.contract",
    "Study": "odebench.contract",
    "Task": "odebench.contract",
    "Tolerance": "odebench.contract",
    "Trial": "odebench.contract",
    "Unknown": "odebench.contract",
    "Workplace": "odebench.contract",
    "compile_solver": "odebench.compiled.package",
    "hookimpl": "odebench.hookspecs",
    "load": "odebench.report.frame",
    "load_series": "odebench.report.series",
    "load_solver": "odebench.compiled.package",
    "odeint": "odebench.drop_in",
    "solve": "odebench.api",
    "step_policy": "odebench.policy_watch",
    "validate": "odebench.validation",
}

__all__ = [*sorted(_WHERE), "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'odebench' has no attribute {name!r}")
    # Not kept here: `odebench.validate` replaces what the modules hold.
    return getattr(importlib.import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return __all__
