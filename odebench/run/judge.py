"""The judge: compares an answer with what is known about the problem, in a process that measured nothing.

It runs the model's code, since references are made from the field, and never the code that it judges, unless that shows its steps
and nothing else can replay them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from odebench.errors import MeasurementError
from odebench.plugins import Registry
from odebench.run.answers import load_answer
from odebench.run.bench import build
from odebench.run.columns import SERIES_FILE, series_content, values_and_reasons
from odebench.run.known import CellKnown
from odebench.run.message_home import read_message
from odebench.run.replay_there import replayed_there
from odebench.run.request import Request


def judge(request: Request, registry: Registry, folder: Path) -> dict[str, Any]:
    """Columns of the quality part for the answer that lies in `request.answer`.

    Its `series` says whether long columns lie in `folder`.
    """
    if request.answer is None:
        raise MeasurementError("The judge was called without an answer. This is a bug of the launcher.")
    states, grid = load_answer(Path(request.answer))
    message = read_message(Path(request.answer)) if request.interpreter is None else None
    more = {} if message is None else {"solver": message.stand_in}
    if message is not None and message.is_replayed_there(grid):
        more["discrete"] = lambda: replayed_there(message, request.cell, Path(request.answer), folder)
    known = CellKnown(request.cell, registry, grid, cache=request.cache, **more)
    if message is not None:
        message.refuse_another(known.problem)
    task = build("task", request.cell.task, registry)
    values, reasons = values_and_reasons(task.judge(states, known))
    series = task.series(states)
    if series:
        (folder / SERIES_FILE).write_bytes(series_content(series))
    judgement = {"outcome": "ok", "reason": None, "traceback": None, "values": values, "reasons": reasons}
    return judgement | {"series": bool(series)}
