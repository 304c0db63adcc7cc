"""Which experiments read which trainings: whether the names are right, and an order in which trainings come first."""

from __future__ import annotations

from collections.abc import Sequence

from odebench.plan.axes import Axes
from odebench.plan.messages import choose, key_path


def faults_of_trained(axes: Sequence[Axes]) -> list[str]:
    """What is wrong with the keys `trained` of all experiments: missing, out of place, or naming what is no training."""
    by_name = {one.experiment.name: one for one in axes}
    # A task that could not be built may learn; its cells end as errors, and what needs them is blocked.
    learning = [name for name, one in by_name.items() if one.task_is("learns") is not False]
    faults = []
    for one in axes:
        names, task, needs = one.experiment.trained, one.experiment.task.name, one.task_is("needs_training")
        known = [name for name in learning if name != one.experiment.name]
        if names is None:
            if needs:
                hint = choose("", known) or "Add an experiment whose task learns."
                faults.append(
                    f"{one.where}.trained` is missing, and the task {task!r} reads what a training left. "
                    f'Add `trained = "…"`, the name of an experiment whose task learns. {hint}'
                )
            continue
        if needs is False:
            faults.append(
                f"{one.where}.trained` is given, and the task {task!r} reads no training. Delete the key and say `model`."
            )
            continue
        for position, name in enumerate(names):
            where = f"{one.where}.{key_path(('trained', position))}` is {name!r}"
            hint = choose(name, known) or "The suite has no experiment whose task learns: add one."
            if name == one.experiment.name:
                faults.append(f"{where}, the experiment itself. {hint}")
            elif name not in by_name:
                faults.append(f"{where}, and the suite has no experiment of that name. {hint}")
            elif name not in known:
                other = by_name[name].experiment.task.name
                faults.append(f"{where}, an experiment whose task {other!r} does not learn. {hint}")
    return faults or _faults_of_circles(axes)


def trainings_first(axes: Sequence[Axes]) -> list[Axes]:
    """The experiments in their own order, each after those whose trainings it reads."""
    return _ordered(axes)[0]


def _faults_of_circles(axes: Sequence[Axes]) -> list[str]:
    circles = _ordered(axes)[1]
    return [
        f"{one.where}.trained` leads in a circle, back to {one.experiment.name!r}: no training could begin. Cut it somewhere."
        for one in circles
    ]


def _ordered(axes: Sequence[Axes]) -> tuple[list[Axes], list[Axes]]:
    """The order, and the experiments that a walk along `trained` meets while it is still at them."""
    by_name = {one.experiment.name: one for one in axes}
    order: list[Axes] = []
    circles: list[Axes] = []
    entered: set[str] = set()

    def visit(one: Axes) -> None:
        if one in order:
            return
        if one.experiment.name in entered:
            circles.append(one)
            return
        entered.add(one.experiment.name)
        for name in one.experiment.trained or ():
            visit(by_name[name])
        order.append(one)

    for one in axes:
        visit(one)
    return order, circles
