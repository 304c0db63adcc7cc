"""What is told home of an answer that was made in another interpreter: the steps' coefficients, and which problem was solved.

The judge stays in the launcher's interpreter, where the solver is not: steps of a tableau are replayed here from its coefficients,
and steps that only the solver can take are replayed there (`replay_there`). And one seed must mean one problem in both: a reference
of another problem would judge nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from odebench.contract import Grid, Problem, Solver
from odebench.errors import MeasurementError
from odebench.run.fingerprint import Fingerprint, fingerprint_of, mismatch
from odebench.run.oracle_tableau import coefficients_of
from odebench.run.request import Request

HOME_FILE = "home.json"


@dataclass(frozen=True, kw_only=True)
class MessageHome:
    """What came with an answer.

    Attributes:
        solver: name of the solver.
        coefficients: of its tableau, as `oracle_tableau.Coefficients` has them; None where it has none.
        has_step: whether it has a step of its own, which cannot be taken here.
        problem: fingerprint of what was solved.
        torch: version of torch there.
        interpreter, prefixes, local_files: where it was solved, and with which plugins.
    """

    solver: str
    coefficients: dict[str, Any] | None
    has_step: bool
    problem: Fingerprint
    torch: str
    interpreter: str
    prefixes: list[str]
    local_files: list[str]

    def is_replayed_there(self, grid: Grid | None) -> bool:
        """Whether only the solver itself can take its steps again."""
        return grid is not None and self.coefficients is None and self.has_step

    def stand_in(self) -> Any:
        """What stands in for the solver when its steps are replayed here: its name, and its tableau where it has one."""
        tableau = self.coefficients and {f"{name}_floats": value for name, value in self.coefficients.items()}
        return SimpleNamespace(name=self.solver, tableau=tableau and SimpleNamespace(**tableau))

    def refuse_another(self, problem: Problem) -> None:
        """Raise where `problem` is not the one that was solved.

        Raises:
            MeasurementError: with what differs.
        """
        here = problem_print(problem)
        wrong = mismatch(self.problem, here, here, torch.finfo(_leaves(problem)[0].dtype).eps)
        if wrong is not None:
            raise MeasurementError(
                f"The same seed gave another problem in the other interpreter (torch {self.torch} there, {torch.__version__} here): {wrong}. "
                "Nothing is known about that one. Install the same torch there, or have the model draw its numbers without it."
            )


def send_home(request: Request, solver: Solver, problem: Problem, folder: Path) -> None:
    """Lay the message beside the answer to `request`; `problem` is the one that was solved, in its dtype."""
    coefficients = coefficients_of(solver)
    message = {
        "solver": str(solver.name),
        "coefficients": None if coefficients is None else coefficients._asdict(),
        "has_step": callable(getattr(solver, "step", None)),
        "problem": problem_print(problem),
        "torch": torch.__version__,
        "interpreter": request.interpreter,
        "prefixes": request.prefixes,
        "local_files": request.local_files,
    }
    (folder / HOME_FILE).write_text(json.dumps(message), encoding="utf-8")


def read_message(folder: Path) -> MessageHome | None:
    """The message beside an answer; None where it was made in this interpreter."""
    try:
        text = (folder / HOME_FILE).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    return MessageHome(**json.loads(text))


def problem_print(problem: Problem) -> Fingerprint:
    """Some numbers of a problem's initial state, and of what its modules brought along."""
    modules = [problem.field, *([problem.loss] if isinstance(problem.loss, nn.Module) else [])]
    constants = [tensor for module in modules for tensor in (*module.parameters(), *module.buffers())]
    states = {f"initial state.{index}": leaf for index, leaf in enumerate(_leaves(problem))}
    states |= {f"weights.{index:05}": tensor for index, tensor in enumerate(constants)}
    return fingerprint_of(states)


def _leaves(problem: Problem) -> tuple[torch.Tensor, ...]:
    return problem.y0 if isinstance(problem.y0, tuple) else (problem.y0,)
