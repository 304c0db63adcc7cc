"""What is compiled, how often, what is refused, and what is said then."""

from __future__ import annotations

import concurrent.futures
import gc
import types
import warnings
import weakref
from collections import OrderedDict

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.utils import counters

import odebench
from odebench.errors import CompileError, DivergedError, FieldError, GridError
from tests.compiled.conftest import Turning

TWO = (0.0, 1.0)
pytestmark = pytest.mark.usefixtures("graphs_only")


def graphs_made(call) -> int:
    """How many graphs TorchDynamo makes while `call` runs."""
    before = counters["stats"]["unique_graphs"]
    call()
    return counters["stats"]["unique_graphs"] - before


def test_one_solve_is_the_field_and_one_graph_without_a_break(y0) -> None:
    class Fresh(Turning):
        """Of which there is no graph yet."""

    field = Fresh()
    counters.clear()

    def call() -> None:
        with torch.no_grad():
            odebench.solve(field, y0, TWO, rtol=1e-6, compile=True)

    assert graphs_made(call) == 2
    assert not counters["graph_break"]
    assert graphs_made(call) == 0


def test_what_is_kept_from_inference_serves_a_gradient_too(field, y0) -> None:
    for steps in (7, None):
        how = {"steps": steps, "solver": "heun"} if steps else {"rtol": 1e-3, "solver": "bosh3"}
        with torch.inference_mode():
            first = odebench.solve(field, y0, TWO, compile=True, **how).y1
        x = y0.clone().requires_grad_()
        second = odebench.solve(field, x, TWO, compile=True, **how).y1
        (gradient,) = torch.autograd.grad(second.sum(), x)
        assert torch.equal(first, second.detach()) and bool(gradient.isfinite().all())


def test_a_module_whose_field_closes_over_it_is_not_kept(y0, monkeypatch) -> None:
    monkeypatch.setattr("odebench.compiled.field_graph.MOST_FIELDS", 1)
    monkeypatch.setattr("odebench.compiled.field_graph._captures", OrderedDict())
    alive = weakref.WeakSet()

    def solve(field: nn.Module) -> None:
        field.flow = types.MethodType(lambda self, t, y: -y * field.speed, field)
        alive.add(field)
        with torch.no_grad():
            odebench.solve(field.flow, y0, TWO, solver="euler", steps=2, compile=True)

    for _ in range(4):
        solve(Turning())
        torch._dynamo.reset()
    gc.collect()
    assert len(alive) <= 1


def test_what_two_threads_solve_is_told_apart(field, y0) -> None:
    def solve(_: int) -> str:
        with torch.no_grad():
            return odebench.solve(field, y0, TWO, solver="euler", steps=2, compile=True).stats.compiled_as

    solve(0)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert set(pool.map(solve, range(200))) == {"loop"}


def test_want_of_memory_does_not_change_what_is_compiled(y0, monkeypatch) -> None:
    def no_memory(function, options):
        def run(*arguments):
            raise torch.OutOfMemoryError("none left")

        return run

    field = lambda t, y: y.roll(1, 0) - y  # noqa: E731
    with torch.no_grad(), monkeypatch.context() as patch:
        patch.setattr("odebench.compiled.program._compiled", no_memory)
        with pytest.raises(torch.OutOfMemoryError):
            odebench.solve(field, y0, TWO, solver="euler", steps=2, compile=True)
    with torch.no_grad():
        assert odebench.solve(field, y0, TWO, solver="euler", steps=2, compile=True).stats.compiled_as == "loop"


def test_batches_of_all_sizes_tolerances_spans_and_weights_share_one_compilation(field) -> None:
    def solve(batch: int, rtol: float, end: float) -> None:
        with torch.no_grad():
            y0 = torch.ones(batch, 2, dtype=torch.float64)
            solution = odebench.solve(field, y0, (0.0, end), rtol=rtol, compile=True)
        expected = field.solution(end, y0)
        assert float((solution.y1 - expected).norm() / expected.norm()) < 100 * rtol

    solve(4, 1e-6, 1.0)

    def others() -> None:
        for batch, rtol, end in ((2, 1e-6, 1.0), (5, 1e-3, 2.0), (64, 1e-8, -1.5)):
            solve(batch, rtol, end)
        with torch.no_grad():
            field.speed.fill_(3.0)
        solve(7, 1e-6, 1.0)

    assert graphs_made(others) == 0


def test_the_number_of_steps_is_free(field, y0) -> None:
    solve = lambda steps: odebench.solve(field, y0, TWO, solver="rk4", steps=steps, compile=True)  # noqa: E731
    solve(5)
    assert graphs_made(lambda: [solve(steps) for steps in (2, 9, 40)]) == 0


def test_another_module_of_the_same_structure_shares_the_compilation(y0) -> None:
    solve = lambda field: odebench.solve(field, y0, TWO, solver="rk4", steps=5, compile=True).y1  # noqa: E731
    solve(Turning(2.0))
    other = Turning(1.0)
    found = []
    assert graphs_made(lambda: found.append(solve(other))) == 0
    assert torch.allclose(found[0], other.solution(1.0, y0), rtol=1e-3)


def test_a_number_that_the_field_holds_is_seen_when_it_changes(field, y0) -> None:
    solve = lambda: odebench.solve(field, y0, TWO, solver="rk4", steps=20, compile=True).y1  # noqa: E731
    first = solve()
    field.wobble = -0.5
    second = solve()
    assert torch.allclose(second, field.solution(1.0, y0), rtol=1e-4)
    assert not torch.allclose(first, second, rtol=1e-2)


def test_a_field_that_changes_with_every_solve_is_given_up_in_the_end(field, y0, monkeypatch) -> None:
    monkeypatch.setattr("odebench.compiled.field_graph.MOST_GRAPHS", 2)

    class Own(Turning):
        pass

    own = Own()
    with pytest.raises(CompileError, match="more than 2 graphs"):
        for number in range(4):
            own.wobble = float(number)
            odebench.solve(own, y0, TWO, solver="euler", steps=2, compile=True)


def branches_on_data(t: Tensor, y: Tensor) -> Tensor:
    if y.sum() > 0:
        return -y
    return y


def test_a_field_that_branches_on_data_is_refused_with_its_line(y0) -> None:
    with pytest.raises(CompileError, match=r"test_engine.py, line \d+, in branches_on_data: if y.sum\(\) > 0"):
        odebench.solve(branches_on_data, y0, TWO, rtol=1e-3, compile=True)


def test_a_field_that_makes_numbers_of_its_data_is_refused_with_its_line(y0) -> None:
    def scaled(t: Tensor, y: Tensor) -> Tensor:
        return -y * float(y.sum())

    with pytest.raises(CompileError, match=r"number of a tensor.*in scaled: return -y \* float\(y.sum\(\)\)"):
        odebench.solve(scaled, y0, TWO, rtol=1e-3, compile=True)


def test_a_field_that_writes_into_its_state_is_refused_in_words(y0) -> None:
    with pytest.raises(CompileError, match="writes into the state that it is given"):
        odebench.solve(lambda t, y: y.mul_(-1.0), y0, TWO, solver="euler", steps=2, compile=True)


def test_auto_solves_such_a_field_and_says_why_not_compiled(y0) -> None:
    with pytest.warns(UserWarning, match="Solved without compile: The field is not one graph"):
        solution = odebench.solve(branches_on_data, y0, TWO, rtol=1e-3, compile="auto")
    assert not solution.stats.compiled
    assert "branches_on_data" in solution.stats.compile_fallback_reason
    expected = odebench.solve(branches_on_data, y0, TWO, rtol=1e-3)
    assert torch.equal(solution.y1, expected.y1)


def test_auto_compiles_what_can_be(field, y0) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        solution = odebench.solve(field, y0, TWO, rtol=1e-3, compile="auto")
    assert solution.stats.compiled
    assert solution.stats.compile_fallback_reason is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param(lambda field: nn.Sequential(field, nn.Dropout(0.5)), "draws random numbers", id="dropout"),
        pytest.param(lambda field: nn.Sequential(field, nn.BatchNorm1d(2).double()), "writes into", id="batch norm"),
    ],
)
def test_a_field_with_effects_is_refused(y0, change, reason) -> None:
    net = change(nn.Linear(2, 2).double())
    with pytest.raises(CompileError, match=reason):
        odebench.solve(lambda t, y: net(y), y0, TWO, rtol=1e-3, compile=True)


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ({"solver": "kvaerno3"}, "no explicit Runge-Kutta"),
        ({"gradient": "continuous-adjoint"}, "'continuous-adjoint' has no compiled form"),
    ],
)
def test_methods_without_a_compiled_form_are_refused_by_name(field, y0, how, reason) -> None:
    with pytest.raises(CompileError, match=reason):
        odebench.solve(field, y0, TWO, rtol=1e-3, compile=True, **how)


@pytest.mark.parametrize("field", [lambda t, y: y[:, :1], lambda t, y: y.float(), lambda t, y: y.to(torch.complex128)])
def test_a_derivative_of_another_shape_or_wider_dtype_is_refused_as_in_eager(y0, field) -> None:
    outcomes = []
    for compiled in (False, True, True):
        try:
            odebench.solve(field, y0, TWO, solver="euler", steps=2, compile=compiled)
            outcomes.append("solved")
        except FieldError as error:
            outcomes.append(str(error))
    assert outcomes[0] == outcomes[1] == outcomes[2]


def test_a_complex_state_and_an_empty_one_are_refused(field) -> None:
    for y0, reason in ((torch.ones(2, 2, dtype=torch.complex64), "complex"), (torch.ones(0, 2), "no elements")):
        with pytest.raises(CompileError, match=reason):
            odebench.solve(field, y0, TWO, rtol=1e-3, compile=True)


def test_a_field_that_is_not_finite_ends_the_solve(y0) -> None:
    with pytest.raises(DivergedError, match="not finite"):
        odebench.solve(lambda t, y: torch.where(t < 0.5, -y, torch.nan), y0, TWO, rtol=1e-6, compile=True)


def test_too_many_steps_end_the_solve(field, y0) -> None:
    grid = odebench.Tolerance(rtol=1e-8, atol=1e-8, max_steps=5)
    with pytest.raises(DivergedError, match="5 steps were not enough"):
        odebench.solve(field, y0, TWO, grid=grid, compile=True)


def test_times_inside_steps_without_an_interpolant_are_refused_as_in_eager(field, y0) -> None:
    with pytest.raises(GridError, match="no interpolant"):
        odebench.solve(field, y0, (0.0, 0.37, 1.0), solver="dopri8", steps=5, compile=True)


def test_a_grid_is_repeated(field, y0) -> None:
    with torch.no_grad():
        eager = odebench.solve(field, y0, TWO, rtol=1e-6)
        again = odebench.solve(field, y0, TWO, grid=eager.grid, compile=True)
    assert torch.equal(again.grid.t, eager.grid.t)
    assert float((again.y1 - eager.y1).norm() / eager.y1.norm()) < 1e-12


def test_a_batch_of_one_is_solved(field) -> None:
    y0 = torch.ones(1, 2, dtype=torch.float64)
    y1 = odebench.solve(field, y0, TWO, rtol=1e-6, compile=True).y1
    assert torch.allclose(y1, field.solution(1.0, y0), rtol=1e-5)
