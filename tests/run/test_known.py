"""What the judge of one cell knows."""

from __future__ import annotations

import pytest
import torch

from odebench.contract import Grid, relative_l2
from odebench.errors import NotKnownError
from odebench.plan.cell import Cell, Choice
from odebench.plugins import build_registry
from odebench.run import known as module
from odebench.run.known import CellKnown, ProblemKnown
from odebench.run.reference_cache import ReferenceCache
from tests.models.every import BY_NAME


@pytest.fixture(scope="module")
def registry():
    return build_registry(prefixes=())


def cell(registry, dtype: str = "float64", model: str = "logistic", **parameters) -> Cell:
    def choice(kind: str, name: str, **given) -> Choice:
        return Choice(name=name, parameters=registry.get(kind, name).parameters() | given)

    return Cell(
        task=choice("task", "gradient"),
        model=choice("model", model, **parameters),
        solver=choice("solver", "rk4"),
        gradient=choice("gradient", "direct"),
        grid={"steps": 4},
        device="cpu",
        dtype=dtype,
        threads=1,
        seed=3,
    )


def four_steps(span: float) -> Grid:
    starts = torch.arange(4, dtype=torch.float64) * span / 4
    return Grid(t=starts, dt=torch.full_like(starts, span / 4), end=span)


def test_a_cell_knows_its_solution_and_both_gradients(registry, tmp_path):
    known = CellKnown(cell(registry, batch=2, span=2.0), registry, four_steps(2.0), cache=tmp_path)
    solution, gradient, discrete = known.solution(known.problem.ts), known.gradient(), known.discrete_gradient()
    assert solution.method == "closed form"
    assert solution.value.shape == (9, 2, 1)
    assert set(gradient.value) == set(discrete.value) == {"grad_y0", "grad_params"}
    assert 1e-7 < relative_l2(discrete.value["grad_y0"], gradient.value["grad_y0"]) < 1e-2


def test_the_problem_is_the_cells_and_stays_in_its_dtype(registry, tmp_path):
    known = CellKnown(cell(registry, "float32", batch=2), registry, None, cache=tmp_path)
    assert known.solution(known.problem.ts).value.dtype == torch.float64
    assert known.problem.y0.dtype == torch.float32
    assert torch.equal(known.problem.y0, BY_NAME["logistic"](batch=2).problem(3).y0.float())


def test_an_opaque_solvers_discrete_gradient_is_not_known(registry, tmp_path):
    known = CellKnown(cell(registry, batch=2), registry, None, cache=tmp_path)
    with pytest.raises(NotKnownError, match="'rk4' does not tell its steps"):
        known.discrete_gradient()


def make(folder, monkeypatch, **parameters):
    """What is known of one problem, and a list that grows with each computation."""
    calls: list[str] = []
    for name in ("reference_solution", "reference_gradient"):
        right = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *a, name=name, right=right: calls.append(name) or right(*a))
    model = BY_NAME["cnf"](batch=2, outputs=4, **parameters)
    return ProblemKnown(
        model=model, seed=0, dtype=torch.float32, parameters=parameters, version="1", cache=ReferenceCache(folder)
    ), calls


def test_nothing_is_computed_twice_and_nothing_unasked(tmp_path, monkeypatch):
    known, calls = make(tmp_path, monkeypatch)
    assert calls == []
    for _ in range(2):
        known.solution(known.problem.ts)
        known.gradient()
    assert calls == ["reference_solution", "reference_gradient"]
    again, calls = make(tmp_path, monkeypatch)
    again.solution(again.problem.ts)
    again.gradient()
    assert calls == []


def test_some_of_the_output_times_share_the_computation_of_all(tmp_path, monkeypatch):
    known, calls = make(tmp_path, monkeypatch)
    ts = known.problem.ts
    ends, whole = known.solution((ts[0], ts[-1])), known.solution(ts)
    assert calls == ["reference_solution"]
    assert all(torch.equal(end, leaf[[0, 4]]) for end, leaf in zip(ends.value, whole.value, strict=True))
    assert ends.uncertainty == whole.uncertainty


def test_other_times_are_computed_apart(tmp_path, monkeypatch):
    known, calls = make(tmp_path, monkeypatch)
    found = known.solution((0.0, 0.3))
    assert calls == ["reference_solution"]
    assert found.value[0].shape == (2, 2, 2)


def test_without_a_solver_there_is_no_discrete_solution(tmp_path, monkeypatch):
    known, _ = make(tmp_path, monkeypatch)
    with pytest.raises(NotKnownError, match="No solver was named"):
        known.discrete_gradient()
