"""Binomial checkpointing: a given number of states, and as few steps computed again as that allows."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from odebench.amounts import parse_size
from odebench.contract import Field, GridRequest, Solution, Solver, State
from odebench.errors import IncompatibleError
from odebench.gradients.checkpointed_call import Checkpointing
from odebench.gradients.memory_budget import footprint
from odebench.numerics.checkpoint_schedules import Binomial, Online, Schedule
from odebench.numerics.state_store import StateStore

_SLOTS = 10


class Revolve(Checkpointing):
    """Gradient of the discrete solution with a given number of states; exact for the discretisation.

    On a known grid of N steps the fewest possible are computed without a graph: t(N, c) = r N - C(c + r, r - 1) with c slots,
    for the least r with C(c + r, c) ≥ N, and one more, since the states are given away before the backward begins; besides
    them, N with a graph. Where the steps are chosen on the way (a tolerance), the states are placed by the online schedule of
    Wang, Moin and Iaccarino, under which no step is computed without a graph more than r times, for the least r with
    C(c - 1 + r, c - 1) ≥ N.

    Args:
        slots: c, how many states are kept at once, the initial one included; 10 where neither this nor `memory` is given.
        memory: instead of it, a budget: "64MiB", or a number of bytes. It bounds the peak beyond inputs, outputs (the record of
            the grid among them) and gradients of parameters, as the storages of tensors add up. The first solve of each kind
            also goes through four steps of its own, to measure what a solve holds besides the states. Not bounded: what steps
            for each row keep of their grid, and the generator's state (5 kB) before each step that rejected ones precede,
            where the field draws random numbers.
        spill: where further states go: "host" (page-locked memory, from an accelerator) or "disk".
        spill_slots: how many may lie there.

    Source: A. Griewank, A. Walther, "Algorithm 799: revolve", ACM TOMS 26(1), 2000, doi:10.1145/347837.347846; Q. Wang,
    P. Moin, G. Iaccarino, SIAM J. Sci. Comput. 31(4), 2009, doi:10.1137/080727890.
    """

    name = "revolve"
    memory = "O(slots)"
    source = "A. Griewank, A. Walther, ACM TOMS 26(1), 2000, doi:10.1145/347837.347846"

    def __init__(
        self,
        *,
        slots: int | None = None,
        memory: str | int | None = None,
        spill: Literal["host", "disk"] | None = None,
        spill_slots: int = 0,
    ) -> None:
        if slots is not None and memory is not None:
            raise IncompatibleError(f"{self.name}: slots and memory are both given. Give one of them.")
        if slots is not None and (not isinstance(slots, int) or slots < 1):
            raise IncompatibleError(f"{self.name}: slots is {slots!r}; it must be a whole number of at least 1.")
        if spill not in (None, "host", "disk"):
            raise IncompatibleError(f"{self.name}: spill is {spill!r}; it must be 'host' or 'disk'.")
        if not isinstance(spill_slots, int) or spill_slots < 0 or (spill is None) != (spill_slots == 0):
            raise IncompatibleError(
                f"{self.name}: spill is {spill!r} and spill_slots is {spill_slots!r}. Give both, or neither: spill = 'disk', "
                "spill_slots = 100 keeps 100 states on disk."
            )
        self.slots = _SLOTS if slots is None and memory is None else slots
        self.budget_bytes = None if memory is None else _bytes_in(memory, self.name)
        self.spill, self.spill_slots = spill, spill_slots

    def schedule(self, steps: int | None) -> Schedule:
        """As `Checkpointing.schedule` says."""
        slots = self.slots + self.spill_slots
        return Online(slots) if steps is None else Binomial(steps, slots)

    def states(self) -> StateStore:
        """As `Checkpointing.states` says."""
        return StateStore(self.slots - 1, self.spill)  # one slot is the initial state's, which is an input

    def solve(
        self,
        solver: Solver,
        field: Field,
        y0: State,
        ts: Sequence[float],
        grid: GridRequest,
        inputs: tuple[Tensor, ...] = (),
    ) -> Solution:
        """As `GradientMethod.solve` says.

        Raises:
            IncompatibleError: the budget is below what one slot takes.
        """
        if self.budget_bytes is None or not torch.is_grad_enabled():
            return super().solve(solver, field, y0, ts, grid, inputs)
        needs = footprint(self.with_slots(1), solver, field, y0, ts, grid, inputs)
        room = self.budget_bytes - needs.floor_bytes
        if room < 0:
            raise IncompatibleError(
                f"{self.name}: the budget is {self.budget_bytes} bytes, but one step of this solve with its backward takes "
                f"{needs.floor_bytes}. Give at least that, and {needs.state_bytes} for each state beyond the initial one."
            )
        slots = 1 + room // max(needs.state_bytes, 1)
        solution = self.with_slots(slots).solve(solver, field, y0, ts, grid, inputs)
        solution.stats.evaluations_forward += needs.evaluations
        return solution

    def with_slots(self, slots: int) -> Revolve:
        """The same method with a number of slots instead of a budget."""
        fixed = copy.copy(self)
        fixed.slots, fixed.budget_bytes = slots, None
        return fixed


def _bytes_in(memory: str | int, name: str) -> int:
    if isinstance(memory, int) and not isinstance(memory, bool) and memory > 0:
        return memory
    try:
        return parse_size(memory)
    except (TypeError, ValueError) as cause:
        raise IncompatibleError(
            f"{name}: memory is {memory!r}; it must be a size such as '64MiB', or bytes as a whole number."
        ) from cause
