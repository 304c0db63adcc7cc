"""Time: backward, shifted, several output times, and a step that does not divide the span."""

from __future__ import annotations

import torch
from torch import Tensor

from odebench.conformance.failure import Failure
from odebench.conformance.problems import Growth, Turning, turning
from odebench.conformance.solvers.requests import relative, requests, solved
from odebench.contract import Grid, GridRequest, Solution, Solver, StepSize, Tolerance

# What two ways of writing the same solve may differ by: by rounding on given steps; with step control also by what follows
# where a rounding decides whether a step is accepted.
_ROUNDING, _CHOSEN = 1e-11, 1e-3


@torch.no_grad()
def check_reversed_time(solver: Solver) -> str:
    """Solving backward in time is solving the mirrored field forward, and leads back to where the solution came from."""
    problem = turning()
    said = []
    for words, request in requests(solver, steps=16).items():
        back, mirrored = _there_and_mirrored(solver, request)
        if back.grid is not None and not bool((back.grid.dt < 0).all()):
            raise Failure(
                expected=f"steps of negative length backward in time ({words})",
                measured=f"{back.grid.dt.tolist()[:4]}",
                cause="lengths are stored without their sign",
                look="where the grid is collected",
            )
        if (apart := _apart_in_another_way(solver, request, relative(back.ys, mirrored.ys))) is not None:
            said.append(apart)
            continue
        _refuse_gap(
            back.ys,
            mirrored.ys,
            f"what the mirrored field gives forward in time ({words})",
            "the sign of the step is lost somewhere: in the time of a stage, in an interpolant, in the step control",
            "every place that holds a length or compares times",
            _allowed(request),
        )
        said.append(f"back at the start to {relative(back.y1, problem.y0):.1g} ({words})")
    return ", ".join(said)


def _there_and_mirrored(solver: Solver, request: GridRequest) -> tuple[Solution, Solution]:
    """The turning plane solved backward, and its mirror image forward."""
    problem = turning()
    end = problem.exact(1.0)
    back = solved(solver, problem.field, end, (1.0, 0.5, 0.0), request, f"{problem.name}, backward")

    def mirrored(s: Tensor, y: Tensor) -> Tensor:
        return -problem.field(-s, y)

    return back, solved(solver, mirrored, end, (-1.0, -0.5, 0.0), request, f"{problem.name}, mirrored")


def _apart_in_another_way(solver: Solver, request: GridRequest, gap: float) -> str | None:
    """What is to be said of a method that is no tableau and tells the two apart, as one with a linear part of its own does: both
    have to converge to the same states at its order. None where that is not so, or the two are equal."""
    steps = getattr(request, "steps", None)
    if getattr(solver, "tableau", None) is not None or steps is None or not gap > _allowed(request):
        return None
    back, mirrored = _there_and_mirrored(solver, StepSize(steps=4 * steps))
    finer = relative(back.ys, mirrored.ys)
    if not finer * 4.0 ** (solver.order - 0.5) < gap:
        return None
    return f"tells it from the mirrored field by {gap:.1g} with {steps} steps, {finer:.1g} with {4 * steps}"


@torch.no_grad()
def check_shifted_time(solver: Solver) -> str:
    """A field whose clock is shifted gives the same states at shifted times; one that ignores the time gives them at any."""
    problem, shift, ts = turning(), 3.0, (0.0, 0.5, 1.0)
    later = tuple(t + shift for t in ts)
    pairs = {
        "a field that depends on the time": (Turning(), lambda t, y: Turning()(t - shift, y), problem.y0),
        "an autonomous field": (Growth(), Growth(), torch.tensor([[1.0], [3.0]], dtype=torch.float64)),
    }
    for what, (field, shifted, y0) in pairs.items():
        for words, request in requests(solver).items():
            _refuse_gap(
                solved(solver, shifted, y0, later, request, what).ys,
                solved(solver, field, y0, ts, request, what).ys,
                f"the same states three units of time later, for {what} ({words})",
                "a stage is called with a time of its own step instead of the problem's",
                "the time that each stage passes to the field",
                _allowed(request),
            )
    return "shifted by 3"


@torch.no_grad()
def check_output_times(solver: Solver) -> str:
    """States at several output times are those of solves that end there, and times may be a tensor."""
    problem, ts = turning(), (0.0, 0.25, 0.75, 1.0)
    exact = torch.stack([problem.exact(t) for t in ts])
    figures = []
    for words, request in requests(solver, tolerance=1e-5).items():
        solution = solved(solver, problem.field, problem.y0, ts, request, problem.name)
        as_tensor = solved(solver, problem.field, problem.y0, torch.tensor(ts, dtype=torch.float64), request)
        _refuse_gap(
            as_tensor.ys, solution.ys, f"the same states for times in a tensor ({words})", "times are rounded", "`ts`"
        )
        if isinstance(request, StepSize):
            for index, steps in ((1, 2), (2, 6)):
                alone = solved(solver, problem.field, problem.y0, (0.0, ts[index]), StepSize(steps=steps), problem.name)
                _refuse_gap(
                    solution.ys[index],
                    alone.y1,
                    f"the state at {ts[index]} of a solve that goes on to be that of one that ends there ({words})",
                    "an output is taken from the wrong step",
                    "where outputs are collected",
                )
        else:
            error = (solution.ys - exact).abs().max().item()
            figures.append(f"error {error:.1g} ({words})")
            if not error <= 0.05:
                raise Failure(
                    expected=f"an error of at most 0.05 at every output time ({words})",
                    measured=f"{error:.2g}",
                    cause="an output is taken from the wrong step, or interpolated with a wrong share of it",
                    look="where outputs are collected, and `interpolate`",
                )
    return ", ".join(figures) or "at the ends of steps"


@torch.no_grad()
def check_uneven_last_step(solver: Solver) -> str:
    """A step size that does not divide the span ends with one shorter step, which meets the end exactly."""
    problem = turning()
    solution = solved(
        solver, problem.field, problem.y0, (0.0, 1.0), StepSize(step_size=0.3), "a step of 0.3 over a span of 1"
    )
    as_tensor = lambda *values: torch.tensor(values, dtype=torch.float64)  # noqa: E731
    by_hand = Grid(t=as_tensor(0.0, 0.3, 0.6, 0.9), dt=as_tensor(0.3, 0.3, 0.3, 0.1), end=1.0)
    wanted = solved(solver, problem.field, problem.y0, (0.0, 1.0), by_hand, "steps of 0.3, 0.3, 0.3 and 0.1")
    _refuse_gap(
        solution.ys,
        wanted.ys,
        "a step of 0.3 over a span of 1 to be steps of 0.3, 0.3, 0.3 and 0.1",
        "the last step is as long as the others, or the length is rounded to one that divides the span",
        "how the grid is made, and whether the coefficients are those of equal steps",
    )
    return "0.3, 0.3, 0.3, 0.1"


def _allowed(request: GridRequest) -> float:
    return _CHOSEN if isinstance(request, Tolerance) else _ROUNDING


def _refuse_gap(got: Tensor, wanted: Tensor, expected: str, cause: str, look: str, allowed: float = _ROUNDING) -> None:
    if got.shape != wanted.shape or not (gap := relative(got, wanted)) <= allowed:
        measured = f"shape {tuple(got.shape)}" if got.shape != wanted.shape else f"a relative difference of {gap:.2g}"
        raise Failure(expected=expected, measured=measured, cause=cause, look=look)
