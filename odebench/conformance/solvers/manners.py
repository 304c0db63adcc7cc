"""Manners: what is given is left as it is, the process too, and what goes wrong in the field is passed on."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from odebench.conformance.failure import Failure
from odebench.conformance.problems import Layers, turning
from odebench.conformance.solvers.evaluations import Counted
from odebench.conformance.solvers.requests import requests, solved
from odebench.contract import GridRequest, Solver, Tolerance
from odebench.errors import DivergedError
from odebench.run import global_state

# More evaluations than this on a problem of ten steps are a loop without an end.
_ENDLESS = 5_000
# What an import changes that happens when something is first used.
_IMPORTED = (
    "the environment variables",
    "the functions of torch",
    "the number of Python threads",
    "the signal handlers",
)


def check_inputs_are_not_changed(solver: Solver) -> str:
    """The initial state, the times and the weights are what they were, and the result shares no memory with the state."""
    for words, request in requests(solver).items():
        field, ts = Layers(), [0.0, 0.5, 1.0]
        y0 = torch.tensor([[0.3, -0.8], [1.1, 0.4]], dtype=torch.float64)
        before = (y0.clone(), field.weight.detach().clone(), list(ts))
        with torch.no_grad():
            ys = solved(solver, field, y0, ts, request).ys
            ys.zero_()
        same = torch.equal(y0, before[0]), torch.equal(field.weight, before[1]), ts == before[2]
        if not all(same):
            changed = [
                name
                for name, kept in zip(("the initial state", "a weight", "the times"), same, strict=True)
                if not kept
            ]
            raise Failure(
                expected=f"initial state, weights and times to stay as they were, also when the result is written to ({words})",
                measured=f"that {', '.join(changed)} changed",
                cause="an operation in place on what was given, or a result that is a view of it",
                look="methods that end with `_`, and `out=`",
            )
    return "state, weights, times"


def check_global_state(solver: Solver) -> str:
    """A solve leaves torch and the process as it found them: gradient mode, default dtype, random state, threads and the rest."""
    dtype, random = torch.get_default_dtype(), torch.get_rng_state()
    try:
        # The first time something may be imported, which is no change of the state that others see.
        for default, ignored in ((torch.float64, _IMPORTED), (torch.float32, ())):
            torch.set_default_dtype(default)  # lest one that is set at each solve be taken for the one as it was
            torch.rand(1)  # likewise a seed
            before = global_state.snapshot()
            _solve_and_break_off(solver)
            if changed := global_state.differences(before, global_state.snapshot(), ignored):
                _refuse_state(changed, "after a solve, and after one that the field broke off")
    finally:
        torch.set_default_dtype(dtype)
        torch.set_rng_state(random)
    return f"{len(before)} things are as they were"


def _solve_and_break_off(solver: Solver) -> None:
    def broken(t: Tensor, y: Tensor) -> Tensor:
        raise _Broken

    problem = turning()
    for words, request in requests(solver).items():
        for recording in (False, True):
            y0 = problem.y0.clone().requires_grad_(recording and solver.differentiable)
            with torch.set_grad_enabled(recording):
                solved(solver, problem.field, y0, (0.0, 1.0), request, problem.name)
                _raised_by(solver, broken, y0, request)
                if torch.is_grad_enabled() != recording:
                    _refuse_state(["torch's grad mode"], words)


def _refuse_state(changed: list[str], words: str) -> None:
    raise Failure(
        expected=f"the state of torch and of the process to be as before ({words})",
        measured=f"changes of {', '.join(changed)}",
        cause="something is set and not put back, or put back only where all goes well",
        look="calls such as `torch.set_…`, `manual_seed` and `enable_grad`; use context managers",
    )


class _Broken(Exception):  # noqa: N818 - it is thrown into the solver, and is nobody's error
    """What a field of ours raises."""


class _BrokenAssertionError(_Broken, AssertionError):
    """The same, for those who catch the errors of a library of theirs."""


class _BrokenRuntimeError(_Broken, RuntimeError):
    """Likewise."""


@torch.no_grad()
def check_exceptions_are_passed_on(solver: Solver) -> str:
    """What the field raises reaches the caller: the same exception, at whichever evaluation."""
    problem = turning()
    for words, request in requests(solver).items():
        whole = Counted(problem.field)
        solved(solver, whole, problem.y0, (0.0, 1.0), request, problem.name)
        for kind in (_Broken, _BrokenAssertionError, _BrokenRuntimeError):
            for last in sorted({1, 2, whole.calls // 2, whole.calls} - {0}):
                error = kind("by the field, on purpose")
                calls = 0

                def breaking(t: Tensor, y: Tensor, last: int = last, error: Exception = error) -> Tensor:
                    nonlocal calls
                    calls += 1
                    if calls >= last:
                        raise error
                    return problem.field(t, y)

                raised = _raised_by(solver, breaking, problem.y0, request)
                if raised is not error:
                    told = "nothing was raised" if raised is None else f"{type(raised).__name__}: {raised}"
                    raise Failure(
                        expected=f"the {kind.__bases__[-1].__name__} that the field raises at evaluation {last} ({words})",
                        measured=told,
                        cause="an `except` that is wider than what it is meant for",
                        look="every `try` around a call of the field",
                    )
    return "at the first, the second, a middle and the last evaluation"


@torch.no_grad()
def check_nan_is_passed_on(solver: Solver) -> str:
    """Where the field gives no number, the solve ends soon: in `DivergedError`, or with a state that is no number either."""
    problem, said = turning(), []
    for words, request in requests(solver).items():
        for what in ("nan", "inf"):
            field = Counted(_failing_at_half_time(float(what)))
            raised = None
            try:
                ys = solver.solve(field, problem.y0, (0.0, 0.25, 1.0), request).ys
            except DivergedError as error:
                raised, ys = error, None
            except _Broken:
                raise Failure(
                    expected=f"the solve to end where the field gives {what} ({words})",
                    measured=f"more than {_ENDLESS} evaluations",
                    cause="a comparison with nan, which is always false, keeps a loop going",
                    look="the conditions that accept or reject a step: write `not error <= 1`",
                ) from None
            except Exception as error:
                raise Failure(
                    expected=f"`DivergedError`, or a state that is not finite, where the field gives {what} ({words})",
                    measured=f"{type(error).__name__}: {error}",
                    cause="the library underneath says it in its own way",
                    look="`solve`: raise `odebench.errors.DivergedError` from that error",
                ) from error
            if ys is not None and bool(torch.isfinite(ys[-1]).all()):
                raise Failure(
                    expected=f"an end that is not finite, since the field gives {what} from half time on ({words})",
                    measured="finite numbers",
                    cause="what is not a number is replaced by one, or a stage that has it counts with weight 0",
                    look="`nan_to_num`, `where` and `clamp`",
                )
            said.append(f"{type(raised).__name__ if raised else what} after {field.calls} evaluations")
    return "; ".join(dict.fromkeys(said))


def _failing_at_half_time(value: float) -> Callable[[Tensor, Tensor], Tensor]:
    problem, calls = turning(), 0

    def field(t: Tensor, y: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        if calls > _ENDLESS:
            raise _Broken
        return torch.full_like(y, value) if t >= 0.5 else problem.field(t, y)

    return field


@torch.no_grad()
def check_max_steps(solver: Solver) -> str:
    """More attempts than `max_steps` end the solve in `DivergedError`, and no more are made."""
    problem, most = turning(), 4
    field = Counted(problem.field)
    request = Tolerance(rtol=1e-9, atol=1e-9, max_steps=most)
    try:
        solver.solve(field, problem.y0, (0.0, 10.0), request)
    except DivergedError:
        raised = "DivergedError"
    except Exception as error:  # noqa: BLE001 - any other is the finding
        raised = f"{type(error).__name__}: {error}"
    else:
        raised = "a solution"
    if raised != "DivergedError":
        raise Failure(
            expected=f"`DivergedError` where {most} steps are allowed and many more are needed",
            measured=f"{raised}, after {field.calls} evaluations",
            cause="`Tolerance.max_steps` is not read",
            look="the loop that takes the steps",
        )
    # Two more attempts, and two evaluations, for the choice of the first step and for what a library does at its ends.
    allowed = (most + 2) * (solver.stages + 1) + 2 if solver.stages else None
    if allowed is not None and field.calls > allowed:
        raise Failure(
            expected=f"at most {allowed} evaluations in {most} attempts of {solver.stages} stages",
            measured=f"{field.calls}",
            cause="rejected steps are not counted as attempts",
            look="where `max_steps` is compared",
        )
    return f"after {field.calls} evaluations"


def _raised_by(
    solver: Solver, field: Callable[[Tensor, Tensor], Tensor], y0: Tensor, request: GridRequest
) -> BaseException | None:
    try:
        solver.solve(field, y0, (0.0, 1.0), request)
    except BaseException as error:  # noqa: BLE001 - which one it is is the question
        return error
    return None
