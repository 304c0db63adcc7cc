"""What is found out about a plugin, beyond what it says: stability, costs, what goes together, the shape of a problem."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from odebench.cli.describe import fraction, instance_of

if TYPE_CHECKING:
    from odebench.contract import GradientMethod, Model, Solver
    from odebench.plugins import Entry, Registry


def details(entry: Entry, registry: Registry) -> dict[str, Any]:
    """Figures about an entry with its defaults, as JSON values; empty where it cannot be built or is of another kind.

    Solvers: `stability`, `cost`, `gradients`; gradient methods: `cost`, `solvers`; models: `problem`.
    """
    instance, reason = instance_of(entry)
    if reason is not None:
        return {}
    if entry.kind == "solver":
        pairs = {one.name: _refusal(method, instance) for one, method in _built(registry, "gradient")}
        return {"stability": stability_of(instance), "cost": cost_of(instance), "gradients": _sorted_out(pairs)}
    if entry.kind == "gradient":
        solvers = _built(registry, "solver")
        pairs = {one.name: _refusal(instance, solver) for one, solver in solvers}
        return {"cost": _cost_with_a_solver(instance, solvers, pairs), "solvers": _sorted_out(pairs)}
    return {"problem": problem_of(instance)} if entry.kind == "model" else {}


def stability_of(solver: Solver) -> dict[str, Any] | None:
    """The stability function: coefficients of numerator and denominator by rising powers, and where it is stable.

    `real_end` and `imaginary_end` are None where the axis has no end of stability. None where there is no such function.
    """
    from odebench.numerics.stability import measured_stability_function, stability_function

    tableau = getattr(solver, "tableau", None)
    try:
        function = stability_function(tableau) if tableau is not None else measured_stability_function(solver)
    except Exception:  # noqa: BLE001 - a plugin's code; its other figures are still to be shown
        function = None
    if function is None:
        return None
    ends = {name: getattr(function, name) for name in ("real_end", "imaginary_end")}
    return {
        "from": "tableau" if tableau is not None else "one step",
        "numerator": [fraction(x) for x in function.numerator],
        "denominator": [fraction(x) for x in function.denominator],
        **{name: None if math.isinf(end) else end for name, end in ends.items()},
        "a_stable": function.a_stable,
        "l_stable": function.l_stable,
    }


def cost_of(solver: Solver, method: GradientMethod | None = None) -> dict[str, Any] | None:
    """Evaluations and vector-Jacobian products of a step, counted; None where no uniform steps can be taken."""
    from odebench.run.step_cost import cost_of_step

    try:
        cost = cost_of_step(solver, method)
    except Exception:  # noqa: BLE001 - a plugin's code, or a pair that does not work
        return None
    return {"solver": solver.name, "forward": cost.forward, "backward": cost.backward, "vjps": cost.vjps}


def problem_of(model: Model) -> dict[str, Any] | None:
    """What a model asks, from its problem of seed 0; None where it cannot be built."""
    try:
        problem = model.problem(0)
        leaves = problem.y0 if isinstance(problem.y0, tuple) else (problem.y0,)
        return {
            "state": [list(leaf.shape) for leaf in leaves],
            "times": len(problem.ts),
            "start": float(problem.ts[0]),
            "end": float(problem.ts[-1]),
            "parameters": sum(parameter.numel() for parameter in problem.field.parameters()),
            "closed_form": problem.exact is not None,
            "stiff": problem.stiff,
            "can_learn": model.can_learn,
        }
    except Exception:  # noqa: BLE001 - a plugin's code; that it fails is told by its checks
        return None


def _built(registry: Registry, kind: str) -> list[tuple[Entry, Any]]:
    """Everything of a kind that its defaults can build."""
    built = ((entry, *instance_of(entry)) for entry in registry.entries(kind))
    return [(entry, instance) for entry, instance, reason in built if reason is None]


def _refusal(method: GradientMethod, solver: Solver) -> str | None:
    """Why a gradient method does not work with a solver; None where it does."""
    try:
        return method.supports(solver)
    except Exception as error:  # noqa: BLE001 - a plugin's code
        return f"It cannot say: {type(error).__name__}: {error}"


def _sorted_out(pairs: dict[str, str | None]) -> dict[str, Any]:
    return {
        "with": [name for name, reason in pairs.items() if reason is None],
        "without": {name: reason for name, reason in pairs.items() if reason is not None},
    }


def _cost_with_a_solver(
    method: GradientMethod, solvers: list[tuple[Entry, Any]], pairs: dict[str, str | None]
) -> dict[str, Any] | None:
    """The cost with the default solver, or one of that name in a library, or the first that works."""
    from odebench.api import DEFAULT_SOLVER

    by_name = {entry.name: solver for entry, solver in solvers if pairs[entry.name] is None}
    names = sorted(by_name, key=lambda name: (name != DEFAULT_SOLVER, name.rpartition("/")[2] != DEFAULT_SOLVER))
    costs = (cost_of(by_name[name], method) for name in names)
    return next((cost for cost in costs if cost is not None), None)
