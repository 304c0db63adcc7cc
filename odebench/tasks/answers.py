"""Between states and the named tensors of an answer."""

from __future__ import annotations

from torch import Tensor

from odebench.contract import Solution, State


def named(name: str, state: State) -> dict[str, Tensor]:
    """`{name: tensor}`, or `{name.0: …, name.1: …}` for a tuple; detached, sharing memory with `state`."""
    if isinstance(state, tuple):
        return {f"{name}.{index}": leaf.detach() for index, leaf in enumerate(state)}
    return {name: state.detach()}


def state_of(answer: dict[str, Tensor], name: str) -> State:
    """The state that `named` took apart.

    Raises:
        KeyError: the answer has none of this name.
    """
    if name in answer:
        return answer[name]
    leaves = []
    while f"{name}.{len(leaves)}" in answer:
        leaves.append(answer[f"{name}.{len(leaves)}"])
    if not leaves:
        raise KeyError(name)
    return tuple(leaves)


def counts(*solutions: Solution) -> dict[str, int | None]:
    """`accepted` and `rejected` steps of all solves together; None where a solver does not tell its steps."""
    if any(solution.grid is None and not solution.stats.accepted for solution in solutions):
        return {"accepted": None, "rejected": None}
    return {
        "accepted": sum(solution.stats.accepted for solution in solutions),
        "rejected": sum(solution.stats.rejected for solution in solutions),
    }
