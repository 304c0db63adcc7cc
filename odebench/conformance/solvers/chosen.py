"""Steps that the solver chooses: attempts that are rejected leave no trace, and are few."""

from __future__ import annotations

import torch

from odebench.conformance.failure import Failure
from odebench.conformance.problems import turning
from odebench.conformance.solvers.requests import bits_differ, solved
from odebench.contract import Tolerance
from odebench.numerics import OneStepSolver

_END = 3.0


@torch.no_grad()
def check_rejected_attempts_leave_no_trace(solver: OneStepSolver) -> str:
    """With a first attempt that is too long, and outputs inside steps, the states are those of the accepted steps alone, bit for bit."""
    problem = turning()
    request = Tolerance(rtol=1e-5, atol=1e-5, first_step=_END)
    first = solved(solver, problem.field, problem.y0, (0.0, _END), request, problem.name)
    ts = [0.0, _END]
    if solver.interpolates:
        starts, lengths = first.grid.t.tolist(), first.grid.dt.tolist()
        inside = [t + share * dt for t, dt in zip(starts, lengths, strict=True) for share in (0.03, 0.5, 0.97)]
        ts = sorted({*ts, *inside})
    chosen = solved(solver, problem.field, problem.y0, ts, request, problem.name)
    again = solved(solver, problem.field, problem.y0, ts, chosen.grid, f"{problem.name} on its own grid")
    if (gap := bits_differ(chosen.ys, again.ys)) is not None:
        raise Failure(
            expected=f"the states of the {chosen.grid.steps} accepted steps, bit for bit, after {chosen.stats.rejected} rejected attempts, "
            f"at {len(ts)} output times",
            measured=f"a relative difference of {gap:.2g}",
            cause="the last stage of a rejected attempt serves as the first of the next one, or an output inside a chosen step "
            "is not interpolated",
            look="what is kept when an attempt is rejected, and where output times are met",
        )
    return f"{chosen.stats.rejected} rejected, {chosen.grid.steps} accepted, {len(ts)} outputs"


@torch.no_grad()
def check_few_attempts_are_rejected(solver: OneStepSolver) -> str:
    """On a smooth problem the next step is planned well: at most a third of the attempts are rejected."""
    problem = turning()
    stats = solved(solver, problem.field, problem.y0, (0.0, _END), Tolerance(rtol=1e-6, atol=1e-6), problem.name).stats
    if 2 * stats.rejected > stats.accepted + 2:
        raise Failure(
            expected="at most half as many rejected attempts as accepted steps on a smooth problem, or two",
            measured=f"{stats.rejected} rejected and {stats.accepted} accepted at a tolerance of 1e-6",
            cause="the factor on the step is too large, or does not depend on the error",
            look="the step control: safety · error^(-1/k), k the order of the local error estimate",
        )
    return f"{stats.rejected} rejected, {stats.accepted} accepted"
