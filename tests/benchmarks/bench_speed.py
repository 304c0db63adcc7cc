"""The aims of speed, as ratios to the work that cannot be avoided, each over interleaved rounds.

    pytest tests/benchmarks/bench_speed.py -s -o python_functions=bench_ --benchmark-columns=median,iqr,rounds

prints pytest-benchmark's table of absolute times, and for each aim the ratio with its 95 % interval. Times depend on the
machine: an aim is judged over several runs, never in continuous integration.
"""

from __future__ import annotations

import pytest
import torch
import torchdiffeq
from torch import Tensor, nn

import odebench
from tests.benchmarks.interleaved import Interleaved, Ratio

STEPS = 100


class LotkaVolterra(nn.Module):
    """Prey and predators: a field so cheap that overhead shows."""

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        prey, predator = y.unbind(-1)
        meet = prey * predator
        return torch.stack((1.5 * prey - meet, meet - 3.0 * predator), -1)


class VanDerPol(nn.Module):
    """mu = 2."""

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        x, v = y.unbind(-1)
        return torch.stack((v, 2.0 * (1.0 - x * x) * v - x), -1)


class Mlp(nn.Module):
    """2-64-64-2, tanh."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 2))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return self.layers(y)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def evaluations(field: nn.Module, y: Tensor, count: int):
    """`count` bare evaluations without a graph."""
    t = torch.zeros(())

    def call() -> None:
        with torch.no_grad():
            for _ in range(count):
                field(t, y)

    return call


def evaluations_with_vjp(field: nn.Module, y: Tensor, count: int):
    """`count` evaluations, each with its vector-Jacobian product: what a gradient cannot do without."""
    t, parameters = torch.zeros(()), list(field.parameters())

    def call() -> None:
        for _ in range(count):
            x = y.detach().requires_grad_()
            k = field(t, x)
            torch.autograd.grad(k, [x, *parameters], k.detach())

    return call


def forward(field: nn.Module, y: Tensor, **how: object):
    """A solve without a graph."""

    def call() -> odebench.Solution:
        with torch.no_grad():
            return odebench.solve(field, y, how["ts"], **{k: v for k, v in how.items() if k != "ts"})

    return call


def inlined(field: nn.Module, y: Tensor):
    """The same 100 steps of rk4 written out by hand, with one time for all stages: what tensor operations alone cost."""
    t, dt, add = torch.zeros(()), 1.0 / STEPS, torch.add

    def call() -> None:
        with torch.no_grad():
            x = y
            for _ in range(STEPS):
                k1 = field(t, x)
                k2 = field(t, add(x, k1, alpha=dt / 2))
                k3 = field(t, add(x, k2, alpha=dt / 2))
                k4 = field(t, add(x, k3, alpha=dt))
                x = add(x, k1, alpha=dt / 6).add_(k2, alpha=dt / 3).add_(k3, alpha=dt / 3).add_(k4, alpha=dt / 6)

    return call


def gradient(field: nn.Module, y: Tensor, method: str):
    """A solve of 100 steps of rk4 with its gradient."""
    parameters = list(field.parameters())

    def call() -> None:
        x = y.detach().requires_grad_()
        ys = odebench.solve(field, x, [0.0, 1.0], solver="rk4", gradient=method, steps=STEPS).ys
        torch.autograd.grad(ys, [x, *parameters], torch.ones_like(ys))

    return call


def report(benchmark, call, what: str, ratio: Ratio, aim: str) -> None:
    """Let pytest-benchmark time the call too, and print the ratio."""
    benchmark.extra_info["ratio"], benchmark.extra_info["aim"] = str(ratio), aim
    benchmark.pedantic(call, rounds=5, warmup_rounds=1)
    print(f"\n{what}: {ratio} (aim: {aim})")


@pytest.mark.parametrize(("field", "aim"), [(LotkaVolterra, "at most 1.25"), (Mlp, "-")])
def bench_rk4_forward(benchmark, field, aim) -> None:
    """Time of eager rk4 over evaluations × bare field."""
    model, y = field(), torch.rand(256, 2) + 0.5
    ours = forward(model, y, ts=[0.0, 1.0], solver="rk4", steps=STEPS)
    calls = {"limit": evaluations(model, y, 4 * STEPS), "inlined": inlined(model, y), "ours": ours}
    timed = Interleaved(calls, rounds=41)
    print(f"\nrk4 written out by hand, {field.__name__}: {timed.of(lambda t: t['inlined'] / t['limit'])}")
    report(benchmark, ours, f"rk4 forward, {field.__name__}", timed.of(lambda t: t["ours"] / t["limit"]), aim)


def bench_dopri5_overhead(benchmark) -> None:
    """Time beyond the field for each attempted step of dopri5, ours and torchdiffeq's in the same rounds."""
    model, y, span = VanDerPol(), torch.rand(256, 2) + 1.0, [0.0, 7.63]
    ours = forward(model, y, ts=span, solver="dopri5", rtol=1e-6, atol=1e-6)
    stats = ours().stats
    steps, evaluated = stats.accepted + stats.rejected, stats.evaluations_forward
    counted = [0]

    def counting(t: Tensor, x: Tensor) -> Tensor:
        counted[0] += 1
        return model(t, x)

    def theirs() -> None:
        with torch.no_grad():
            torchdiffeq.odeint(model, y, torch.tensor(span), rtol=1e-6, atol=1e-6)

    torchdiffeq.odeint(counting, y, torch.tensor(span), rtol=1e-6, atol=1e-6)
    their_steps = (counted[0] - 2) / 6
    timed = Interleaved({"field": evaluations(model, y, 500), "ours": ours, "theirs": theirs}, rounds=25)
    beyond = timed.of(lambda t: 1e6 * (t["ours"] - evaluated * t["field"] / 500) / steps)
    other = timed.of(lambda t: 1e6 * (t["theirs"] - counted[0] * t["field"] / 500) / their_steps)
    print(f"\ntorchdiffeq, µs a step beyond the field: {other}; {their_steps:.0f} steps, ours {steps}")
    report(benchmark, ours, "dopri5, µs a step beyond the field", beyond, "at most 100")


@pytest.mark.parametrize(
    ("method", "aim"),
    [("direct", "at most 1.05"), ("step-checkpoint", "at most 1.45"), ("anode", "-"), ("continuous-adjoint", "-")],
)
def bench_rk4_gradient(benchmark, method, aim) -> None:
    """Time of a gradient over evaluations × (field + vector-Jacobian product)."""
    model, y = Mlp(), torch.rand(256, 2) + 0.5
    ours = gradient(model, y, method)
    timed = Interleaved({"limit": evaluations_with_vjp(model, y, 4 * STEPS), "ours": ours}, rounds=15)
    report(benchmark, ours, f"rk4 gradient by {method}, Mlp", timed.of(lambda t: t["ours"] / t["limit"]), aim)
