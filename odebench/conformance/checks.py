"""Which checks apply to a plugin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from odebench.conformance.gradients import gradient_checks
from odebench.conformance.gradients.companions import lacking
from odebench.conformance.models import model_checks
from odebench.conformance.solvers import solver_checks
from odebench.contract import GradientMethod, Model, Solver

Check = Callable[[Any], str | None]
"""`check_<property>(plugin)`: raises `Failure`, or returns what it measured in a few words, or nothing."""

_BY_KIND: dict[str, tuple[type, Callable[[Any], list[Check]]]] = {
    "solver": (Solver, solver_checks),
    "gradient": (GradientMethod, gradient_checks),
    "model": (Model, model_checks),
}
CHECKED_KINDS = tuple(_BY_KIND)
"""The kinds of plugins that there are checks for."""


def kind_of(plugin: Any) -> str | None:
    """Whether an instance is a solver, a gradient method or a model; None for what no check knows."""
    return next((kind for kind, (promised, _) in _BY_KIND.items() if isinstance(plugin, promised)), None)


def unavailable(plugin: Any) -> str | None:
    """Why a solver cannot be used on this machine, or all that a gradient method works with; None where there is one to check."""
    if isinstance(plugin, GradientMethod):
        return lacking(plugin)
    return plugin.unavailable if isinstance(plugin, Solver) else None


def checks_of(plugin: Any) -> list[Check]:
    """The checks that apply to this instance, chosen by what it declares.

    Raises:
        TypeError: it is neither a solver, nor a gradient method, nor a model.
    """
    kind = kind_of(plugin)
    if kind is None:
        raise TypeError(
            f"{plugin!r} is neither a solver, a gradient method nor a model, so there is nothing to check. Give an instance."
        )
    return _BY_KIND[kind][1](plugin)
