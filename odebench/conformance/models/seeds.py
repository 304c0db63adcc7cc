"""Seeds: the same one gives the same problem, another one another."""

from __future__ import annotations

import torch

from odebench.conformance.failure import Failure
from odebench.conformance.models.flat import leaves_of
from odebench.contract import Model, Problem
from odebench.run import global_state


def check_seed_gives_the_same_problem(model: Model) -> None:
    """Twice the same seed: the same times, and the same bits in the initial state and the field."""
    first, again = model.problem(1), model.problem(1)
    different = _different(first, again)
    if first.ts != again.ts:
        different.append("ts")
    if different:
        raise Failure(
            expected="the same bits from the same seed",
            measured=f"differences in {', '.join(different[:5])}",
            cause="draws from the global generator, or from one that goes on from call to call",
            look="every random draw in `problem`: `torch.Generator().manual_seed(seed)`, made anew in each call",
        )


def check_other_seeds_give_other_problems(model: Model) -> str:
    """Where there is more than one row, another seed gives other rows or another field."""
    one, other = model.problem(1), model.problem(2)
    different = _different(one, other)
    if not different and leaves_of(one.y0)[0].shape[0] > 1:
        raise Failure(
            expected="another initial state or another field from another seed",
            measured="the same bits from seeds 1 and 2",
            cause="the seed does not reach the generator; if the problem is one and the same on purpose, say so in `known_failures`",
            look="what `problem` does with its argument",
        )
    return "other " + ", ".join(different[:3]) if different else "one row, the same for every seed"


def check_building_leaves_global_state_alone(model: Model) -> None:
    """Building a problem draws from no generator of the process, and sets nothing."""
    before = global_state.snapshot()
    model.problem(0)
    changed = global_state.differences(before, global_state.snapshot())
    if changed:
        raise Failure(
            expected="the state of the process as it was before the problem was built",
            measured=f"changes of {', '.join(changed)}",
            cause="modules of torch.nn draw their weights from the global generator when they are made",
            look='`device="meta"` and `to_empty`, or `torch.nn.utils.skip_init`, and then weights from the seed\'s own generator',
        )


def _different(one: Problem, other: Problem) -> list[str]:
    pairs = {f"y0[{i}]": pair for i, pair in enumerate(zip(leaves_of(one.y0), leaves_of(other.y0), strict=True))}
    others = other.field.state_dict()
    pairs |= {name: (tensor, others[name]) for name, tensor in one.field.state_dict().items()}
    return [name for name, (mine, theirs) in pairs.items() if not torch.equal(mine, theirs)]
