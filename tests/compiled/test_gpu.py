"""On a CUDA device: what the CPU gives in double precision, without waiting for the device, in the memory that is promised."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import odebench
from odebench.compiled import program
from odebench.compiled.fused import programs
from tests.compiled.conftest import Turning
from tests.compiled.test_parity import FIVE, TWO, Pair, distance

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]

GRIDS = [
    pytest.param(TWO, {"solver": "rk4", "steps": 7}, id="rk4"),
    pytest.param(FIVE, {"solver": "tsit5", "steps": 6}, id="tsit5 with output times inside"),
    pytest.param(FIVE, {"solver": "rk4", "steps": 6}, id="the cubic between steps"),
    pytest.param((2.0, 0.5), {"solver": "dopri5", "step_size": 0.4, "gradient": "sqrt-checkpoint"}, id="two levels"),
]
ADAPTIVE = [
    pytest.param(FIVE, {"solver": "dopri5", "rtol": 1e-6}, id="joint"),
    pytest.param(FIVE, {"solver": "tsit5", "rtol": 1e-6, "batch": "per-sample"}, id="per sample"),
]


@pytest.fixture
def start() -> Tensor:
    return torch.randn(200, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(5))


@pytest.fixture
def kernels(monkeypatch) -> list[str]:
    """The programs that were made, by the names of their classes."""
    made, make = [], programs.fused

    def recording(function: Any, arguments: Any) -> Any:
        made.append(make(function, arguments))
        return made[-1]

    monkeypatch.setattr("odebench.compiled.fused.programs.fused", recording)
    return made


@contextlib.contextmanager
def no_waiting() -> Iterator[None]:
    """Whoever waits for the device raises."""
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def differentiated(field: nn.Module, y0: Any, ts: tuple[float, ...], **how: Any) -> tuple[int, list[Tensor]]:
    """The number of steps, and states and gradients of a loss in which every output time counts differently, on the CPU."""
    leaves = [part.clone().requires_grad_() for part in (y0 if isinstance(y0, tuple) else (y0,))]
    solution = odebench.solve(field, tuple(leaves) if isinstance(y0, tuple) else leaves[0], ts, **how)
    ys = solution.ys if isinstance(solution.ys, tuple) else (solution.ys,)
    assert all(y.device == leaves[0].device for y in ys)
    loss = sum((1 + n / 4) * y[n].square()[..., :1].sum() for y in ys for n in range(len(ts)))
    found = torch.autograd.grad(loss, [*leaves, *field.parameters()])
    assert solution.stats.compiled == bool(how.get("compile"))
    return solution.grid.steps, [part.detach().cpu() for part in (*ys, *found)]


def assert_as_on_cpu(field: nn.Module, start: Any, ts: tuple[float, ...], bound: float = 1e-12, **how: Any) -> None:
    """The solution and its gradients on the device are those of eager solves on the CPU."""
    steps, expected = differentiated(
        field, start, ts, **{name: value for name, value in how.items() if name != "compile"}
    )
    there = tuple(part.cuda() for part in start) if isinstance(start, tuple) else start.cuda()
    steps_there, found = differentiated(field.cuda(), there, ts, **how)
    assert steps_there == steps
    for one, other in zip(found, expected, strict=True):
        assert distance(one, other) < bound


@pytest.mark.parametrize(("ts", "how"), [*GRIDS, *ADAPTIVE])
def test_eager_solves_are_those_of_the_cpu(start, ts, how) -> None:
    assert_as_on_cpu(Turning(), start, ts, **how)


@pytest.mark.parametrize(("ts", "how"), GRIDS)
def test_triton_kernels_are_what_the_cpu_gives(start, kernels, ts, how) -> None:
    assert_as_on_cpu(Turning(), start, ts, compile=True, **how)
    assert {type(kernel).__name__ for kernel in kernels} == {"TritonReplay", "TritonReverse"}


def test_steps_of_its_own_for_each_row_are_a_kernel_too(start, kernels) -> None:
    own = odebench.solve(Turning(), start, FIVE, solver="dopri5", rtol=1e-4, batch="per-sample").grid
    assert_as_on_cpu(Turning(), start, FIVE, compile=True, solver="dopri5", grid=own)
    assert {type(kernel).__name__ for kernel in kernels} == {"TritonReplay", "TritonReverse"}


def test_a_tuple_is_a_state_of_a_kernel(kernels) -> None:
    random = torch.Generator().manual_seed(7)
    state = tuple(torch.randn(5, *shape, dtype=torch.float64, generator=random) for shape in ((3,), (2, 2)))
    assert_as_on_cpu(Pair(), state, TWO, compile=True, solver="rk4", steps=5)
    assert {type(kernel).__name__ for kernel in kernels} == {"TritonReplay", "TritonReverse"}


def test_single_precision_is_that_of_the_cpu_to_rounding(start) -> None:
    assert_as_on_cpu(Turning().float(), start.float(), TWO, bound=1e-5, compile=True, solver="rk4", steps=7)


@pytest.mark.parametrize("count", [1, 31, 33, 1 << 17, (1 << 17) + 5])
def test_batches_of_all_sizes_are_solved(count) -> None:
    start = torch.randn(count, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert_as_on_cpu(Turning(), start, TWO, compile=True, solver="rk4", steps=3)


@pytest.mark.slow
@pytest.mark.parametrize(("ts", "how"), [GRIDS[0], *ADAPTIVE])
def test_compiled_loops_are_what_the_cpu_gives(start, monkeypatch, ts, how) -> None:
    monkeypatch.setattr(program, "FUSED", False)
    assert_as_on_cpu(Turning(), start, ts, bound=1e-10, compile=True, **how)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(("ts", "how"), GRIDS)
def test_fixed_steps_and_their_gradient_never_wait_for_the_device(start, ts, how, compiled) -> None:
    field, y0 = Turning().cuda(), start.cuda().requires_grad_()

    def solve_and_differentiate() -> None:
        solution = odebench.solve(field, y0, ts, compile=compiled, **how)
        torch.autograd.grad(solution.ys.square().sum(), [y0, *field.parameters()])

    solve_and_differentiate()  # which makes the programs
    with no_waiting():
        solve_and_differentiate()
        with torch.no_grad():
            odebench.solve(
                field, start.cuda(non_blocking=True) if start.is_pinned() else y0, ts, compile=compiled, **how
            )


@pytest.mark.slow
def test_a_loop_of_fixed_steps_does_not_wait_either(start, monkeypatch) -> None:
    monkeypatch.setattr(program, "FUSED", False)
    field, y0 = Turning().cuda(), start.cuda()
    with torch.no_grad():
        solve = lambda: odebench.solve(field, y0, TWO, solver="rk4", steps=7, compile=True)  # noqa: E731
        solve()
        with no_waiting():
            solve()


def test_a_kernel_keeps_the_states_at_the_starts_of_steps_and_nothing_else() -> None:
    """The peak of a gradient grows by one state a step."""
    field, start = Turning().cuda(), torch.randn(1 << 16, 2, dtype=torch.float64).cuda().requires_grad_()
    size = start.numel() * start.element_size()

    def peak(steps: int) -> int:
        def solve_and_differentiate() -> None:
            end = odebench.solve(field, start, TWO, solver="rk4", steps=steps, compile=True).y1
            torch.autograd.grad(end.sum(), [start, *field.parameters()])

        solve_and_differentiate()
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        solve_and_differentiate()
        return torch.cuda.max_memory_allocated() - before

    few, many = peak(8), peak(40)
    assert many - few == pytest.approx(32 * size, rel=0.05)
    assert few < (8 + 8) * size
