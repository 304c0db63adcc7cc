"""Chunks of rounds in the place of loops: the same solves, and the host asks once a chunk."""

from __future__ import annotations

import math
from dataclasses import fields

import pytest
import torch

import odebench
from odebench.compiled import program, rounds
from odebench.compiled.adaptive import Adaptive
from odebench.compiled.replay import Replay
from odebench.compiled.rounds import IN_THE_GRAPH, InChunks
from odebench.errors import CompileError, DivergedError
from tests.compiled.test_parity import FIVE, TWO, assert_same, distance

CHUNK = 4  # few rounds, which compile soon

pytestmark = pytest.mark.usefixtures("graphs_only")


@pytest.fixture
def chunks(monkeypatch) -> None:
    monkeypatch.setattr(program, "LOOPS", False)
    monkeypatch.setattr(rounds, "CHUNK", CHUNK)


@pytest.mark.usefixtures("chunks")
@pytest.mark.parametrize(
    ("ts", "how"),
    [
        pytest.param(FIVE, {"solver": "bosh3", "steps": CHUNK + 2}, id="steps that are no multiple of a chunk"),
        pytest.param(TWO, {"solver": "rk4", "steps": 13, "gradient": "sqrt-checkpoint"}, id="in two levels"),
        pytest.param(FIVE, {"solver": "tsit5", "rtol": 1e-6}, id="with a tolerance"),
        pytest.param(TWO, {"solver": "bosh3", "rtol": 1e-6, "gradient": "sqrt-checkpoint"}, id="in two levels too"),
        pytest.param(FIVE, {"solver": "bosh3", "rtol": 1e-4, "batch": "per-sample"}, id="per sample"),
    ],
)
def test_states_steps_counts_and_gradients_are_those_of_eager(field, y0, ts, how) -> None:
    assert assert_same(field, y0, ts, **how).stats.compiled_as == "chunks"


@pytest.mark.usefixtures("chunks")
def test_the_host_asks_once_a_chunk_whether_a_solve_goes_on(field, y0, monkeypatch) -> None:
    asked, ask = [], InChunks.__call__

    def counting(self, going, advance, carried, exactly=None, at_most=None):
        before = self._asking

        def asking(*arguments):
            carried, more = before(*arguments)
            asked.append((exactly, at_most))
            return carried, more

        self._asking = asking
        try:
            return ask(self, going, advance, carried, exactly, at_most)
        finally:
            self._asking = before

    monkeypatch.setattr(InChunks, "__call__", counting)
    with torch.no_grad():
        adaptive = odebench.solve(field, y0, TWO, rtol=1e-8, compile=True)
        attempts = adaptive.stats.accepted + adaptive.stats.rejected
        assert attempts > 2 * CHUNK
        assert asked == [(None, 1), *[(None, None)] * math.ceil(attempts / CHUNK)]
        asked.clear()
        odebench.solve(field, y0, TWO, solver="rk4", steps=10, compile=True)
        assert asked == []


@pytest.mark.usefixtures("chunks")
def test_divergence_and_too_many_steps_are_told(y0) -> None:
    with torch.no_grad():
        with pytest.raises(DivergedError, match="not finite"):
            odebench.solve(lambda t, y: torch.where(t < 0.5, -y, torch.nan), y0, TWO, rtol=1e-6, compile=True)
        grid = odebench.Tolerance(rtol=1e-8, atol=1e-8, max_steps=CHUNK + 2)
        with pytest.raises(DivergedError, match=f"{CHUNK + 2} steps were not enough"):
            odebench.solve(lambda t, y: -(y**2) * torch.sin(40 * t), y0, TWO, grid=grid, compile=True)


@pytest.mark.usefixtures("chunks")
def test_more_steps_than_find_room_go_on_in_a_second_run(field, y0, monkeypatch) -> None:
    monkeypatch.setattr("odebench.compiled.march.FIRST_ROOM", CHUNK + 3)
    solution = assert_same(field, y0, FIVE, solver="bosh3", rtol=1e-6)
    assert solution.grid.steps > 3 * (CHUNK + 3)


def test_where_a_loop_cannot_be_compiled_chunks_take_its_place(y0, monkeypatch) -> None:
    def broken(*arguments):
        raise RuntimeError("this compiler knows no loops")

    monkeypatch.setattr(rounds, "while_loop", broken)
    field = lambda t, y: torch.cos(t) * y.roll(1, 0)  # noqa: E731
    with torch.no_grad():
        compiled = odebench.solve(field, y0, TWO, solver="heun", steps=9, compile=True)
        assert compiled.stats.compiled_as == "chunks"
        assert distance(compiled.y1, odebench.solve(field, y0, TWO, solver="heun", steps=9).y1) < 1e-13
        monkeypatch.setattr(InChunks, "__call__", broken)
        with pytest.raises(CompileError, match="cannot be compiled: .*this compiler knows no loops"):
            odebench.solve(field, y0, TWO, solver="midpoint", steps=9, compile=True)


def test_a_gpu_is_asked_once_a_chunk_and_never_where_the_steps_are_known() -> None:
    assert Adaptive.asks and not Replay.asks
    forms = {}
    for kind in (Adaptive, Replay):
        function = object.__new__(kind)
        for field in fields(kind):
            object.__setattr__(function, field.name, IN_THE_GRAPH if field.name == "loop" else None)
        forms[kind] = [form for form, _ in program.Program(function)._forms(on_cuda=True)]
    assert forms == {Adaptive: ["chunks"], Replay: ["loop", "chunks"]}
