"""Is the model of a training a flow, or tied to its solver?"""

from __future__ import annotations

from typing import Any

from odebench.contract import Findings, Progress, Setting, Study, Unknown, Workplace
from odebench.errors import IncompatibleError
from odebench.tasks.trained import load_training
from odebench.validation import Verdict, validate


class Validate(Study):
    """Validate the model of a training on its whole test set, as `odebench.validate` does.

    This cell's solver and grid are taken for the model's own: name the training's solver, and `factor = 1`.

    Args:
        threshold: the largest change of the score that counts as none.
        level: of the intervals.
        resamples: of the bootstrap.

    Source: K. Ott, P. Katiyar, P. Hennig, M. Tiemann, "ResNet after all? Neural ODEs and their numerical solution", ICLR 2021,
    arXiv:2007.15386, section 3, with intervals over the samples and measured numerical errors.
    """

    name = "validate"
    needs_training = True

    def __init__(self, *, threshold: float = 0.02, level: float = 0.95, resamples: int = 2000) -> None:
        self.threshold, self.level, self.resamples = threshold, level, resamples

    def run(self, setting: Setting, workplace: Workplace) -> Findings:
        """Load the weights, and try other solvers."""
        learning = workplace.learning
        if learning is None or len(workplace.needed) != 1:
            raise IncompatibleError("A validation needs a model with data, and the training of exactly one cell.")
        grid = load_training(workplace.needed[0], learning).grid_of(setting, learning.ts)
        done = 0

        def tell(words: str) -> None:
            nonlocal done
            done += 1
            workplace.tell(Progress(done=done, total=done + 1))

        found = validate(
            learning,
            solver=setting.solver,
            grid=grid,
            threshold=self.threshold,
            level=self.level,
            resamples=self.resamples,
            seed=workplace.seed,
            check_forward=False,
            tell=tell,
        )
        judged = [one for one in found.tried if one.judged and one.change is not None]
        worst = max(judged, key=lambda one: abs(one.change), default=None)
        nothing = Unknown("No other solver had an error as small as the model's own.")
        crossings: Any = found.crossings
        return Findings(
            values={
                "verdict": found.verdict.value,
                "tied": found.verdict is Verdict.TIED,
                "verdict_reason": found.sentence,
                "worst_change": nothing if worst is None else worst.change,
                "worst_change_low": nothing if worst is None else worst.low,
                "worst_change_high": nothing if worst is None else worst.high,
                "worst_solver": nothing if worst is None else worst.label,
                "solvers_tried": len(found.tried),
                "solvers_judged": len(judged),
                "numerical_error": Unknown("There is no tight solve to compare with.")
                if found.own.error is None
                else found.own.error,
                "crossings": Unknown("Trajectories cross only in two dimensions.")
                if crossings is None
                else crossings.count,
            }
        )
