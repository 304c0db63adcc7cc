"""Compiled solves give what eager ones give: states, steps, counts and gradients, in float64 to rounding."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import odebench
from odebench.compiled import program
from tests.compiled.conftest import Turning

TWO, FIVE = (0.0, 2.0), (0.0, 0.3, 0.9, 1.7, 2.0)
ROUNDING = 1e-12


def gradients(field: nn.Module, y0: Any, ts: tuple[float, ...], **how: Any) -> tuple[odebench.Solution, list[Tensor]]:
    """A solution, and the gradients of a loss in which every output time counts differently."""
    leaves = y0 if isinstance(y0, tuple) else (y0,)
    starts = [leaf.clone().requires_grad_() for leaf in leaves]
    solution = odebench.solve(field, tuple(starts) if isinstance(y0, tuple) else starts[0], ts, **how)
    ys = solution.ys if isinstance(solution.ys, tuple) else (solution.ys,)
    weights = torch.linspace(1.0, 2.0, len(ts), dtype=torch.float64)
    loss = sum((y.square() * weights.reshape(-1, *(1,) * (y.dim() - 1)))[..., :1].sum() for y in ys)
    return solution, list(torch.autograd.grad(loss, [*starts, *field.parameters()]))


def distance(one: Tensor, other: Tensor) -> float:
    return float((one - other).detach().norm() / other.detach().norm())


def assert_same(field: nn.Module, y0: Any, ts: tuple[float, ...], **how: Any) -> odebench.Solution:
    compiled, found = gradients(field, y0, ts, compile=True, **how)
    eager, expected = gradients(field, y0, ts, **how)
    assert compiled.stats.compiled and not eager.stats.compiled
    assert compiled.grid.steps == eager.grid.steps
    with torch.no_grad():  # with a graph, eager solves by row find their steps first, and take them again
        plain = odebench.solve(field, y0, ts, **how)
    assert compiled.stats.evaluations_forward == plain.stats.evaluations_forward
    assert compiled.stats.rejected == eager.stats.rejected
    assert torch.allclose(compiled.grid.t, eager.grid.t, rtol=1e-7, atol=1e-9)
    pairs = zip(*(s.ys if isinstance(s.ys, tuple) else (s.ys,) for s in (compiled, eager)), strict=True)
    for one, other in pairs:
        assert distance(one, other) < ROUNDING
    for one, other in zip(found, expected, strict=True):
        assert distance(one, other) < ROUNDING
    return compiled


@pytest.mark.usefixtures("graphs_only")
@pytest.mark.parametrize(
    ("ts", "how"),
    [
        pytest.param(TWO, {"solver": "rk4", "steps": 7, "gradient": "sqrt-checkpoint"}, id="rk4 in two levels"),
        pytest.param((2.0, 0.5), {"solver": "rk4", "step_size": 0.4}, id="backwards, with a shorter last step"),
        pytest.param(FIVE, {"solver": "tsit5", "steps": 6}, id="tsit5 on a grid, with output times inside"),
        pytest.param(FIVE, {"solver": "rk4", "steps": 6}, id="rk4 with the cubic between its steps"),
        pytest.param(FIVE, {"solver": "tsit5", "rtol": 1e-6}, id="tsit5, with output times inside"),
        pytest.param(FIVE, {"solver": "tsit5", "rtol": 1e-8, "gradient": "sqrt-checkpoint"}, id="tsit5 in two levels"),
        pytest.param(FIVE, {"solver": "dopri5", "rtol": 1e-6, "batch": "per-sample"}, id="per sample"),
    ],
)
def test_states_steps_counts_and_gradients_are_those_of_eager(field, y0, ts, how) -> None:
    assert_same(field, y0, ts, **how)


class Pair(nn.Module):
    """Two tensors of different shape that drive each other."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(2)
        self.weight = nn.Parameter(torch.randn(3, 4, dtype=torch.float64, generator=generator) / 2)

    def forward(self, t: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        y, z = state
        return torch.tanh(z.reshape(-1, 4) @ self.weight.T), (y @ self.weight).reshape(-1, 2, 2) * torch.cos(t)


@pytest.mark.usefixtures("graphs_only")
def test_a_tuple_is_a_state() -> None:
    generator = torch.Generator().manual_seed(7)
    state = (
        torch.randn(5, 3, dtype=torch.float64, generator=generator),
        torch.randn(5, 2, 2, dtype=torch.float64, generator=generator),
    )
    assert_same(Pair(), state, TWO, solver="bosh3", rtol=1e-4)


@pytest.mark.usefixtures("graphs_only")
def test_more_steps_than_find_room_at_first_go_on_in_a_second_run(field, y0, monkeypatch) -> None:
    monkeypatch.setattr("odebench.compiled.march.FIRST_ROOM", 8)
    # The programs are those of the same method above: only the room is another.
    solution = assert_same(field, y0, FIVE, solver="tsit5", rtol=1e-7)
    assert solution.grid.steps > 3 * 8


@pytest.mark.usefixtures("graphs_only")
def test_a_first_step_that_is_given_is_taken(field, y0) -> None:
    grid = odebench.Tolerance(rtol=1e-6, atol=1e-6, first_step=0.125)
    with torch.no_grad():
        compiled = odebench.solve(field, y0, TWO, solver="dopri5", grid=grid, compile=True)
        eager = odebench.solve(field, y0, TWO, solver="dopri5", grid=grid)
    assert float(compiled.grid.dt[0]) == 0.125
    assert distance(compiled.y1, eager.y1) < ROUNDING
    assert compiled.stats.evaluations_forward == eager.stats.evaluations_forward


@pytest.mark.usefixtures("graphs_only")
def test_without_an_interpolant_of_its_order_a_solver_steps_to_each_output_time(field, y0) -> None:
    with torch.no_grad():
        compiled = odebench.solve(field, y0, FIVE, solver="dopri8", rtol=1e-6, compile=True)
        eager = odebench.solve(field, y0, FIVE, solver="dopri8", rtol=1e-6)
    assert distance(compiled.ys, eager.ys) < ROUNDING
    assert compiled.grid.steps == eager.grid.steps
    assert compiled.stats.evaluations_forward == eager.stats.evaluations_forward


@pytest.mark.slow
def test_translated_to_c_the_solution_is_the_closed_form_and_gradients_are_those_of_eager(
    field, y0, monkeypatch
) -> None:
    monkeypatch.setattr(program, "FUSED", False)
    solution = assert_same(field, y0, FIVE, solver="dopri5", rtol=1e-8)
    for n, t in enumerate(FIVE):
        assert distance(solution.ys[n], field.solution(t, y0)) < 1e-6
    assert program.BACKEND == "inductor"
    assert solution.stats.compile_s > 0.0


@pytest.mark.usefixtures("graphs_only")
def test_a_gradient_reaches_what_the_field_closes_over_without_being_told() -> None:
    context = torch.tensor([[0.5, -0.3]], dtype=torch.float64, requires_grad=True)
    y0 = torch.ones(3, 2, dtype=torch.float64)
    found = {}
    for compiled in (True, False):
        shift = context * 2.0
        ys = odebench.solve(lambda t, y: shift - y, y0, TWO, solver="rk4", steps=5, compile=compiled).y1  # noqa: B023
        (found[compiled],) = torch.autograd.grad(ys.sum(), context)
    assert distance(found[True], found[False]) < ROUNDING


@pytest.mark.usefixtures("graphs_only")
def test_half_precision_keeps_its_dtype() -> None:
    y0 = torch.ones(4, 2, dtype=torch.bfloat16)
    weight = torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=torch.bfloat16)
    field = lambda t, y: y @ weight  # noqa: E731
    with torch.no_grad():
        compiled = odebench.solve(field, y0, TWO, solver="rk4", steps=8, compile=True).y1
        eager = odebench.solve(field, y0, TWO, solver="rk4", steps=8).y1
    assert compiled.dtype == torch.bfloat16
    assert torch.allclose(compiled.float(), eager.float(), atol=0.05)


@pytest.mark.usefixtures("graphs_only")
def test_a_block_solves_compiled() -> None:
    from odebench.nn import ODEBlock

    field, z = Turning(), torch.ones(3, 2, dtype=torch.float64)
    block = ODEBlock(field, solver="rk4", steps=4, compile=True)
    z1 = block(z)
    assert block.stats.compiled
    assert distance(z1, ODEBlock(field, solver="rk4", steps=4)(z)) < ROUNDING
