"""A network of blocks as a task: its gradient is that of the composition of the solves."""

from __future__ import annotations

import pytest
import torch

import odebench
from odebench.api import build
from odebench.errors import IncompatibleError
from odebench.tasks.network_gradient import NetworkGradient


@pytest.mark.parametrize("model", ["mlp-field", "cnf"])
@pytest.mark.parametrize("gradient", ["direct", "anode", {"name": "anode", "slots": 2}, "revolve"])
def test_the_gradient_of_the_blocks_one_after_the_other(gradient, model):
    problem = build("model", model).problem(0)
    parameters = [p for p in problem.field.parameters() if p.requires_grad]
    solver = build("solver", "heun")
    setting = odebench.Setting(
        problem=problem, solver=solver, gradient=build("gradient", gradient), grid=odebench.StepSize(steps=3)
    )
    answer = NetworkGradient(blocks=3).forward(setting, problem.y0)
    answer.backward()
    assert answer.accepted == 9 and answer.rejected == 0

    leaves = problem.y0 if isinstance(problem.y0, tuple) else (problem.y0,)
    y0 = tuple(leaf.clone().requires_grad_() for leaf in leaves)
    state, ts = y0 if isinstance(problem.y0, tuple) else y0[0], problem.gradient_ts
    for _ in range(3):
        solution = solver.solve(problem.field, state, ts, odebench.StepSize(steps=3))
        state = solution.y1
    loss = problem.loss(solution.ys)
    expected = torch.autograd.grad(loss, (*y0, *parameters))
    got = [answer.states[name] for name in sorted(answer.states) if name.startswith(("grad_y0", "grad_params"))]
    got = [*got[len(parameters) :], *got[: len(parameters)]]
    assert answer.states["loss"].item() == pytest.approx(loss.item(), rel=1e-14)
    for g, e in zip(got, expected, strict=True):
        torch.testing.assert_close(g, e, rtol=1e-11, atol=1e-13)


def test_a_network_has_blocks():
    with pytest.raises(IncompatibleError, match="at least 1"):
        NetworkGradient(blocks=0)
