"""Whether a solver finds back."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from odebench.contract import Answer, Known, Setting, State, Task, Unknown, relative_l2
from odebench.tasks.answers import counts, named, state_of

#: An image of more pixels is not kept for figures.
_PIXELS = 64 * 64


class Reversibility(Task):
    """Solve from t0 to t1, and from there back to t0 on a grid of the same kind: how far from y0 does it end?

    A method of order p misses y0 by O(dt**p); only an algebraically reversible one returns to rounding. The span ends at the
    problem's `reversible_span`, where it has one: contracting fields lose y0 altogether on a long span.

    Where a state is one number, `roundtrip_factor` is what the round trip multiplies the first row by: for y' = λ y it is
    (R(hλ) R(-hλ))^N, R the solver's stability function, thus (1 - h²λ²)^N with Euler. Where states are small images, the first
    channel of the first row is kept, at the start, at the end and after the return, for figures to show.

    Source: the question is that of A. Gholami, K. Keutzer, G. Biros, "ANODE", IJCAI 2019, arXiv:1902.10298, section 3 and figure 1.
    """

    name = "reversibility"

    def forward(self, setting: Setting, y0: State) -> Answer:
        """Two solves; `y0` and `returned` are the states at both ends of the round trip, `reached` is that between them."""
        problem = setting.problem
        start, end = problem.ts[0], problem.ts[-1] if problem.reversible_span is None else problem.reversible_span
        with torch.no_grad():
            there = setting.solver.solve(setting.field, y0, (start, end), setting.grid)
            back = setting.solver.solve(setting.field, there.y1, (end, start), setting.grid)
        states = named("y0", y0) | named("reached", there.y1) | named("returned", back.y1)
        return Answer(states=states, grid=there.grid, stats=(there.stats, back.stats), **counts(there, back))

    def judge(self, answer: dict[str, Tensor], known: Known) -> dict[str, float | str | Unknown]:
        """The distance between both ends, relative to the first, and the factor between them."""
        y0, returned = state_of(answer, "y0"), state_of(answer, "returned")
        error = relative_l2(returned, y0)
        nothing = Unknown("The initial state is zero, so there is no relative error.")
        return {
            "roundtrip_error": nothing if error == float("inf") else error,
            "roundtrip_factor": _factor(y0, returned),
        }

    def series(self, answer: dict[str, Tensor]) -> dict[str, np.ndarray]:
        """`initial`, `reached` and `returned` by `row` and `column` of the first channel of the first image; none without images."""
        y0 = state_of(answer, "y0")
        if isinstance(y0, tuple) or y0.dim() != 4 or not y0.numel() or y0[0, 0].numel() > _PIXELS:
            return {}
        rows, columns = np.indices(y0.shape[-2:])
        places = {"initial": "y0", "reached": "reached", "returned": "returned"}
        pixels = {name: answer[state][0, 0].reshape(-1).numpy() for name, state in places.items()}
        return {"row": rows.reshape(-1), "column": columns.reshape(-1)} | pixels


def _factor(y0: State, returned: State) -> float | Unknown:
    """The reconstruction of the first row over the row itself."""
    if isinstance(y0, tuple) or not len(y0) or y0[0].numel() != 1:
        return Unknown("Only a state of one number has a factor between the ends of a round trip.")
    if not y0[0].item():
        return Unknown("The initial state is zero, so there is no factor.")
    return returned[0].item() / y0[0].item()
