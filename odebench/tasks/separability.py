"""Whether a linear layer could tell the classes apart by where their rows end."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from odebench.contract import Known, Task, Unknown
from odebench.errors import NotKnownError
from odebench.numerics.separation import separation_margin
from odebench.tasks.answers import state_of
from odebench.tasks.integrate import Integrate
from odebench.tasks.trajectory import at


class Separability(Task):
    """Solve the problem, and decide by a linear program whether the final states of its classes are linearly separable.

    A network ends in a linear layer, so what it can read from a flow is what a plane can separate. The error of a solver can
    separate what the flow itself does not: then the layer reads the solver.

    Source: K. Ott, P. Katiyar, P. Hennig, M. Tiemann, "ResNet after all? Neural ODEs and their numerical solution", ICLR 2021,
    arXiv:2007.15386, section 3 (the exclusive or).
    """

    name = "separability"
    parts = ("quality",)

    forward = Integrate.forward

    def judge(self, answer: dict[str, Tensor], known: Known) -> dict[str, float | str | Unknown]:
        """`separable`, and `separability_margin` as `odebench.numerics.separation` defines it."""
        labels = known.problem.labels
        try:
            if labels is None:
                raise NotKnownError("The rows of this problem belong to no classes.")
            final = at(state_of(answer, "ys"), -1)
            rows = [leaf.flatten(1).numpy() for leaf in (final if isinstance(final, tuple) else (final,))]
            margin = separation_margin(np.concatenate(rows, axis=1), labels.numpy())
        except NotKnownError as error:
            return dict.fromkeys(("separable", "separability_margin"), Unknown(str(error)))
        return {"separable": margin > 0.0, "separability_margin": margin}
