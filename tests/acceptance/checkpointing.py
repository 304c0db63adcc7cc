"""What `revolve` computes again, against the formula, and what it holds, against its budget.

    python tests/acceptance/checkpointing.py [SEED]

Prints the evaluations that Euler's steps took without a graph for each number of steps N and of slots c, counted by the field
itself, beside t(N, c) + 1 = r N - C(c + r, r - 1) + 1; then ten random pairs of N and a budget in bytes with the peak of the
storage tracker. Exits with 1 where anything differs, or a budget is exceeded.
"""

from __future__ import annotations

import gc
import random
import sys
from math import comb

import torch
from torch import nn

import odebench
from odebench.errors import IncompatibleError
from odebench.numerics.storage_tracker import StorageTracker

STEPS = (1, 2, 5, 10, 16, 32, 64, 100, 200)
SLOTS = (1, 2, 3, 4, 6, 8, 12, 20, 200)


class Field(nn.Module):
    """A network that counts how often it is asked with a graph, and how often without."""

    def __init__(self, size: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(size, 2 * size), nn.Tanh(), nn.Linear(2 * size, size)).double()
        self.taped = self.untaped = 0

    def forward(self, t, y):
        if torch.is_grad_enabled():
            self.taped += 1
        else:
            self.untaped += 1
        return self.layers(y)


def fewest(steps: int, slots: int) -> int:
    """t(N, c)."""
    r = next(r for r in range(steps) if comb(slots + r, slots) >= steps)
    return r * steps - comb(slots + r, r - 1) if r else 0


def differentiate(field: Field, y0: torch.Tensor, method: dict, steps: int) -> odebench.Solution:
    """Solve with Euler's method and differentiate the sum of the final state."""
    solution = odebench.solve(field, y0, (0.0, 1.0), solver="euler", steps=steps, gradient=method)
    torch.autograd.grad(solution.y1.sum(), (y0, *field.parameters()))
    return solution


def counts() -> int:
    """Print the table; the number of entries that are wrong."""
    wrong = 0
    print("steps without a graph (and t(N, c) + 1 where it differs); each row has N steps with one")
    print("   N \\ c" + "".join(f"{slots:>9}" for slots in SLOTS))
    y0 = torch.ones(1, 2, dtype=torch.float64, requires_grad=True)
    for steps in STEPS:
        line = f"{steps:>8}"
        for slots in SLOTS:
            field = Field(2)
            differentiate(field, y0, {"name": "revolve", "slots": slots}, steps)
            right = field.untaped == fewest(steps, slots) + 1 and field.taped == steps
            wrong += not right
            line += f"{field.untaped:>9}" + ("" if right else f" ({fewest(steps, slots) + 1})")
        print(line)
    return wrong


def floor_of(field: Field, y0: torch.Tensor, steps: int) -> int:
    """What one slot takes, as the refusal of a budget of one byte says."""
    try:
        differentiate(field, y0, {"name": "revolve", "memory": 1}, steps)
    except IncompatibleError as error:
        return int(str(error).split("takes ")[1].split(".")[0])
    raise SystemExit("A budget of one byte was accepted.")


def budgets(seed: int) -> int:
    """Print peaks; the number of budgets that were exceeded."""
    rng = random.Random(seed)
    exceeded = 0
    print("\n    N    budget B      peak B  share    steps without a graph")
    y0 = torch.ones(32, 64, dtype=torch.float64, requires_grad=True)
    for _ in range(10):
        field, steps = Field(64), rng.randrange(5, 200)
        budget = floor_of(field, y0, steps) + rng.randrange(20 * y0.numel() * 8)
        gc.collect()
        field.untaped = 0
        with StorageTracker([y0, *field.parameters()]) as tracker:
            solution = odebench.solve(
                field, y0, (0.0, 1.0), solver="euler", steps=steps, gradient={"name": "revolve", "memory": budget}
            )
            gradients = torch.autograd.grad(solution.y1.sum(), (y0, *field.parameters()))
        outputs = (solution.ys, solution.grid.t, solution.grid.dt, *gradients[1:])
        peak = tracker.peak_bytes - sum(x.numel() * x.element_size() for x in outputs)
        exceeded += peak > budget
        print(
            f"{steps:>5}{budget:>12}{peak:>12}{peak / budget:>7.2f}{field.untaped:>12}"
            + (" EXCEEDED" if peak > budget else "")
        )
    return exceeded


def main() -> int:
    """Both tables."""
    wrong = counts()
    exceeded = budgets(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
    print(
        f"\n{len(STEPS) * len(SLOTS) - wrong} of {len(STEPS) * len(SLOTS)} counts equal the formula; {exceeded} of 10 budgets exceeded"
    )
    return 1 if wrong or exceeded else 0


if __name__ == "__main__":
    sys.exit(main())
