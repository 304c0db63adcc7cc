"""The reference that runs judge by, held against a third way."""

from __future__ import annotations

import contextlib

import numpy as np

from odebench.conformance.failure import Failure
from odebench.conformance.models.collocation import Collocation
from odebench.conformance.models.flat import Array, TooMany, distance, leaves_of, packed, some_rows
from odebench.contract import Model
from odebench.contract.known import TRUST
from odebench.errors import NotKnownError
from odebench.run.reference import reference_solution

_FEWEST_DIGITS = 6
_FIRST, _FURTHER = 500_000, 100_000
"""Evaluations to reach the first output time, and for all of them: what lies beyond is left out."""
_OTHER_NODES = 16


def check_reference_has_the_digits_it_claims(model: Model) -> str:
    """The solution that a run compares with agrees with a third way, within what the host says that it can be trusted."""
    problem = some_rows(model.problem(0))
    known = _known(model, problem.ts)
    if len(known) < 2:
        return f"not within {_FIRST} evaluations of a third way"
    times = problem.ts[: len(known)]
    try:
        reference = reference_solution(problem, times)
    except NotKnownError as error:
        return f"there is none: {error}"
    leaves = leaves_of(reference.value)
    states = np.stack([packed(tuple(leaf[k] for leaf in leaves)) for k in range(len(times))])
    error = _farthest(states, known)
    told = f"{reference.method}: {reference.digits:.1f} digits claimed"
    if not reference.digits >= _FEWEST_DIGITS:
        raise Failure(
            expected=f"a reference of at least {_FEWEST_DIGITS} digits up to t = {times[-1]:g}",
            measured=f"{told}, and a relative difference of {error:.1e} from collocation of order 24",
            cause="the two ways that the host asks disagree, or a closed form changes with the last digit of its input",
            look="the declared span, kinks of the field, and `stiff` of the `Problem`",
        )
    bound = TRUST * reference.uncertainty
    if not error <= bound:
        own = _farthest(_known(model, times, _OTHER_NODES), known[: len(times)])
        if not error <= bound + 2 * own:
            where = (
                "`exact` of the `Problem`"
                if problem.exact is not None
                else "the field: the host's references come from `odebench.run.reference`"
            )
            raise Failure(
                expected=f"the solution up to t = {times[-1]:g} as collocation of order 24 finds it, to {bound:.1e}: "
                f"{TRUST:g} times the uncertainty that the host claims for its reference ({told})",
                measured=f"a relative difference of {error:.1e}, where collocation is sure to {own:.1e}",
                cause="a constant of the closed form has too few digits, or the field is not as smooth as the uncertainty supposes",
                look=where,
            )
    return f"{told}; {error:.1e} from a third way up to t = {times[-1]:g}"


def _known(model: Model, times: tuple[float, ...], nodes: int | None = None) -> Array:
    """The states at the first of these times, as many as can be reached."""
    problem = some_rows(model.problem(0))
    way = Collocation(problem, _FIRST) if nodes is None else Collocation(problem, 2 * _FIRST, nodes)
    found: list[Array] = []
    with contextlib.suppress(TooMany):
        for state in way.solve(times):
            found.append(state)
            if len(found) == 2:
                way.left -= _FIRST - _FURTHER
    return np.stack(found)


def _farthest(states: Array, known: Array) -> float:
    shared = min(len(states), len(known))
    return max(
        (distance(one, other) for one, other in zip(states[1:shared], known[1:shared], strict=True)), default=np.inf
    )
