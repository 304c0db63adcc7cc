"""Small trainings for the tests of the tasks that train and of those that need a training: data, networks, and a workplace."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from odebench.contract import Examples, Learning, Problem, Setting, StepSize, Workplace, right_class
from odebench.plugins import build_registry
from odebench.run.opaque import opaque_network

REGISTRY = build_registry(prefixes=[], strict=True)


class Net(nn.Module):
    """f(t, y) = W2 tanh(W1 y)."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, width), nn.Tanh(), nn.Linear(width, 2))

    def forward(self, t, y):
        return self.net(y)


def learning(seed: int = 0, train: int = 60, test: int = 30, field: nn.Module | None = None) -> Learning:
    """Points in a square, of class 1 on one side of a parabola; linear logits."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        points = torch.rand(train + test, 2) * 2.0 - 1.0
        targets = (points[:, 0] + points[:, 1].square() > 0.3).long()
        return Learning(
            field=field or Net(),
            readout=nn.Linear(2, 2),
            ts=(0.0, 1.0),
            train=Examples(inputs=points[:train], targets=targets[:train]),
            test=Examples(inputs=points[train:], targets=targets[train:]),
            loss=nn.functional.cross_entropy,
            score=right_class,
            chance=0.5,
        )


class Calls:
    """The field as a host hands it over: called, counted, and nothing else."""

    def __init__(self, module: nn.Module) -> None:
        self.count, self._module = 0, module
        self.parameters, self.modules = module.parameters, module.modules

    def __call__(self, t, y):
        self.count += 1
        return self._module(t, y)


def build_solver(spec: str | dict[str, Any]):
    """The solver of a name or a table."""
    table = {"name": spec} if isinstance(spec, str) else dict(spec)
    return REGISTRY.get("solver", table.pop("name")).build(**table)


def study(
    task: Any,
    folder: Path,
    *,
    lesson: Learning | None = None,
    solver: str | dict[str, Any] = "euler",
    grid: Any = StepSize(steps=4),  # noqa: B008 - frozen
    gradient: str | None = "direct",
    policy: Any = None,
    needed: tuple[Path, ...] = (),
    seed: int = 0,
    tell: Callable[[Any], None] = lambda progress: None,
):
    """Runs a study as the host does; gives its findings and how often the field was called."""
    folder.mkdir(parents=True, exist_ok=True)
    lesson = lesson or learning()
    handed = [Calls(lesson.field)]
    if lesson.network is not None:

        def wrap(field: nn.Module) -> Calls:
            handed.append(Calls(field))
            return handed[-1]

        lesson = replace(lesson, network=opaque_network(lesson.network, wrap))
    policy = policy or REGISTRY.get("step_policy", "fixed").build()
    findings = task.run(
        Setting(
            problem=Problem(field=handed[0], y0=lesson.test.inputs, ts=lesson.ts),
            solver=build_solver(solver),
            gradient=None if gradient is None else REGISTRY.get("gradient", gradient).build(),
            grid=grid,
        ),
        Workplace(
            learning=lesson,
            policy=policy,
            build_solver=build_solver,
            folder=folder,
            needed=needed,
            seed=seed,
            evaluations=lambda: sum(calls.count for calls in handed),
            tell=tell,
        ),
    )
    return findings, sum(calls.count for calls in handed)
