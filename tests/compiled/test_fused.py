"""Fields that are element-wise over trajectories, as kernels: what eager solves give, to rounding."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch._inductor import config as inductor_config
from torch.nn import functional

import odebench
from odebench.compiled import program
from odebench.compiled.fused.expressions import NotByRowError
from odebench.compiled.fused.programs import FusedAdaptive, FusedReplay, FusedReverse, fused
from odebench.errors import DivergedError
from tests.compiled.conftest import Turning
from tests.compiled.test_parity import FIVE, TWO, assert_same, distance


@pytest.fixture
def kernels(monkeypatch) -> list[object]:
    """What becomes of programs while a test runs: kernels, or reasons why not."""
    made = []

    def recording(function, arguments):
        try:
            made.append(fused(function, arguments))
        except NotByRowError as reason:
            made.append(str(reason))
            raise
        return made[-1]

    monkeypatch.setattr("odebench.compiled.fused.programs.fused", recording)
    return made


def test_solves_and_their_gradients_are_kernels(y0, kernels) -> None:
    class Fresh(Turning):
        """Of which there is no program yet."""

    for how in ({"solver": "rk4", "steps": 3}, {"solver": "dopri5", "rtol": 1e-3}):
        odebench.solve(Fresh(), y0, TWO, compile=True, **how).y1.sum().backward()
    assert [type(kernel) for kernel in kernels] == [FusedReplay, FusedReverse, FusedAdaptive, FusedReverse]


@pytest.mark.parametrize(
    ("ts", "how"),
    [
        pytest.param(TWO, {"solver": "rk4", "steps": 7, "gradient": "sqrt-checkpoint"}, id="two levels"),
        pytest.param((2.0, 0.5), {"solver": "rk4", "step_size": 0.4}, id="backwards, a shorter last step"),
        pytest.param(FIVE, {"solver": "rk4", "steps": 6}, id="the cubic between steps"),
        pytest.param(FIVE, {"solver": "tsit5", "steps": 6}, id="tsit5 with output times inside"),
        pytest.param(FIVE, {"solver": "dopri5", "rtol": 1e-6}, id="adaptive, with output times inside"),
        pytest.param(FIVE, {"solver": "bosh3", "rtol": 1e-6, "batch": "per-sample"}, id="per sample"),
    ],
)  # fmt: skip
def test_states_steps_counts_and_gradients_are_those_of_eager(field, y0, ts, how) -> None:
    assert_same(field, y0, ts, **how)


def van_der_pol(t: Tensor, y: Tensor) -> Tensor:
    """mu = 8: its fast parts make steps fail."""
    x, v = y[:, 0], y[:, 1]
    return torch.stack((v, 8.0 * (1.0 - x * x) * v - x), 1)


@pytest.mark.parametrize("batch", ["joint", "per-sample"])
def test_steps_that_are_refused_leave_no_trace(y0, batch) -> None:
    how = {"solver": "dopri5", "rtol": 1e-5, "batch": batch}
    with torch.no_grad():
        compiled = odebench.solve(van_der_pol, y0, (0.0, 1.0, 9.0), compile=True, **how)
        eager = odebench.solve(van_der_pol, y0, (0.0, 1.0, 9.0), **how)
    assert eager.stats.rejected > 5
    assert compiled.stats.rejected == eager.stats.rejected
    assert compiled.grid.steps == eager.grid.steps
    # Steps differ by the rounding of their error estimates, and solutions by their errors.
    assert torch.allclose(compiled.grid.dt, eager.grid.dt, rtol=1e-4, atol=1e-8)
    assert distance(compiled.ys, eager.ys) < 1e-7


@pytest.mark.parametrize("batch", [1, 7, 64, 131])
def test_batches_of_all_sizes_are_those_of_eager(field, batch) -> None:
    y0 = torch.randn(batch, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(batch))
    assert_same(field, y0, TWO, solver="rk4", steps=7)
    assert_same(field, y0, FIVE, solver="dopri5", rtol=1e-6)


def test_on_a_fixed_grid_states_are_those_of_eager_bit_for_bit(y0) -> None:
    field = lambda t, y: torch.stack((y[:, 1], 2.0 * (1.0 - y[:, 0] * y[:, 0]) * y[:, 1] - y[:, 0]), 1)  # noqa: E731
    for dtype in (torch.float64, torch.float32):
        start = (0.5 * y0).to(dtype)
        solve = lambda compiled: odebench.solve(field, start, TWO, solver="rk4", steps=40, compile=compiled).y1  # noqa: E731, B023
        assert torch.equal(solve(True), solve(False))


class Three(nn.Module):
    """A tuple of two tensors, a small matrix, and a number that is not used."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.tensor([[0.0, -1.0], [1.0, -0.1]], dtype=torch.float64))
        self.unused = nn.Parameter(torch.ones((), dtype=torch.float64))

    def forward(self, t: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        y, z = state
        return y @ self.matrix.T * torch.exp(-z), torch.tanh(y.sum(1, keepdim=True)) * torch.cos(t)


def test_a_tuple_is_a_state_and_what_is_not_used_gets_no_gradient() -> None:
    field, generator = Three(), torch.Generator().manual_seed(7)
    state = tuple(torch.randn(5, n, dtype=torch.float64, generator=generator) for n in (2, 1))
    results = []
    for compiled in (True, False):
        starts = tuple(part.clone().requires_grad_() for part in state)
        y, z = odebench.solve(field, starts, TWO, solver="tsit5", rtol=1e-6, compile=compiled).y1
        loss = y.square().sum() + z.sum()
        results.append(torch.autograd.grad(loss, [*starts, *field.parameters()], allow_unused=True))
    assert results[0][3] is None and results[1][3] is None
    for one, other in zip(results[0][:3], results[1][:3], strict=True):
        assert distance(one, other) < 1e-12


class Network(nn.Module):
    """Layers that are too wide to be written out number by number."""

    def __init__(self, width: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(4)
        draw = lambda *shape: nn.Parameter(torch.randn(*shape, dtype=torch.float64, generator=generator) / 3)  # noqa: E731
        self.first, self.bias, self.middle, self.last = draw(3, width), draw(width), draw(width, width), draw(3, width)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        hidden = torch.tanh(torch.tanh(y @ self.first + self.bias * t) @ self.middle.T)
        return functional.linear(hidden, self.last)


@pytest.mark.parametrize(
    ("width", "batch", "ts", "how"),
    [
        pytest.param(11, 19, TWO, {"solver": "rk4", "steps": 5}, id="a block that is not full"),
        pytest.param(24, 1100, TWO, {"solver": "heun", "steps": 3}, id="more blocks than parts"),
        pytest.param(9, 5, FIVE, {"solver": "bosh3", "rtol": 1e-5}, id="with output times"),
        pytest.param(9, 5, FIVE, {"solver": "rk4", "steps": 6, "gradient": "sqrt-checkpoint"}, id="in two levels"),
    ],
)
def test_a_network_is_a_kernel_there_and_back(width, batch, ts, how, kernels) -> None:
    y0 = torch.randn(batch, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(width))
    solution = assert_same(Network(width), y0, ts, **how)
    assert solution.stats.compiled_as == "kernel"
    assert isinstance(kernels[-1], FusedReverse)


class Stacked(nn.Module):
    """Matrices that lie in one tensor, one of them used twice and transposed, and one that is frozen."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(8)
        draw = lambda *shape: torch.randn(*shape, dtype=torch.float64, generator=generator) / 4  # noqa: E731
        self.both = nn.Parameter(draw(2, 9, 9))
        self.frozen = nn.Parameter(draw(9, 10), requires_grad=False)
        self.last = nn.Parameter(draw(10, 9))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        hidden = torch.sin(y @ self.both[0]) @ self.both[1]
        hidden = torch.cos(hidden @ self.both[0].T + t) @ self.both[0]
        return torch.tanh(hidden @ self.frozen) @ self.last - y


def test_matrices_of_one_tensor_share_its_gradient_and_frozen_ones_get_none(kernels) -> None:
    field, gradients = Stacked(), []
    y0 = torch.randn(7, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    for compiled in (True, False):
        y = y0.clone().requires_grad_()
        y1 = odebench.solve(field, y, TWO, solver="midpoint", steps=4, compile=compiled).y1
        gradients.append(torch.autograd.grad(y1.square().sum(), [y, field.both, field.last]))
    assert isinstance(kernels[-1], FusedReverse)
    for one, other in zip(*gradients, strict=True):
        assert distance(one, other) < 1e-13


MATRICES = {
    "two shapes from one place, columns": lambda y, w: torch.tanh(y @ w[:, :9]) + (y @ w)[:, 9:],
    "two shapes from one place, rows": lambda y, w: torch.tanh(y @ w)[:, :9] + (y[:, :5] @ w[:5])[:, 9:],
    "flipped": lambda y, w: y @ w[:, :9].flip(0),
    "one row again and again": lambda y, w: torch.sin(y @ w[:1, :9].expand(9, 9)),
    "diagonals": lambda y, w: y @ torch.stack([w.reshape(-1)[9 - n : 18 - n] for n in range(9)]),
}


@pytest.mark.parametrize("name", MATRICES)
def test_matrices_may_lie_in_any_way_in_their_tensor(name, kernels) -> None:
    weight = torch.randn(9, 18, dtype=torch.float64, generator=torch.Generator().manual_seed(6)) / 3
    y0, found = torch.randn(7, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(2)), []
    rule = MATRICES[name]
    for compiled in (True, False):
        y, w = y0.clone().requires_grad_(), weight.clone().requires_grad_()
        solution = odebench.solve(lambda t, y, w=w: rule(y, w) - y, y, TWO, solver="heun", steps=3, compile=compiled)
        found.append((solution.y1.detach(), *torch.autograd.grad(solution.y1.square().sum(), [y, w])))
    assert isinstance(kernels[-1], FusedReverse)
    for one, other in zip(*found, strict=True):
        assert distance(one, other) < 1e-13


def test_a_field_whose_gradient_is_too_long_for_a_kernel_is_a_loop_there(kernels, monkeypatch) -> None:
    monkeypatch.setattr(program, "BACKEND", "aot_eager")
    monkeypatch.setattr(program, "OPTIONS", None)
    monkeypatch.setattr("odebench.compiled.fused.expressions.MOST", 75)
    y0 = torch.randn(6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    assert assert_same(Network(9), y0, TWO, solver="heun", steps=3).stats.compiled_as == "kernel and loop"
    assert kernels[-1] == "the field is too long"


def test_threads_change_nothing(field) -> None:
    y0 = torch.randn(1000, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found, threads = [], torch.get_num_threads()
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            x = y0.clone().requires_grad_()
            solution = odebench.solve(field, x, FIVE, solver="dopri5", rtol=1e-6, compile=True)
            gradients = torch.autograd.grad(solution.ys.square().sum(), [x, *field.parameters()])
            found.append((solution.ys.detach(), *gradients))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def test_states_that_are_not_contiguous_and_weights_that_change_are_taken(field, y0) -> None:
    solve = lambda y: odebench.solve(field, y, TWO, solver="rk4", steps=9, compile=True).y1.detach()  # noqa: E731
    assert torch.equal(solve(y0.T.contiguous().T), solve(y0))
    first = solve(y0)
    with torch.no_grad():
        field.speed.fill_(0.5)
    expected = odebench.solve(field, y0, TWO, solver="rk4", steps=9).y1.detach()
    assert distance(solve(y0), expected) < 1e-14
    assert distance(first, expected) > 0.1


def test_a_field_that_is_not_element_wise_over_trajectories_stays_a_loop(y0, kernels, monkeypatch) -> None:
    monkeypatch.setattr(program, "BACKEND", "aot_eager")
    monkeypatch.setattr(program, "OPTIONS", None)
    field = lambda t, y: y.mean(0) - y  # noqa: E731
    with torch.no_grad():
        compiled = odebench.solve(field, y0, TWO, solver="rk4", steps=5, compile=True)
        assert distance(compiled.y1, odebench.solve(field, y0, TWO, solver="rk4", steps=5).y1) < 1e-13
    assert kernels == ["trajectories are taken apart or together"]


def test_without_a_compiler_auto_solves_without_compile_and_says_why(y0) -> None:
    field = lambda t, y: -y * 1.28125  # noqa: E731
    without_compiler = inductor_config.patch({"cpp.cxx": (None, "/nonexistent/compiler")})
    with without_compiler, pytest.warns(UserWarning, match="Solved without compile: .*No working C\\+\\+ compiler"):
        solution = odebench.solve(field, y0, TWO, solver="rk4", steps=3, compile="auto")
    assert "No working C++ compiler" in solution.stats.compile_fallback_reason
    assert distance(solution.y1, odebench.solve(field, y0, TWO, solver="rk4", steps=3).y1) == 0.0


def test_divergence_and_too_many_steps_are_told(field, y0) -> None:
    with pytest.raises(DivergedError, match="not finite"):
        odebench.solve(lambda t, y: torch.where(t < 0.5, -y, torch.nan), y0, TWO, rtol=1e-6, compile=True)
    grid = odebench.Tolerance(rtol=1e-8, atol=1e-8, max_steps=5)
    with pytest.raises(DivergedError, match="5 steps were not enough"):
        odebench.solve(field, y0, TWO, grid=grid, compile=True)


def test_more_steps_than_find_room_go_on_in_a_second_run(field, y0, monkeypatch) -> None:
    monkeypatch.setattr("odebench.compiled.march.FIRST_ROOM", 8)
    solution = assert_same(field, y0, FIVE, solver="dopri5", rtol=1e-9)
    assert solution.grid.steps > 3 * 8


def test_the_seconds_of_a_build_are_counted_once(y0) -> None:
    field = Turning(speed=1.0)
    solve = lambda: odebench.solve(lambda t, y: field(t, y) * 1.0625, y0, TWO, solver="heun", steps=3, compile=True)  # noqa: E731
    assert solve().stats.compile_s > 0.0
