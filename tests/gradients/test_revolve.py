"""Checkpointing by a schedule: counts against the formula, memory against the budget, gradients against autograd."""

from __future__ import annotations

import gc
import os
import random
from math import comb

import pytest
import torch
from torch import nn

import odebench
from odebench.api import build
from odebench.errors import IncompatibleError
from odebench.numerics.storage_tracker import StorageTracker
from tests.gradients.fields import AdamsBashforth2, Network, loss_of, off, start
from tests.models.every import MODELS as MODELS_WITH_ONE_FIELD

MODELS = sorted(model.name for model in MODELS_WITH_ONE_FIELD)
# Every way of going back by a schedule.
WAYS = (
    {"name": "revolve", "slots": 1},
    {"name": "revolve", "slots": 3},
    {"name": "revolve", "slots": 2, "spill": "disk", "spill_slots": 3},
    {"name": "sqrt-checkpoint"},
    {"name": "anode", "slots": 3},
)


def fewest(steps: int, slots: int) -> int:
    """t(N, c) as in the paper."""
    r = next(r for r in range(steps) if comb(slots + r, slots) >= steps)
    return r * steps - comb(slots + r, r - 1) if r else 0


class Wide(nn.Module):
    """A field on states of 64 elements, whose graph is larger than a state."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.layers = nn.Sequential(nn.Linear(64, 96), nn.Tanh(), nn.Linear(96, 64)).double()

    def forward(self, t, y):
        return self.layers(y)


def differentiated(method, field, y0, ts=(0.0, 1.0), **arguments):
    solution = odebench.solve(field, y0, ts, gradient=method, **arguments)
    leaves = y0 if isinstance(y0, tuple) else (y0,)
    return torch.autograd.grad(loss_of(solution.ys), (*leaves, *field.parameters())), solution


@pytest.mark.parametrize("slots", [1, 2, 3, 5, 12, 40])
def test_no_step_more_than_the_formula_says(slots):
    for steps in (1, 2, 3, 6, 13, 30):
        _, solution = differentiated(
            {"name": "revolve", "slots": slots}, Network(), start(), solver="euler", steps=steps
        )
        total = solution.stats.evaluations_forward + solution.stats.evaluations_backward
        assert total == fewest(steps, slots) + 1 + steps
        _, solution = differentiated({"name": "anode", "slots": slots}, Network(), start(), solver="euler", steps=steps)
        assert solution.stats.evaluations_forward == steps, "the way forward keeps nothing"
        assert solution.stats.evaluations_backward == fewest(steps, slots) + steps


@pytest.mark.parametrize("name", MODELS)
def test_on_every_model_the_gradient_is_that_of_the_recorded_steps(name):
    problem = build("model", name).problem(0).to(torch.float64, "cpu")
    leaves = problem.y0 if isinstance(problem.y0, tuple) else (problem.y0,)
    first, last = problem.gradient_ts[0], problem.gradient_ts[-1]
    ts = (first, first + (1e-6 if name == "robertson" else 0.01) * (last - first))  # so that five steps are stable

    def gradient(method):
        y0 = tuple(leaf.detach().clone().requires_grad_() for leaf in leaves)
        state = y0 if isinstance(problem.y0, tuple) else y0[0]
        ys = odebench.solve(problem.field, state, ts, solver="rk4", steps=5, gradient=method).ys
        sources = (*y0, *(p for p in problem.field.parameters() if p.requires_grad))
        gradients = torch.autograd.grad(loss_of(ys), sources, allow_unused=True)
        return torch.cat([g.flatten() for g in gradients if g is not None])

    expected = gradient("direct")
    assert expected.isfinite().all() and expected.norm() > 0
    for way in WAYS:
        assert (gradient(way) - expected).norm() / expected.norm() < 1e-12, way


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize(
    "arguments",
    [
        {"solver": "dopri5", "rtol": 1e-6},
        {"solver": "dopri5", "rtol": 1e-5, "batch": "per-sample"},
        {"solver": AdamsBashforth2(), "steps": 20},
        {"solver": "kvaerno3", "rtol": 1e-2},
    ],
    ids=["adaptive", "per-sample", "state-carry", "implicit"],
)
def test_all_kinds_of_grids_and_solvers(arguments, way):
    field = Network()
    field.accepts_batched_time = True
    field.bias.requires_grad_(False)
    field.bias.zero_()
    field.forward = lambda t, y: torch.tanh(y @ field.first) @ field.second  # one time for each row means nothing to it
    ts = (0.0, 0.7, 2.0) if "rtol" in arguments else (0.0, 1.0, 2.0)
    y0 = start()
    got, solution = _gradient(way, field, y0, ts, arguments)
    expected, _ = _gradient("direct", field, y0, ts, arguments)
    assert solution.grid.steps > 5
    assert off(got, expected) < 1e-11


def _gradient(method, field, y0, ts, arguments):
    solution = odebench.solve(field, y0, ts, gradient=method, **arguments)
    return torch.autograd.grad(loss_of(solution.ys), (y0, field.first, field.second)), solution


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_steps_that_are_chosen_while_masks_are_drawn(way):
    """Others are rejected in between, where the field turns sharp, and their masks have to be passed over."""
    arguments = {"solver": "bosh3", "grid": odebench.Tolerance(rtol=1e-2, atol=1e-2, first_step=1.0)}

    def run(method):
        torch.manual_seed(5)
        field = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.2), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 3)).double()
        y0 = start(8)
        torch.manual_seed(11)
        solution = odebench.solve(
            lambda t, y: field(y) * (1 + 30 * torch.exp(-(((t - 0.6) / 0.05) ** 2))),
            y0,
            (0.0, 0.5, 1.0),
            gradient=method,
            inputs=tuple(field.parameters()),
            **arguments,
        )
        gradient = torch.autograd.grad(loss_of(solution.ys), (y0, *field.parameters()))
        return [torch.cat([g.flatten() for g in gradient])], solution, [b.clone() for b in field.buffers()]

    got, solution, buffers = run(way)
    expected, same, statistics = run("step-checkpoint")
    assert solution.stats.rejected > 0 and solution.grid.steps > 4
    assert torch.equal(solution.ys, same.ys) and off(got, expected) < 1e-12
    assert all(map(torch.equal, buffers, statistics))


def peak_beyond(method, field, y0, ts=(0.0, 1.0), **arguments):
    """Peak of a solve and its backward beyond inputs, outputs and gradients of parameters; and the solution."""
    leaves = y0 if isinstance(y0, tuple) else (y0,)
    gc.collect()
    with StorageTracker([*leaves, *field.parameters(), *field.buffers()]) as tracker:
        solution = odebench.solve(field, y0, ts, gradient=method, **arguments)
        last = solution.y1 if isinstance(solution.y1, tuple) else (solution.y1,)
        gradients = torch.autograd.grad(sum(leaf.sum() for leaf in last), (*leaves, *field.parameters()))
    ys = solution.ys if isinstance(solution.ys, tuple) else (solution.ys,)
    outputs = [*ys, solution.grid.t, solution.grid.dt, *gradients[len(leaves) :]]
    return tracker.peak_bytes - sum(x.numel() * x.element_size() for x in outputs), solution


KINDS = {
    "euler": {"solver": "euler"},
    "rk4": {"solver": "rk4"},
    "state": {"solver": AdamsBashforth2()},
    "adaptive": {"solver": "dopri5"},
    "tuple": {"solver": "rk4"},
}


def _case(kind, rng):
    y0 = torch.randn(16, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    field, steps = Wide(), rng.randrange(8, 18)
    arguments = KINDS[kind] | ({"rtol": 10.0 ** -rng.randrange(6, 9)} if kind == "adaptive" else {"steps": steps})
    if kind == "tuple":
        inner = field

        class Pair(nn.Module):
            def __init__(self):
                super().__init__()
                self.inner = inner

            def forward(self, t, y):
                return self.inner(t, torch.cat(y, dim=1)).split(32, dim=1)

        field, y0 = Pair(), tuple(part.detach().clone().requires_grad_() for part in y0.split(32, dim=1))
    return field, y0, arguments


@pytest.mark.parametrize("method", ["revolve", "anode"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_peak_stays_below_the_budget(kind, method):
    """Two random numbers of steps and budgets for each kind: ten for each method."""
    rng = random.Random(kind)
    for _ in range(2):
        field, y0, arguments = _case(kind, rng)
        with pytest.raises(IncompatibleError, match=r"budget is 1 bytes, but one step .* takes (\d+)") as caught:
            odebench.solve(field, y0, (0.0, 1.0), gradient={"name": method, "memory": 1}, **arguments)
        floor = int(str(caught.value).split("takes ")[1].split(".")[0])
        state = 16 * 64 * 8 * (2 if kind == "state" else 1)
        slots = rng.randrange(1, 9)
        for budget in (floor, floor + slots * state - 1):
            peak, solution = peak_beyond({"name": method, "memory": budget}, field, y0, **arguments)
            assert peak <= budget
            assert budget - peak < floor // 2 + state, "and is used"
        if kind == "rk4" and method == "revolve":
            taken = solution.stats.evaluations_forward + solution.stats.evaluations_backward
            assert taken == 4 * (fewest(arguments["steps"], slots) + 1 + arguments["steps"])
        with pytest.raises(IncompatibleError, match="budget"):
            peak_beyond({"name": method, "memory": floor - 1}, field, y0, **arguments)


def test_slots_bound_the_states_that_are_kept():
    """One more slot is one more state, and no more."""
    y0 = torch.randn(16, 64, dtype=torch.float64).requires_grad_()
    peaks = [peak_beyond({"name": "revolve", "slots": c}, Wide(), y0, solver="rk4", steps=20)[0] for c in (2, 3, 5, 9)]
    assert [after - peaks[0] for after in peaks] == [n * 16 * 64 * 8 for n in (0, 1, 3, 7)]
    spilled = {"name": "revolve", "slots": 2, "spill": "disk", "spill_slots": 10}
    peak, solution = peak_beyond(spilled, Wide(), y0, solver="rk4", steps=20)
    assert peak <= peaks[0] + 16 * 64 * 8, "what is read from disk is at hand"
    assert solution.stats.evaluations_forward + solution.stats.evaluations_backward == 4 * (fewest(20, 12) + 21)


def test_states_on_disk_go_with_the_solve(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    method = {"name": "revolve", "slots": 2, "spill": "disk", "spill_slots": 4}
    field, y0 = Network(), start()
    solution = odebench.solve(field, y0, (0.0, 1.0), gradient=method, solver="euler", steps=30)
    (folder,) = tmp_path.iterdir()
    assert 0 < len(os.listdir(folder)) <= 4
    solution.ys.sum().backward()
    gc.collect()
    assert not list(tmp_path.iterdir())
    abandoned = odebench.solve(field, y0, (0.0, 1.0), gradient=method, solver="euler", steps=30)
    del abandoned
    gc.collect()
    assert not list(tmp_path.iterdir())


def test_an_anode_block_keeps_its_input_alone():
    y0 = torch.randn(16, 64, dtype=torch.float64).requires_grad_()
    for method in ("anode", {"name": "anode", "slots": 4}):
        field = Wide()
        with StorageTracker([y0, *field.parameters()]) as tracker:
            solution = odebench.solve(field, y0, (0.0, 1.0), gradient=method, solver="rk4", steps=40)
            kept = tracker.live_bytes - sum(
                x.numel() * x.element_size() for x in (solution.ys, solution.grid.t, solution.grid.dt)
            )
        assert kept == 0


def test_what_cannot_be_is_refused():
    for parameters, message in (
        ({"slots": 0}, "at least 1"),
        ({"slots": 3, "memory": "1MiB"}, "both given"),
        ({"memory": "much"}, r"'64MiB'"),
        ({"memory": 0}, r"'64MiB'"),
        ({"spill": "disk"}, "Give both"),
        ({"spill_slots": 3}, "Give both"),
        ({"spill": "cloud", "spill_slots": 3}, "'host' or 'disk'"),
    ):
        with pytest.raises(IncompatibleError, match=message):
            build("gradient", {"name": "revolve"} | parameters)
    spill = {"name": "revolve", "slots": 1, "spill": "host", "spill_slots": 2}
    with pytest.raises(IncompatibleError, match="lie in the host's memory"):
        odebench.solve(Network(), start(), (0.0, 1.0), gradient=spill, steps=10)
    solver = type(
        "Opaque", (odebench.OpaqueSolver,), {"name": "opaque", "order": 1, "solve": lambda self, *a, **k: None}
    )()
    for way in WAYS:
        with pytest.raises(IncompatibleError, match="does not show its steps"):
            odebench.solve(Network(), start(), (0.0, 1.0), gradient=way, solver=solver, steps=10)


def test_measuring_a_field_leaves_no_trace_and_is_done_once():
    torch.manual_seed(5)
    layers = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 3)).double()

    class Field(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = layers

        def forward(self, t, y):
            return self.layers(y)

    field, y0 = Field(), start()
    evaluations, states = [], []
    for _ in range(2):
        torch.manual_seed(3)
        count = layers[1].num_batches_tracked.item()
        solution = odebench.solve(
            field, y0, (0.0, 1.0), gradient={"name": "revolve", "memory": "1MiB"}, solver="euler", steps=6
        )
        assert layers[1].num_batches_tracked.item() - count == 6
        evaluations.append(solution.stats.evaluations_forward)
        states.append(torch.get_rng_state())
    assert evaluations[1] == 6 < evaluations[0]
    assert torch.equal(*states)


@pytest.mark.gpu
@pytest.mark.parametrize("method", ["revolve", "anode"])
def test_a_callable_without_modules_is_measured_once(method):
    """As the measured process has it: an object that can be called, and tells its parameters alone."""
    network = Network()

    class Field:
        def __call__(self, t, y):
            return network(t, y)

        def parameters(self):
            return network.parameters()

    field = Field()
    counts = [
        odebench.solve(
            field, start(), (0.0, 1.0), gradient={"name": method, "memory": "1MiB"}, solver="euler", steps=6
        ).stats.evaluations_forward
        for _ in range(3)
    ]
    assert counts[0] > counts[1] == counts[2] == 6


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_states_of_an_accelerator_go_to_host_memory():
    """The peak on the device is that of fewer slots, and the gradient the same."""
    peaks, found = [], []
    for method in (
        {"name": "revolve", "slots": 12},
        {"name": "revolve", "slots": 2, "spill": "host", "spill_slots": 10},
    ):
        field, y0 = Wide().cuda(), torch.ones(2048, 64, dtype=torch.float64, device="cuda", requires_grad=True)
        differentiated(method, field, y0, solver="rk4", steps=40)
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        found.append(differentiated(method, field, y0, solver="rk4", steps=40)[0])
        peaks.append(torch.cuda.max_memory_allocated() - before)
    assert all(map(torch.equal, *found))
    assert peaks[0] - peaks[1] >= 8 * 2048 * 64 * 8
