"""What a reference may cost: nominal seconds, from counts, so that what is affordable does not depend on the day."""

from __future__ import annotations

import torch
from torch.utils.flop_counter import FlopCounterMode

from odebench.run.flat_problem import FlatProblem

BUDGET_S = 40.0
"""Nominal seconds for one solve."""

_CALL_S = 3e-5
_FLOPS_PER_S = 4e9
_ELEMENTS_PER_S = 5e8
_VJP = 4.0
"""An evaluation with its vector-Jacobian product, in evaluations."""


class Cost:
    """Nominal cost of a problem's field on one ordinary core.

    Attributes:
        evaluation_s: of one evaluation, nominal seconds.
    """

    def __init__(self, flat: FlatProblem) -> None:
        counter = FlopCounterMode(display=False)
        with counter, torch.no_grad():
            flat.field(flat.problem.ts[0], flat.y0)
        elements = flat.y0.numel() + sum(p.numel() for p in flat.parameters)
        self.evaluation_s = _CALL_S + counter.get_total_flops() / _FLOPS_PER_S + elements / _ELEMENTS_PER_S

    def evaluations(self, with_vjp: bool = False) -> int:
        """How many evaluations the budget allows."""
        return int(BUDGET_S / (self.evaluation_s * (_VJP if with_vjp else 1.0)))
