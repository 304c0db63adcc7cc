"""What the field alone costs: what every solver pays, whatever it does besides."""

from __future__ import annotations

import torch
from torch import Tensor

from odebench.contract import Answer, Field, Known, Setting, State, StepSize, Task, Unknown, parameters_of
from odebench.errors import IncompatibleError
from odebench.tasks.answers import named


class Evaluate(Task):
    """Evaluate the field at the initial state as often as `steps` says, and solve nothing.

    The cell's solver has no part in it. Its time over its evaluations is the least that a solve of the same problem pays for one: what
    a step takes beyond that is the solver's. It is measured like a solve, in rounds that are shuffled with those of the solvers.

    Args:
        vjp: whether each evaluation is differentiated too, in the state and the parameters, as a gradient method must.

    Source: the "model time" of M. Lienen, S. Günnemann, "torchode: a parallel ODE solver for PyTorch", 2022, arXiv:2210.12375, section 4.
    """

    name = "evaluate"
    parts = ("quality", "timing")

    def __init__(self, *, vjp: bool = False) -> None:
        self.vjp = vjp

    def forward(self, setting: Setting, y0: State) -> Answer:
        """All evaluations, one after the other; `slope` is what the last one gave.

        Raises:
            IncompatibleError: the grid does not say how many.
        """
        count = setting.grid.steps if isinstance(setting.grid, StepSize) else None
        if count is None:
            raise IncompatibleError(
                "Task 'evaluate' evaluates the field so many times as there are steps, and the cell asks for no number of them. Give "
                "`steps`, and a solver of fixed steps such as 'euler', which is not used."
            )
        once = _with_vjp if self.vjp else _without
        time = torch.as_tensor(setting.problem.ts[0], dtype=_leaves(y0)[0].dtype, device=_leaves(y0)[0].device)
        parameters = parameters_of(setting.field) if self.vjp else ()
        for _ in range(count):
            slope = once(setting.field, time, y0, parameters)
        return Answer(states=named("slope", slope), accepted=count, rejected=0)

    def judge(self, answer: dict[str, Tensor], known: Known) -> dict[str, float | str | Unknown]:
        """Nothing: its figures are its times and its evaluations."""
        return {}


def _leaves(state: State) -> tuple[Tensor, ...]:
    return state if isinstance(state, tuple) else (state,)


def _without(field: Field, time: Tensor, y: State, parameters: tuple[Tensor, ...]) -> State:
    with torch.no_grad():
        return field(time, y)


def _with_vjp(field: Field, time: Tensor, y: State, parameters: tuple[Tensor, ...]) -> State:
    leaves = tuple(leaf.detach().requires_grad_() for leaf in _leaves(y))
    with torch.enable_grad():
        slope = field(time, leaves if isinstance(y, tuple) else leaves[0])
    # A slope that depends on nothing that could be differentiated, such as a constant one, has no graph.
    slopes = [one for one in _leaves(slope) if one.requires_grad]
    torch.autograd.grad(slopes, (*leaves, *parameters), [one.detach() for one in slopes], allow_unused=True)
    return tuple(one.detach() for one in slope) if isinstance(slope, tuple) else slope.detach()
