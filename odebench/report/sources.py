"""Where rows come from: a folder and a machine. Different sources stand side by side and are never pooled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from odebench.errors import RecordError
from odebench.records import ResultFolder, Run
from odebench.report.frame import load
from odebench.report.labels import with_labels


@dataclass(frozen=True, kw_only=True)
class Source:
    """Rows of one machine in one folder.

    Attributes:
        label: tells it from the other sources of a report; "" where there is only one.
        folder: where its records lie.
        machine_id: which machine measured.
        frame: its rows, labelled (see `labels.with_labels`).
        run: whose folder it is and what ran last, None where that cannot be read.
        machine: facts about the machine, {} where there are none.
        outdated: records of earlier versions of the suite, which are left out.
        faults: files of the folder that could not be read, each with its reason.
    """

    label: str
    folder: Path
    machine_id: str
    frame: pd.DataFrame
    run: Run | None = None
    machine: dict[str, Any] = field(default_factory=dict)
    outdated: int = 0
    faults: tuple[str, ...] = ()


def sources_of(folders: Sequence[Path]) -> list[Source]:
    """Every machine of every folder, in the order of the folders.

    Labels are made over all of them, so that one method has one label in the whole report.

    Raises:
        RecordError: a folder holds no readable records.
    """
    runs = [_run(folder) for folder in folders]
    frames, outdated, faults = [], [], []
    for place, (folder, run) in enumerate(zip(folders, runs, strict=True)):
        frame = load(folder)
        faults.append(tuple(frame.attrs.pop("faults", ())))
        kept = _of_last_plan(frame, run)
        outdated.append(len(frame) - len(kept))
        frames.append(kept.assign(source_folder=place))
    labelled = with_labels(pd.concat(frames, ignore_index=True) if len(frames) > 1 else frames[0])
    groups = list(labelled.groupby(["source_folder", "machine_id"], sort=False, dropna=False))
    made = []
    for (place, machine_id), rows in groups:
        folder = folders[place]
        made.append(
            Source(
                label=_label(folders, place, str(machine_id), len(groups)),
                folder=folder,
                machine_id=str(machine_id),
                frame=rows.drop(columns="source_folder").reset_index(drop=True),
                run=runs[place],
                machine=ResultFolder(folder).read_machines().get(str(machine_id), {}),
                outdated=outdated[place],
                faults=faults[place],
            )
        )
    return made


def _run(folder: Path) -> Run | None:
    """What ran last in a folder; its records can be shown without."""
    try:
        return ResultFolder(folder).read_run()
    except RecordError:
        return None


def _of_last_plan(frame: pd.DataFrame, run: Run | None) -> pd.DataFrame:
    """The rows that the last plan asked for; all of them where the folder does not tell, or none is among them."""
    asked = frame["cell_id"].isin(run.cells) if run else pd.Series(True, index=frame.index)
    return frame[asked] if asked.any() else frame


def _label(folders: Sequence[Path], place: int, machine_id: str, count: int) -> str:
    """Folder, machine, or both: as much as it takes to tell a source from the others."""
    if count == 1:
        return ""
    machine = f"machine {machine_id[:8]}"
    if len(folders) == 1:
        return machine
    names = [folder.name for folder in folders]
    name = str(folders[place]) if names.count(names[place]) > 1 else names[place]
    return f"{name}, {machine}"
