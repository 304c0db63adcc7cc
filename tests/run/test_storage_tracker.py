"""Bytes, exactly."""

from __future__ import annotations

import itertools
import json
import sys

import pytest
import torch

from odebench.contract import ProgramMemory
from odebench.numerics.storage_tracker import StorageTracker
from odebench.run.memory_part import memory_use, passes
from odebench.run.memory_profile import profile_memory
from tests.benchmarks.memory_crosscheck import compare

KIB = 256  # float32 elements in a KiB


def test_live_and_peak_follow_storages():
    with StorageTracker() as tracker:
        a = torch.ones(4 * KIB)
        b = a + 1
        assert tracker.live_bytes == 8192
        del a
        c = b * 2
        del b
        assert (tracker.live_bytes, tracker.peak_bytes) == (4096, 8192)
        assert tracker.bytes_of([c, c[1:]]) == 4096


def test_views_cost_nothing():
    with StorageTracker() as tracker:
        a = torch.ones(4, KIB)
        kept = [a[1:], a.t(), a.reshape(-1), a.detach()]
        del a
        assert tracker.live_bytes == 4096
        kept.clear()
        assert tracker.live_bytes == 0


def test_inputs_do_not_count_but_for_what_they_grow_by():
    y0 = torch.ones(KIB)
    with StorageTracker([y0]) as tracker:
        y0.add_(1)
        assert tracker.live_bytes == 0
        y0.resize_(3 * KIB)
        assert tracker.live_bytes == 2048
        del y0
        assert tracker.live_bytes == 0


def test_what_was_kept_from_earlier_counts_when_it_is_used():
    """A buffer that a plugin allocates before it is watched is memory that it uses."""
    kept = torch.ones(KIB)
    with StorageTracker() as tracker:
        kept.add_(1)
        new = kept + 1
        assert (tracker.live_bytes, tracker.left_bytes([]), tracker.left_bytes([new])) == (2048, 1024, 0)


def test_tensors_made_from_python_numbers_count():
    with StorageTracker() as tracker:
        a = torch.tensor([1.0] * KIB)
        assert (a.numel(), tracker.live_bytes, tracker.left_bytes([])) == (KIB, 1024, 1024)


def test_the_tape_is_seen_and_so_is_its_end():
    y = torch.ones(KIB, requires_grad=True)
    with StorageTracker([y]) as tracker:
        loss = y.exp().sin().exp().sum()
        assert tracker.live_bytes == 2 * 1024 + 4, "both exponentials, and the loss: the sine is needed by nobody"
        loss.backward()
        del loss
        assert tracker.live_bytes == tracker.bytes_of([y.grad]) == 1024


def test_lists_of_tensors_are_seen_in_and_out():
    with StorageTracker() as tracker:
        parts = torch._foreach_mul([torch.ones(KIB), torch.ones(KIB)], 2.0)
        assert (len(parts), tracker.live_bytes, tracker.peak_bytes) == (2, 2048, 4096)


@pytest.mark.parametrize(
    ("solver", "gradient", "left"),
    [("honest", None, 0), ("honest", "plain", 0), ("rk4", "direct", 0), ("rk4", "anode", 0)],
)
def test_nothing_is_left_beyond_the_answer(bench_of, solver, gradient, left):
    use = memory_use(bench_of(solver, gradient=gradient, steps=8))
    assert use.left_bytes == left
    assert use.peak_bytes >= use.forward_bytes > use.grid_bytes > 0


def test_a_leak_is_told(bench_of, monkeypatch):
    bench = bench_of("honest")
    kept = []
    solve = type(bench.solver).solve
    monkeypatch.setattr(
        type(bench.solver), "solve", lambda self, *a, **k: kept.append(torch.ones(KIB)) or solve(self, *a, **k)
    )
    assert memory_use(bench).left_bytes == 1024


def test_of_compiled_programs_the_memory_is_their_own_and_no_grid_is_taken_from_it(bench_of, monkeypatch):
    bench = bench_of("honest", steps=8)
    solve = type(bench.solver).solve

    def told(*arguments, **named):
        solution = solve(*arguments, **named)
        solution.stats.memory = ProgramMemory(method="analysis", forward_peak_bytes=700, forward_bytes=300)
        return solution

    monkeypatch.setattr(type(bench.solver), "solve", told)
    use = memory_use(bench)
    assert (use.peak_bytes, use.forward_bytes, use.left_bytes, use.grid_bytes) == (700, 300, None, 0)
    assert use.method == "analysis"


def test_bytes_grow_with_the_steps_as_the_tape_does(bench_of):
    """Each Euler step of the decay keeps as many states as its neighbours: a law without noise."""
    peaks = [
        memory_use(bench_of("honest", gradient="plain", steps=steps, batch=64)).peak_bytes for steps in (16, 32, 48)
    ]
    assert peaks[2] - peaks[1] == peaks[1] - peaks[0] > 0


@pytest.mark.parametrize(
    ("gradient", "grows"), [("direct", True), ("step-checkpoint", True), ("continuous-adjoint", False)]
)
def test_memory_beyond_the_grid_follows_its_law(bench_of, gradient, grows):
    """Nothing but the record of the grid grows with the steps under the continuous adjoint; the others' law is linear."""
    uses = [
        memory_use(bench_of("rk4", gradient=gradient, model="mlp-field", steps=steps)) for steps in (16, 32, 48, 64)
    ]
    beyond = [use.peak_bytes - use.grid_bytes for use in uses]
    growth = {after - before for before, after in itertools.pairwise(beyond)}
    assert len(growth) == 1
    assert (growth.pop() > 0) is grows


@pytest.mark.parametrize("gradient", ["plain", "step-checkpoint"])
def test_tracker_and_profiler_agree(bench_of, gradient):
    bench = bench_of("rk4", gradient=gradient, model="mlp-field", steps=16)
    forward, backward = passes(bench, bench.start(0))

    def work():
        answer = forward()
        backward(answer)
        return answer

    tracker = memory_use(bench).peak_bytes
    assert profile_memory(work).peak_bytes == pytest.approx(tracker, rel=0.01)


def test_a_workspace_is_the_profilers_to_see():
    weight, x = torch.ones(16, 16, 3, 3), torch.ones(2, 16, 16, 16)
    profiled = profile_memory(lambda: torch.nn.functional.conv2d(x, weight))
    with StorageTracker([weight, x]) as tracker:
        y = torch.nn.functional.conv2d(x, weight)
    assert tracker.peak_bytes == y.nbytes < profiled.peak_bytes
    assert any("conv" in name and size > 0 for name, size in profiled.workspaces.items())


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the profiler is checked where it is used")
def test_every_difference_has_a_named_cause(cell_of):
    """The cell of the quickstart on which they differ; the script compares all of them."""
    found = compare(json.dumps(cell_of("rk4", gradient="direct", model="mlp-field", steps=16).to_json()))
    assert found.cause != "?", found


def test_bytes_within_a_vmapped_gradient_are_counted():
    buffer, y = torch.ones(1000), torch.ones(10, 1000)

    def mean_square(row):
        kept = buffer.data.clone()  # within `grad` it is a wrapper that has no storage of its own
        return (row * row * kept).sum()

    with StorageTracker([buffer, y]) as tracker:
        gradients = torch.func.vmap(torch.func.grad(mean_square))(y)
    assert torch.equal(gradients, 2 * y)
    assert tracker.live_bytes == gradients.nbytes
    assert tracker.peak_bytes >= 2 * gradients.nbytes + buffer.nbytes
