"""Solvers and divisions of time, in words and numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from odebench.api import build
from odebench.contract import Grid, GridRequest, Solver, Tolerance
from odebench.errors import IncompatibleError
from odebench.validation.calls import OWN, Call, Scheme, division_of
from odebench.validation.result import Tried


def described(scheme: Scheme, calls: Sequence[Call]) -> Tried:
    """A scheme in words and numbers, for the calls of a forward."""
    means = [scheme.means(call) for call in calls]
    names = ", ".join(dict.fromkeys(solver.name for solver, _ in means))
    requests = [request for _, request in means]
    order, finer = min(solver.order for solver, _ in means), scheme.finer
    if all(isinstance(request, Grid) for request in requests):
        counts = sorted({request.steps for request in requests})
        words = (
            f"{counts[0]} step{'s' if counts[0] > 1 else ''}"
            if len(counts) == 1
            else f"{counts[0]} to {counts[-1]} steps"
        )
        return Tried(
            solver=names,
            division=words,
            steps=counts[0] if len(counts) == 1 else None,
            step_size=max(request.dt.abs().max().item() for request in requests),
            finer=finer,
            order=order,
        )
    tolerances = list(
        dict.fromkeys((request.rtol, request.atol) for request in requests if isinstance(request, Tolerance))
    )
    words = "; ".join(f"tolerance {r:.2g}" if r == a else f"rtol {r:.2g}, atol {a:.2g}" for r, a in tolerances)
    rtol, atol = tolerances[0] if len(tolerances) == 1 else (None, None)
    return Tried(solver=names, division=words, rtol=rtol, atol=atol, finer=finer, order=order)


def refuse_another(said: tuple[Solver, GridRequest] | None, call: Call) -> None:
    """Compare the solver that was named with the one that was seen.

    Raises:
        IncompatibleError: they differ.
    """
    if said is None:
        return
    solver, request = said
    told, seen = (
        described(OWN, [replace(call, solver=solver, request=division_of(request, call.ts))]),
        described(OWN, [call]),
    )
    if told.label == seen.label:
        return
    meaning = ""
    if told.solver != seen.solver and (theirs := getattr(build("solver", seen.solver), "odeint_name", None)):
        meaning = f" (in torchdiffeq {theirs!r} means {seen.solver}, and other methods have other names here too)"
    raise IncompatibleError(
        f"The model solves with {seen.label}{meaning}, but {told.label} is what was given. Leave solver and steps out, or give the same."
    )
