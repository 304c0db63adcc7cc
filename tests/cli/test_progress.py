"""What a run shows while it goes on: in a terminal as bars, elsewhere as a line now and then."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from odebench.cli import progress as module
from odebench.outcome import Outcome
from odebench.plan.cell import Cell, Choice
from odebench.run.events import Notice, PartFinished, PartProgress, PartStarted, Progress

CELL = Cell(
    task=Choice(name="train"), model=Choice(name="conv1d-net"), solver=Choice(name="euler"), gradient=Choice(name="direct"),
    grid={"steps": 16}, device="cpu", dtype="float32", threads=1, seed=0,
)  # fmt: skip
HALF = Progress(done=1, total=4, elapsed_s=60.0, remaining_s=200.0)


def so_far(done, loss=0.3125, remaining_s=95.0, cell=CELL):
    return PartProgress(
        cell=cell, part="quality", done=done, total=10_000, loss=loss, remaining_s=remaining_s, progress=HALF
    )


@pytest.fixture
def shown(monkeypatch):
    """Makes a bar that writes into a text, as a terminal or not."""

    def make(terminal: bool):
        text = io.StringIO()
        screen = Console(file=text, force_terminal=terminal, width=160, highlight=False, color_system=None)
        monkeypatch.setattr(module, "console", lambda stderr: screen)
        return module.ProgressBar(), text

    return make


def test_a_training_has_a_bar_with_its_iterations_loss_and_time_left(shown):
    bar, text = shown(True)
    with bar:
        bar(PartStarted(cell=CELL, part="quality", round=None, progress=HALF))
        bar(so_far(2500))
        assert "1/4" in text.getvalue() and "3 min 20 s left" in text.getvalue()
        line = text.getvalue().splitlines()[-1]
        for words in ("2500/10000", "1 min 35 s left", "loss 0.3125", "train of conv1d-net, euler, direct, 16 steps"):
            assert words in line
        text.truncate(0)
        bar(
            PartFinished(
                cell=CELL, part="quality", round=None, outcome=Outcome.OK, reason=None, seconds=1.0, progress=HALF
            )
        )
        assert "2500/10000" not in text.getvalue(), "it is gone when the training has ended"


def test_elsewhere_it_is_a_line_every_ten_seconds(shown, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    bar, text = shown(False)
    with bar:
        for tick in range(100):
            clock[0] += 0.5
            bar(so_far(tick + 1, remaining_s=None if tick < 30 else 95.0))
    lines = text.getvalue().splitlines()
    assert len(lines) == 4
    head = "1/4 parts, 3 min 20 s left, train of conv1d-net, euler, direct, 16 steps: "
    assert lines[0] == head + "21/10,000, loss 0.3125"
    assert lines[-1] == head + "84/10,000, loss 0.3125, 1 min 35 s left"


def test_a_notice_is_a_line_at_once(shown):
    bar, text = shown(False)
    bar(Notice(text="Another run is doing it.", progress=HALF))
    assert text.getvalue() == "Another run is doing it.\n"
