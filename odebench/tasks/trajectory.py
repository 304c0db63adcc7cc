"""How far an answered trajectory is from the reference."""

from __future__ import annotations

import math

from odebench.contract import Known, Reference, State, Unknown, relative_error, value_or_reason
from odebench.contract.known import TRUST
from odebench.errors import NotKnownError

Columns = dict[str, float | str | Unknown]


def reference_or_reason(known: Known, ts: tuple[float, ...]) -> Reference | Unknown:
    """The reference solution at `ts`, or why there is none."""
    try:
        return known.solution(ts)
    except NotKnownError as error:
        return Unknown(str(error))


def provenance(reference: Reference | Unknown) -> Columns:
    """`reference` and `reference_digits`; the digits of an exact one are those of float64."""
    if isinstance(reference, Unknown):
        return {"reference": reference, "reference_digits": reference}
    return {"reference": reference.method, "reference_digits": min(reference.digits, 15.95)}


def final_error(ys: State, reference: Reference | Unknown) -> float | Unknown:
    """Relative l2 error at the last output time."""
    if isinstance(reference, Unknown):
        return reference
    return value_or_reason(
        lambda: relative_error(at(ys, -1), at(reference.value, -1), reference.uncertainty, reference.method)
    )


def trajectory_errors(ys: State, reference: Reference | Unknown) -> Columns:
    """`error_trajectory_max` and `error_trajectory_rms` over the output times after the first, at which y is given.

    Each time's error is relative to the reference at that time.
    """
    names = ("error_trajectory_max", "error_trajectory_rms")
    if isinstance(reference, Unknown):
        return dict.fromkeys(names, reference)
    times = len(ys[0] if isinstance(ys, tuple) else ys)
    errors: list[float] = []
    for index in range(1, times):
        # The uncertainty is checked against the summary below: single times may well be better than they need be.
        error = value_or_reason(lambda index=index: relative_error(at(ys, index), at(reference.value, index), 0.0))
        if isinstance(error, Unknown):
            return dict.fromkeys(names, Unknown(f"At output time {index}: {error.reason}"))
        errors.append(error)
    found = (max(errors), math.sqrt(sum(error * error for error in errors) / len(errors)))
    return {name: _trusted(error, reference) for name, error in zip(names, found, strict=True)}


def at(ys: State, index: int) -> State:
    """The state at one output time."""
    return tuple(leaf[index] for leaf in ys) if isinstance(ys, tuple) else ys[index]


def _trusted(error: float, reference: Reference) -> float | Unknown:
    if error < TRUST * reference.uncertainty:
        return Unknown(
            f"Below {TRUST:g} times the reference's own uncertainty {reference.uncertainty:.1e} "
            f"(reference: {reference.method})."
        )
    return error
