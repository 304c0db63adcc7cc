"""Against autograd through the same steps: equal to rounding, or nearer with each halving of the step."""

from __future__ import annotations

import itertools
import math

import torch

from odebench.conformance.failure import Failure
from odebench.conformance.gradients import companions
from odebench.conformance.gradients.companions import Companion
from odebench.conformance.gradients.problems import PairField, SmoothField, start, start_of_pair
from odebench.conformance.gradients.trial import (
    INEXACT,
    TIMES,
    demand_close,
    evaluations_of,
    recorded,
    relative,
    rounding,
    tried,
)
from odebench.contract import GradientMethod, StepSize, Tolerance
from odebench.errors import OdebenchError

_INSIDE = (0.0, 0.37, 0.42, 1.0)


def check_a_solver_is_supported(method: GradientMethod) -> str:
    """`supports` accepts some solver, and says in a sentence why not of those that it refuses."""
    asked = [companions.ThreeStages(), companions.Pair(), companions.TwoSteps()]
    for solver in asked:
        reason = method.supports(solver)
        if reason is not None and (not isinstance(reason, str) or len(reason.split()) < 3):
            raise Failure(
                expected="None from `supports`, or the reason why not as a sentence",
                measured=f"{reason!r} for a solver named {solver.name!r}",
                cause="`supports` returns whether it works, instead of why it does not",
                look="`supports`: it returns None where the method works",
            )
    found = companions.fixed(method)
    if not found:
        raise Failure(
            expected="at least one solver that the method supports",
            measured=f"none: of {asked[0].name!r} it says {method.supports(asked[0])!r}",
            cause="`supports` asks for something that no solver here has, and no registered solver either",
            look="`supports`, or register the solver that the method is made for in the same plugin",
        )
    return "tried with " + ", ".join(companion.solver.name for companion in found)


def check_exact_for_the_discretisation(method: GradientMethod) -> str:
    """The gradient equals that of the discrete solution on the same grid to rounding, with several solvers and times."""
    worst = 0.0
    for companion in companions.fixed(method):
        for ts in (TIMES, tuple(reversed(TIMES))):
            worst = max(worst, _exact_error(method, companion, ts, StepSize(steps=12)))
    # So many that any schedule has to compute stretches of steps more than once.
    many = companions.thrifty(method)[0]
    worst = max(worst, _exact_error(method, many, TIMES, StepSize(steps=200)))
    return f"largest relative difference {worst:.1e}"


def check_exact_on_chosen_steps(method: GradientMethod) -> str:
    """Where steps are chosen, some rejected, and outputs lie inside them, the gradient is that of the accepted steps."""
    worst = 0.0
    for companion in companions.adaptive(method):
        request = Tolerance(rtol=1e-3, atol=1e-5, first_step=0.5)
        worst = max(worst, _exact_error(method, companion, _INSIDE, request))
    return f"largest relative difference {worst:.1e}"


def check_gap_falls_at_the_solvers_order(method: GradientMethod) -> str:
    """The gap to the gradient of the discrete solution falls with the step at the solver's order, y0 and parameters apart."""
    told = []
    for companion in companions.fixed(method):
        gaps: dict[str, list[float]] = {"y0": [], "parameters": []}
        for steps in (8, 16, 32, 64):
            field, y0 = SmoothField(), start()
            trial = tried(method, companion, field, y0, request=StepSize(steps=steps))
            expected = recorded(companion, field, y0, TIMES, trial.solution.grid)
            gaps["y0"].append(relative(trial.gradients["y0"], expected["y0"]))
            joined = [
                torch.cat(
                    [
                        torch.zeros(0, dtype=y0.dtype) if g is None else g.flatten()
                        for k, g in found.items()
                        if k != "y0"
                    ]
                )
                for found in (trial.gradients, expected)
            ]
            gaps["parameters"].append(relative(*joined))
        for what, values in gaps.items():
            told.append(f"{_demand_order(companion, what, values)} ({what}, {companion.solver.name})")
    return "slopes " + ", ".join(told)


def check_gap_follows_the_tolerance(method: GradientMethod) -> str:
    """With steps chosen on both ways, a tighter tolerance brings the gradient nearer to that of the discrete solution."""
    gaps = []
    for companion in companions.adaptive(method)[:1]:
        for tolerance in (1e-3, 1e-5, 1e-7):
            field, y0 = SmoothField(), start()
            trial = tried(method, companion, field, y0, _INSIDE, Tolerance(rtol=tolerance, atol=tolerance))
            expected = recorded(companion, field, y0, _INSIDE, trial.solution.grid)
            gaps.append(max(relative(trial.gradients[name], expected[name]) for name in expected))
        if not (gaps[-1] < 1e-4 and gaps[-1] <= 0.1 * gaps[0]):
            raise Failure(
                expected="a gap to the gradient of the discrete solution that falls with the tolerance, below 1e-4 at 1e-7",
                measured=f"{', '.join(f'{gap:.1e}' for gap in gaps)} at tolerances of 1e-3, 1e-5 and 1e-7",
                cause="the backward solve does not take the tolerance of the forward one, or outputs inside steps are lost",
                look="how the backward solve is asked to choose its steps, and where the gradients of outputs are added",
            )
    return "gaps " + ", ".join(f"{gap:.1e}" for gap in gaps)


def check_tuple_states(method: GradientMethod) -> str:
    """A tuple of tensors of different shapes gets a tuple of outputs, and the gradient of each."""
    worst = 0.0
    for companion in companions.fixed(method)[:2]:
        field, y0 = PairField(), start_of_pair()
        trial = tried(method, companion, field, y0)
        shapes = [tuple(y.shape) for y in trial.solution.ys] if isinstance(trial.solution.ys, tuple) else None
        if shapes != [(len(TIMES), *leaf.shape) for leaf in y0]:
            raise Failure(
                expected="outputs `(times, *state)` for each tensor of the tuple",
                measured=f"{shapes if shapes is not None else type(trial.solution.ys).__name__}",
                cause="the state is packed for the solve, and not unpacked again",
                look="where `solve` builds its `Solution`",
            )
        expected = recorded(companion, field, y0, TIMES, trial.solution.grid)
        bound = rounding(evaluations_of(trial.solution)) if method.exact_for_discretisation else INEXACT
        worst = max(
            worst,
            demand_close(
                trial.gradients,
                expected,
                bound,
                "the gradient of each tensor of a tuple state as autograd gives it",
                "how the gradients of the outputs are packed, and those of the state unpacked",
            ),
        )
    return f"largest relative difference {worst:.1e}"


def check_steps_for_each_row(method: GradientMethod) -> str:
    """With steps of its own for each row the gradient is right, or the method refuses them in words."""
    for companion in companions.adaptive(method)[:1]:
        field, y0 = SmoothField(), start()
        field.accepts_batched_time = True
        request = Tolerance(rtol=1e-3, atol=1e-5, batch="per-sample")
        try:
            trial = tried(method, companion, field, y0, (0.0, 1.0), request)
        except OdebenchError as refusal:
            return f"refused: {refusal}"
        expected = recorded(companion, field, y0, (0.0, 1.0), trial.solution.grid)
        demand_close(
            trial.gradients,
            expected,
            rounding(10 * evaluations_of(trial.solution)),
            "the gradient of steps that each row takes for itself, or a refusal",
            "where the grid is replayed: `t` and `dt` have a column for each row, and 0 where a row does not move",
        )
    return "as autograd gives it"


def _exact_error(
    method: GradientMethod, companion: Companion, ts: tuple[float, ...], request: StepSize | Tolerance
) -> float:
    field, y0 = SmoothField(), start()
    trial = tried(method, companion, field, y0, ts, request)
    expected = recorded(companion, field, y0, ts, trial.solution.grid)
    return demand_close(
        trial.gradients,
        expected,
        rounding(evaluations_of(trial.solution)),
        f"the gradient of the discrete solution, with {companion.solver.name} from t = {ts[0]:g} to {ts[-1]:g}",
        "the backward pass; or declare `exact_for_discretisation = False` if it solves an adjoint equation",
    )


def _demand_order(companion: Companion, what: str, gaps: list[float]) -> str:
    order = companion.solver.order
    slopes = [math.log2(coarse / fine) for coarse, fine in itertools.pairwise(gaps) if fine > 1e-12]
    if not slopes and gaps[-1] <= 1e-12:
        return "none, exact"
    if not slopes or slopes[-1] < order - 0.35:
        raise Failure(
            expected=f"a gap that falls at the order of {companion.solver.name}, {order}",
            measured=f"gaps of {', '.join(f'{gap:.1e}' for gap in gaps)} in the gradient of {what} at 8, 16, 32 and 64 steps, "
            f"slopes of {', '.join(f'{slope:.2f}' for slope in slopes) or 'none'}",
            cause="a gap that does not fall is a wrong term, often a sign; one that falls at a lower order is a state or a time "
            "taken from the wrong place",
            look="the right-hand side of the adjoint equation: a' = -(∂f/∂y)ᵀ a, g' = -(∂f/∂θ)ᵀ a, backward in time",
        )
    return f"{slopes[-1]:.2f}"
