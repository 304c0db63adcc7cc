"""What one step costs, counted: evaluations of the field forward and backward, and vector-Jacobian products."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from odebench.contract import GradientMethod, Solver, StepSize
from odebench.run.counting import Counter, CountingField

FEWER, MORE = 16, 32


@dataclass(frozen=True, kw_only=True)
class StepCost:
    """Counts of one step, where a solve has from `FEWER` to `MORE` of them; the start of a solve is not in them.

    Attributes:
        forward: evaluations in the forward pass.
        backward: evaluations in the backward pass; None where there was none.
        vjps: vector-Jacobian products in the backward pass; None where there was none.
    """

    forward: float
    backward: float | None = None
    vjps: float | None = None


def cost_of_step(solver: Solver, method: GradientMethod | None = None) -> StepCost:
    """The cost of a uniform step on a small non-linear field, without or with a gradient.

    Raises:
        OdebenchError: the solver takes no uniform steps, or the gradient method does not work with it.
    """
    fewer, more = _counts(solver, method, FEWER), _counts(solver, method, MORE)
    forward, backward, vjps = ((b - a) / (MORE - FEWER) for a, b in zip(fewer, more, strict=True))
    return StepCost(forward=forward) if method is None else StepCost(forward=forward, backward=backward, vjps=vjps)


class _Field(nn.Module):
    """A rotation, bent by a non-linear term; its matrix is a parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64))

    def forward(self, t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.tanh(y @ self.weight)


def _counts(solver: Solver, method: GradientMethod | None, steps: int) -> tuple[int, int, int]:
    counter, module = Counter(), _Field()
    field = CountingField(module, counter)
    # Parameters are found from the field, and the counting one stands for the module.
    field.parameters = module.parameters
    y0 = torch.tensor([[0.5, 0.25]], dtype=torch.float64, requires_grad=True)
    request = StepSize(steps=steps)
    if method is None:
        with torch.no_grad():
            solver.solve(field, y0.detach(), (0.0, 1.0), request)
    else:
        with torch.enable_grad():
            solution = method.solve(solver, field, y0, (0.0, 1.0), request)
            counter.phase = "backward"
            solution.y1.sum().backward()
    return counter.evaluations["forward"], counter.evaluations["backward"], counter.vjps
