"""What a network of blocks, each of which is a solve, costs a gradient method."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from odebench.contract import (
    Answer,
    Field,
    Grid,
    Known,
    Setting,
    Solution,
    State,
    Stats,
    Task,
    Unknown,
    parameters_of,
)
from odebench.errors import IncompatibleError
from odebench.tasks.answers import counts, named
from odebench.tasks.gradient import discrete_errors


class NetworkGradient(Task):
    """Solve in blocks, each from where the one before ended, and differentiate the loss of the last: a step of a training.

    A model that is a network of ODE blocks brings its blocks, the layers between them, and the loss of its outputs on a batch of
    its test data; all its weights are differentiated. Of a model with one field all blocks have that field: weights of their own
    would change what parameters take, and nothing else.

    Each block goes over the problem's whole span, on a grid of the same kind, and begins at its initial time. What is asked is what
    this costs, how that grows with blocks and steps, and for a network whether the gradient is that of its discrete solution.

    Args:
        blocks: how many there are, of a model with one field; 0 stands for two, and for as many as a network has.
    """

    name = "network-gradient"
    needs_gradient = True
    takes_networks = True

    def __init__(self, *, blocks: int = 0) -> None:
        if not isinstance(blocks, int) or blocks < 0:
            raise IncompatibleError(f"network-gradient: blocks is {blocks!r}; it must be a whole number of at least 0.")
        self.blocks = blocks

    def forward(self, setting: Setting, y0: State) -> Answer:
        """Solves and loss; `backward` differentiates, as a training step would, into the leaves' `grad`."""
        problem, parameters = setting.problem, parameters_of(setting.field)
        if problem.network is not None and self.blocks:
            raise IncompatibleError(
                f"network-gradient: blocks is {self.blocks}, and the model is a network with blocks of its own. Leave it out."
            )
        is_tuple = isinstance(y0, tuple)
        leaves = tuple(leaf.detach().requires_grad_() for leaf in (y0 if is_tuple else (y0,)))
        told: list[dict[str, int | None]] = []
        grids: list[Grid | None] = []
        stats: list[Stats] = []

        def solve(field: Field, z: State) -> Solution:
            solution = setting.gradient.solve(setting.solver, field, z, problem.gradient_ts, setting.grid)
            told.append(counts(solution))
            grids.append(solution.grid)
            stats.append(solution.stats)
            return solution

        with torch.enable_grad():
            if problem.network is None:
                end, loss = self._chain(setting, leaves if is_tuple else leaves[0], solve)
            else:
                end = problem.network(leaves[0], lambda field, z: _end(solve(field, z)))
                loss = problem.loss(end.unsqueeze(0))
        answer = Answer(
            states=named("y1", end) | {"loss": loss.detach()},
            grid=_common(grids),
            stats=tuple(stats),
            **_together(told),
        )

        def backward() -> None:
            loss.backward()
            grads = [torch.zeros_like(x) if x.grad is None else x.grad for x in (*leaves, *parameters)]
            answer.states |= named("grad_y0", tuple(grads[: len(leaves)]))
            answer.states |= named("grad_params", tuple(grads[len(leaves) :]))

        answer.backward = backward
        return answer

    def _chain(self, setting: Setting, state: State, solve: Callable[[Field, State], Solution]) -> tuple[State, Tensor]:
        """As many solves of the one field as there are blocks; the last state, and the loss."""
        for _ in range(self.blocks or 2):
            solution = solve(setting.field, state)
            state = _end(solution)
        return state, setting.problem.loss(solution.ys)

    def judge(self, answer: dict[str, Tensor], known: Known) -> dict[str, float | str | Unknown]:
        """Of a network `grad_error_discrete` and `grad_rounding`; nothing is known about a chain of blocks with one field."""
        return {} if known.problem.network is None else discrete_errors(answer, known)


def _end(solution: Solution) -> State:
    """A copy of the last state, so that the next block keeps a state, and not all the solution's states."""
    y1 = solution.y1
    return tuple(y.clone() for y in y1) if isinstance(y1, tuple) else y1.clone()


def _common(grids: list[Grid | None]) -> Grid | None:
    """The steps that all blocks took; None where they differ, or are not told."""
    first, *others = grids
    if first is None or any(one is None for one in others):
        return None
    return first if all(torch.equal(first.t, one.t) and torch.equal(first.dt, one.dt) for one in others) else None


def _together(told: list[dict[str, int | None]]) -> dict[str, int | None]:
    """Steps of all blocks; None where a solver does not tell them."""
    return {name: None if told[0][name] is None else sum(each[name] for each in told) for name in told[0]}
