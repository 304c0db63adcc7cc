"""Suite × registry → plan: the product of each experiment's axes, every combination either to be run or settled with a reason."""

from __future__ import annotations

from collections.abc import Callable

from odebench.errors import SuiteError
from odebench.plan.axes import Axes, Point
from odebench.plan.judge import Judge
from odebench.plan.plan import Plan, PlannedCell
from odebench.plan.registry import Registry
from odebench.plan.resolve import Resolver
from odebench.plan.suite import Suite
from odebench.plan.trained import faults_of_trained, trainings_first


def expand(suite: Suite, registry: Registry, device_reason: Callable[[str], str | None]) -> Plan:
    """Plan `suite` for this machine.

    Args:
        suite: as `read_suite` gives it.
        registry: the plugins.
        device_reason: None where this machine has a device ("cuda:0"), else the reason why it cannot be used.

    Returns:
        Every cell once, in the order of the file, except that trainings come before what needs them; a cell that two experiments ask
        carries both names. The order and the ids depend on the suite and the plugins alone.

    Raises:
        SuiteError: a name that nobody registers, a parameter that its plugin does not have, a gradient method, a step policy or a
            training missing where the task needs one or given where it takes none. All of them are named at once.
    """
    resolver, faults = Resolver(registry), []
    axes = [Axes(suite, index, resolver, faults) for index in range(len(suite.experiments))]
    faults += faults_of_trained(axes)
    if faults:
        raise SuiteError("\n".join(dict.fromkeys(faults)))
    judge = Judge(device_reason)
    points: dict[str, dict[str, Point]] = {}
    planned: dict[str, PlannedCell] = {}
    for one in trainings_first(axes):
        experiment = one.experiment
        trainings: dict[str, Point] = {}
        for name in experiment.trained or ():
            trainings |= points[name]
        mine = points[experiment.name] = {}
        for point in one.points(judge, tuple(trainings.values())):
            cell_id = point.cell.id
            mine.setdefault(cell_id, point)
            before = planned.get(cell_id)
            names = (*before.experiments, experiment.name) if before else (experiment.name,)
            outcome, reason = (before.outcome, before.reason) if before else point.verdict or (None, None)
            planned[cell_id] = PlannedCell(
                cell=point.cell,
                experiments=tuple(dict.fromkeys(names)),
                outcome=outcome,
                reason=reason,
                parts=point.parts,
            )
    return Plan(suite=suite, cells=tuple(planned.values()))
