"""What the tasks about evolving weights share: the field that they are about, and where it is looked at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from odebench.contract import Examples, Field, Grid, GridRequest, Learning, Setting, StepSize, Workplace
from odebench.errors import IncompatibleError
from odebench.nn import EvolvingField
from odebench.numerics.uniform import uniform_grid


def evolving_field(workplace: Workplace, task: str) -> tuple[Learning, EvolvingField]:
    """The learning of a workplace, and its field.

    Raises:
        IncompatibleError: the model has no evolving weights.
    """
    learning = workplace.learning
    if learning is None or not isinstance(learning.field, EvolvingField):
        raise IncompatibleError(f"Task {task!r} is about weights that evolve; use a model that has such: coupled-net.")
    return learning, learning.field


def euler_grid(request: GridRequest, learning: Learning, setting: Setting, task: str) -> Grid:
    """The uniform grid that a cell asks for, on which its solver takes Euler steps.

    Raises:
        IncompatibleError: another grid, or a solver that is not Euler's: one explicit stage.
    """
    solver = setting.solver
    if solver.implicit or solver.stages != 1 or solver.order != 1:
        raise IncompatibleError(f"Task {task!r} writes down Euler's recurrence; solver {solver.name!r} has another.")
    if not isinstance(request, StepSize):
        raise IncompatibleError(f"Task {task!r} needs `steps` or `step_size`.")
    return uniform_grid(request, *learning.ts)


def spread_rows(examples: Examples, count: int | None) -> Examples:
    """So many of the examples, spread evenly; None takes all."""
    if count is None or count >= len(examples):
        return examples
    return examples[torch.linspace(0, len(examples) - 1, count).round().long().to(examples.inputs.device)]


def differentiated(
    setting: Setting,
    learning: Learning,
    field: Field,
    parameters: tuple[Tensor, ...],
    z: Tensor,
    rows: Examples,
    grid: Grid,
) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
    """Solve by the cell's solver and gradient method, and differentiate the loss of what is read at the end.

    Args:
        setting: solver and gradient method.
        learning: readout and loss.
        field: what is solved.
        parameters: in which to differentiate; zero where the loss does not depend on one, or it is frozen.
        z: initial state.
        rows: says what is to be answered.
        grid: the steps.

    Returns:
        States `(times, rows, *state)` at all times of the grid, the gradient in z, and those in the parameters.
    """
    times = (*grid.t.tolist(), grid.end)
    start = z.detach().requires_grad_()
    with torch.enable_grad():
        ys = setting.gradient.solve(setting.solver, field, start, times, grid).ys
        loss = learning.loss(learning.readout(ys[-1]), rows.targets)
        trained = [p for p in parameters if p.requires_grad]
        to_start, *found = torch.autograd.grad(loss, [start, *trained], allow_unused=True)
    by_id = {id(p): g for p, g in zip(trained, found, strict=True) if g is not None}
    gradients = tuple(by_id[id(p)] if id(p) in by_id else torch.zeros_like(p) for p in parameters)
    return ys.detach(), torch.zeros_like(start) if to_start is None else to_start, gradients


@contextmanager
def at_rest(*modules: nn.Module) -> Iterator[None]:
    """In evaluation mode, so that nothing is drawn and no statistic is updated."""
    modes = [module.training for module in modules]
    try:
        for module in modules:
            module.eval()
        yield
    finally:
        for module, mode in zip(modules, modes, strict=True):
            module.train(mode)
