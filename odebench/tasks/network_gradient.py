"""What a network of blocks, each of which is a solve, costs a gradient method."""

from __future__ import annotations

import torch
from torch import Tensor

from odebench.contract import Answer, Known, Setting, State, Task, Unknown, parameters_of
from odebench.errors import IncompatibleError
from odebench.tasks.answers import counts, named


class NetworkGradient(Task):
    """Solve in `blocks` blocks, each from where the one before ended, and differentiate the problem's loss of the last.

    Each block goes over the problem's whole span, on a grid of the same kind, and begins at its initial time. All have the
    same field: weights of their own would change what parameters take, and nothing else. What is asked is what this costs, and
    how that grows with blocks and steps; no reference is known for a network.

    Args:
        blocks: how many there are.
    """

    name = "network-gradient"
    needs_gradient = True

    def __init__(self, *, blocks: int = 2) -> None:
        if not isinstance(blocks, int) or blocks < 1:
            raise IncompatibleError(f"network-gradient: blocks is {blocks!r}; it must be a whole number of at least 1.")
        self.blocks = blocks

    def forward(self, setting: Setting, y0: State) -> Answer:
        """Solves and loss; `backward` differentiates, as a training step would, into the leaves' `grad`."""
        problem, parameters = setting.problem, parameters_of(setting.field)
        is_tuple = isinstance(y0, tuple)
        leaves = tuple(leaf.detach().requires_grad_() for leaf in (y0 if is_tuple else (y0,)))
        told: list[dict[str, int | None]] = []
        with torch.enable_grad():
            state = leaves if is_tuple else leaves[0]
            for _ in range(self.blocks):
                solution = setting.gradient.solve(
                    setting.solver, setting.field, state, problem.gradient_ts, setting.grid
                )
                # Copies, so that the next block keeps a state, and not all the solution's states.
                state = tuple(y.clone() for y in solution.y1) if is_tuple else solution.y1.clone()
                told.append(counts(solution))
            loss = problem.loss(solution.ys)
        answer = Answer(states=named("y1", state) | {"loss": loss.detach()}, grid=solution.grid, **_together(told))

        def backward() -> None:
            loss.backward()
            grads = [torch.zeros_like(x) if x.grad is None else x.grad for x in (*leaves, *parameters)]
            answer.states |= named("grad_y0", tuple(grads[: len(leaves)]))
            answer.states |= named("grad_params", tuple(grads[len(leaves) :]))

        answer.backward = backward
        return answer

    def judge(self, answer: dict[str, Tensor], known: Known) -> dict[str, float | str | Unknown]:
        """Nothing is known about a network that an answer could be compared with."""
        return {}


def _together(told: list[dict[str, int | None]]) -> dict[str, int | None]:
    """Steps of all blocks; None where a solver does not tell them."""
    return {name: None if told[0][name] is None else sum(each[name] for each in told) for name in told[0]}
