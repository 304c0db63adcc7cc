"""Replaying steps that only a solver in another interpreter can take: a child there differentiates them, and the judge reads the result.

Run there as `python -m odebench.run.replay_there FOLDER`.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from pathlib import Path

from odebench.contract import Reference
from odebench.errors import NotKnownError
from odebench.interpreters.interpreter import foreign_variables
from odebench.plan.cell import Cell
from odebench.plugins import build_registry
from odebench.run.answers import load_answer
from odebench.run.bench import build, dtype_of
from odebench.run.message_home import MessageHome
from odebench.run.oracle import exact_discrete_gradient
from odebench.run.reference_cache import ReferenceCache

_QUESTION_FILE = "replay.json"
#: Below the folder: a cache of one reference, or of the reason why there is none.
_REPLAYED = "replayed"
_SHOWN = 300


def replayed_there(message: MessageHome, cell: Cell, answer: Path, folder: Path) -> Reference:
    """The gradient of the discrete solution, by the solver's own steps, taken where the solver is.

    Args:
        message: what came with the answer.
        cell: the question.
        answer: folder of the answer, which has the steps.
        folder: for files of the replay.

    Raises:
        NotKnownError: as `exact_discrete_gradient`, or the replay failed there.
    """
    question = {
        "cell": cell.to_json(),
        "prefixes": message.prefixes,
        "local_files": message.local_files,
        "answer": str(answer),
    }
    (folder / _QUESTION_FILE).write_text(json.dumps(question), encoding="utf-8")
    command = [message.interpreter, "-m", "odebench.run.replay_there", str(folder)]
    try:
        # It may take as long as the judge itself, whose supervisor ends both.
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", env=foreign_variables(), cwd=folder, check=False
        )  # fmt: skip
        said = f"it ended with exit code {done.returncode}: {' '.join(done.stderr.split())[-_SHOWN:]}"
    except OSError as error:
        said = f"it cannot be started: {error.strerror}"

    def failed() -> Reference:
        """Nothing was replayed."""
        raise NotKnownError(f"Its steps could not be replayed in the interpreter {message.interpreter}: {said}")

    return ReferenceCache(folder / _REPLAYED).get(cell.id, failed)


def replay(folder: Path) -> None:
    """Answer the question that lies in a folder."""
    question = json.loads((folder / _QUESTION_FILE).read_text(encoding="utf-8"))
    cell = Cell.from_json(question["cell"])
    registry = build_registry(prefixes=question["prefixes"], local_files=question["local_files"])
    _, grid = load_answer(Path(question["answer"]))
    problem = build("model", cell.model, registry).problem(cell.seed).to(dtype_of(cell), "cpu")
    solver = build("solver", cell.solver, registry)
    with contextlib.suppress(NotKnownError):  # The reason is kept like a reference.
        ReferenceCache(folder / _REPLAYED).get(cell.id, lambda: exact_discrete_gradient(problem, solver, grid))


if __name__ == "__main__":
    replay(Path(sys.argv[1]))
