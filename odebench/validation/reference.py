"""The numerical error of each solver on the data themselves, measured against a tight solve in float64."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from odebench.contract import State, Tolerance
from odebench.contract.known import relative_l2
from odebench.errors import OdebenchError
from odebench.validation.calls import Scheme
from odebench.validation.solvers_to_test import reference_solvers
from odebench.validation.subject import Evaluated, Subject, moved

# From loose to tight: the first that is tight enough is used. A field with kinks costs ten times more for each step of this ladder.
_TOLERANCES = (1e-6, 1e-8, 1e-10, 1e-12)
# Tight enough: the reference's own uncertainty is at most this share of the error of the model's own solver.
_SHARE = 0.02
_MOST_STEPS = 5_000
_MOST_EVALUATIONS = 20_000
# Errors that differ by no more than so many units in the last place of the model's dtype are equal.
_ROUNDINGS = 8.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Reference:
    """A tight solve, and how far it can be trusted.

    Attributes:
        states: of each call, at its times after the first.
        uncertainty: relative l2 difference from a second solve, by a solver of another order at the same tolerance.
        solvers: names of both.
        tolerance: of both.
        dtype: in which they were done.
    """

    states: tuple[State, ...]
    uncertainty: float
    solvers: tuple[str, str]
    tolerance: float
    dtype: str

    def error(self, evaluated: Evaluated) -> float:
        """Relative l2 error of the states, of the worst call where there are several; infinite where they are not finite."""
        return _distance([solved.after_start for solved in evaluated.solved], self.states)


def reference_for(subject: Subject, inputs: Tensor, own: Evaluated, seed: int) -> Reference | str:
    """A reference that is tight enough to judge the model's own solver, or a sentence saying why there is none.

    Where the ladder of tolerances ends before it is tight enough, the tightest is returned, with its uncertainty.

    Args:
        subject: the model.
        inputs: the rows on which errors are measured.
        own: what the model itself gave for them.
        seed: of random numbers that the model may draw.
    """
    try:
        double, dtype = subject.in_double(), torch.float64
    except Exception:  # noqa: BLE001 - somebody's modules may refuse to be copied in any way
        double, dtype = subject, own.outputs.dtype
    found: Reference | str = "not one tight solve was done"
    floor = torch.finfo(own.outputs.dtype).eps if own.outputs.is_floating_point() else 0.0
    with double.at_rest(), _default_dtype(dtype):
        rows = moved(inputs, double.like())
        for tolerance in _TOLERANCES:
            try:
                found, evaluations = _tight(double, rows, tolerance, seed, str(dtype).removeprefix("torch."))
            except OdebenchError as error:
                return found if isinstance(found, Reference) else f"the tight solve failed: {error}"
            except (RuntimeError, TypeError) as error:
                if double is subject or isinstance(found, Reference):
                    return found if isinstance(found, Reference) else f"the tight solve failed: {error}"
                return f"the model cannot be evaluated in float64: {error}"
            if found.uncertainty <= max(_SHARE * found.error(own), floor) or evaluations > _MOST_EVALUATIONS:
                break
    return found


def equal_within(reference: Reference | str, dtype: torch.dtype) -> float:
    """Errors that differ by no more than this cannot be told apart."""
    rounding = _ROUNDINGS * torch.finfo(dtype).eps if dtype.is_floating_point else 0.0
    return rounding + (reference.uncertainty if isinstance(reference, Reference) else 0.0)


def _tight(subject: Subject, rows: Tensor, tolerance: float, seed: int, dtype: str) -> tuple[Reference, int]:
    """The reference of one tolerance, and how many evaluations of the field it took."""
    asked = Tolerance(rtol=tolerance, atol=tolerance, max_steps=_MOST_STEPS)
    solvers = reference_solvers()
    states, evaluations = [], 0
    for solver in solvers:
        torch.manual_seed(seed)
        evaluated = subject.evaluate(rows, Scheme(solver=solver, tolerance=asked))
        states.append(tuple(solved.after_start for solved in evaluated.solved))
        evaluations += sum(solved.evaluations for solved in evaluated.solved)
    best, second = states
    reference = Reference(
        states=best,
        uncertainty=_distance(second, best),
        solvers=tuple(solver.name for solver in solvers),
        tolerance=tolerance,
        dtype=dtype,
    )
    return reference, evaluations


def _distance(states: Sequence[State], expected: Sequence[State]) -> float:
    if len(states) != len(expected):
        return math.inf
    distances = [relative_l2(got, right) for got, right in zip(states, expected, strict=True)]
    return max((math.inf if math.isnan(one) else one for one in distances), default=0.0)


@contextlib.contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Tensors that a forward makes by itself get this dtype for a while."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype if dtype.is_floating_point and dtype in (torch.float32, torch.float64) else before)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
