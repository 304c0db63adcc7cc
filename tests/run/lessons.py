"""A small local plugin for tests of studies: a model that learns quickly, or slowly, or not at all, and tasks that misbehave."""

from __future__ import annotations

import os
import time
from pathlib import Path

import torch
from torch import nn

from odebench import Model, Problem, hookimpl
from odebench.contract import Examples, Findings, Learning, Study, right_class
from odebench.data import DataError
from odebench.tasks.train import Train


class Net(nn.Module):
    """f(t, y) = W2 tanh(W1 y), as slow, as large and as steep as one likes."""

    def __init__(self, pause_s: float, bytes_each: int, steep: float) -> None:
        super().__init__()
        self.pause_s, self.bytes_each, self.steep = pause_s, bytes_each, steep
        self.net = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2))

    def forward(self, t, y):
        time.sleep(self.pause_s)
        if self.bytes_each:
            torch.ones(self.bytes_each // 4)
        return self.net(y) + self.steep * y.square()


class SmallLesson(Model):
    """Points in a square, of class 1 on one side of a parabola."""

    name = "small-lesson"

    def __init__(self, *, pause_s: float = 0.0, bytes_each: int = 0, steep: float = 0.0) -> None:
        self.pause_s, self.bytes_each, self.steep = pause_s, bytes_each, steep

    def learning(self, seed):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            points = torch.rand(90, 2) * 2.0 - 1.0
            targets = (points[:, 0] + points[:, 1].square() > 0.3).long()
            return Learning(
                field=Net(self.pause_s, self.bytes_each, self.steep),
                readout=nn.Linear(2, 2),
                ts=(0.0, 1.0),
                train=Examples(inputs=points[:60], targets=targets[:60]),
                test=Examples(inputs=points[60:], targets=targets[60:]),
                loss=nn.functional.cross_entropy,
                score=right_class,
            )

    def problem(self, seed):
        lesson = self.learning(seed)
        return Problem(field=lesson.field.double(), y0=lesson.test.inputs.double(), ts=lesson.ts)


class HastyTrain(Train):
    """Writes checkpoints more often than the real one."""

    name = "hasty-train"
    checkpoint_every_s = 0.2


class Looks(Study):
    """Tells what it sees of the field, and whether it can be reached."""

    name = "looks"

    def run(self, setting, workplace):
        field = setting.field
        before = workplace.evaluations()
        field(torch.zeros(()), setting.problem.y0)
        own = [name for name in dir(field) if not name.startswith("__")]
        return Findings(
            values={
                "sees": " ".join(own),
                "counted": workplace.evaluations() - before,
                "kind": type(field).__name__,
                "data_dir": os.environ.get("ODEBENCH_DATA"),
            }
        )


class NeedsAFile(Study):
    """Cannot do without a file of the user's."""

    name = "needs-a-file"

    def __init__(self, *, file: str) -> None:
        self.file = file

    def run(self, setting, workplace):
        if not Path(self.file).exists():
            raise DataError(f"There is no file {self.file}.")
        return Findings(values={"answer": 1})


class Spoils(Study):
    """Leaves the process other than it found it."""

    name = "spoils"

    def run(self, setting, workplace):
        torch.set_default_dtype(torch.float64)
        return Findings(values={"answer": 42, "far": float("inf")}, notes=("It was in a hurry.",))


@hookimpl
def odebench_register_models(register):
    register(SmallLesson)


@hookimpl
def odebench_register_tasks(register):
    register(HastyTrain)
    register(Looks)
    register(NeedsAFile)
    register(Spoils)
