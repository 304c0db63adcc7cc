"""A trained model with another solver, or another step, than it was trained with."""

from __future__ import annotations

from typing import Any

from odebench.contract import Findings, Progress, Setting, Study, Unknown, Workplace
from odebench.errors import IncompatibleError
from odebench.tasks.evaluation import evaluate, mean
from odebench.tasks.trained import Trained, load_training, step_length


class Swap(Study):
    """Answer the whole test set with the weights of a training, with this cell's solver and grid.

    Every example counts once. A model that is a flow answers alike with every solver that is at least as accurate as the one that it
    was trained with; one that is tied to its solver does not.

    Source: K. Ott, P. Katiyar, P. Hennig, M. Tiemann, "ResNet after all? Neural ODEs and their numerical solution", ICLR 2021,
    arXiv:2007.15386, section 3.
    """

    name = "swap"
    needs_training = True
    takes_networks = True

    def run(self, setting: Setting, workplace: Workplace) -> Findings:
        """Load the weights and evaluate."""
        learning = workplace.learning
        if learning is None or len(workplace.needed) != 1:
            raise IncompatibleError("A swap needs a model with data, and the training of exactly one cell.")
        workplace.tell(Progress(done=0, total=len(learning.test)))
        training = load_training(workplace.needed[0], learning)
        grid = training.grid_of(setting, learning.ts)
        before = workplace.evaluations()
        found = evaluate(learning, setting.field, setting.solver, grid, learning.test)
        evaluations = workplace.evaluations() - before
        values: dict[str, Any] = found.columns(learning, "test")
        values["nfe_forward"] = mean(evaluations, found.passes)
        values["steps_accepted"] = (
            Unknown("The solver does not tell its steps.") if found.steps is None else found.steps
        )
        values["tolerance" if setting.solver.adaptive else "step_size"] = step_length(grid, learning.ts)
        values[f"{learning.metric}_change"] = found.metric - training.metric
        values["changed_answers"] = self._changed(found.outputs, training, learning.test.targets.is_floating_point())
        return Findings(values=values)

    @staticmethod
    def _changed(outputs: Any, training: Trained, continuous: bool) -> int | Unknown:
        """Examples whose class is another than with the training's own solver."""
        if continuous:
            return Unknown("Its answers are values, not classes: each may have changed a little.")
        own = training.outputs.to(outputs.device)
        return int((outputs.argmax(-1) != own.argmax(-1)).sum())
