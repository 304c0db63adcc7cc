"""A network of blocks as a task: its gradient is that of the composition of the solves."""

from __future__ import annotations

import pytest
import torch

import odebench
from odebench.api import build
from odebench.contract import Unknown
from odebench.errors import IncompatibleError
from odebench.run.known import ProblemKnown
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


EXACT = ["direct", "anode", {"name": "anode", "slots": 2}, "revolve", "step-checkpoint"]
INEXACT = ["continuous-adjoint", "otd-stored"]


def known_and_answer(gradient, solver="heun", dtype=torch.float64, **parameters):
    model = build("model", {"name": "resnet10-ode", "width": 4, "batch": 3} | parameters)
    problem = model.problem(0).to(dtype, "cpu")
    setting = odebench.Setting(
        problem=problem,
        solver=build("solver", solver),
        gradient=build("gradient", gradient),
        grid=odebench.StepSize(steps=3),
    )
    answer = NetworkGradient().forward(setting, problem.y0)
    answer.backward()
    known = ProblemKnown(model=model, seed=0, dtype=dtype, solver=lambda: build("solver", solver), grid=answer.grid)
    return known, answer


@pytest.mark.parametrize("norm", ["group", "batch-shared"])
@pytest.mark.parametrize("gradient", [*EXACT, *INEXACT], ids=str)
def test_exact_methods_give_the_gradient_of_a_network_to_rounding(gradient, norm):
    known, answer = known_and_answer(gradient, norm=norm)
    states = {name: value.double() for name, value in answer.states.items()}
    judged = NetworkGradient().judge(states, known)
    assert judged["grad_rounding"] < 1e-12
    assert (judged["grad_error_discrete"] < 1e-12) == (gradient in EXACT)
    assert judged["grad_error_discrete"] < 1.0
    assert answer.accepted == 2 * 3


def test_the_gradient_that_the_judge_knows_is_that_of_finite_differences():
    known, _ = known_and_answer("direct", solver="midpoint", evolution="reaction-diffusion-advection", diffusion=0.2)
    reference = known.discrete_gradient()
    fresh = known._fresh_problem()
    parameters = [p for p in fresh.field.parameters() if p.requires_grad]
    assert reference.value["grad_params"].numel() == sum(p.numel() for p in parameters)

    def loss():
        def solve(field, z):
            for n in range(3):
                t = torch.tensor(n / 3, dtype=torch.float64)
                z = z + field(t + 1 / 6, z + field(t, z) / 6) / 3
            return z

        return fresh.loss(fresh.network(fresh.y0, solve).unsqueeze(0)).item()

    generator, step = torch.Generator().manual_seed(0), 1e-8  # few rectifiers have their kink that near
    for tensor, gradient in [(fresh.y0, reference.value["grad_y0"]), (None, reference.value["grad_params"])]:
        tensors = parameters if tensor is None else [tensor]
        directions = [torch.randn(x.shape, generator=generator, dtype=torch.float64) for x in tensors]
        slope = (torch.cat([d.reshape(-1) for d in directions]) @ gradient).item()
        values = []
        for sign in (1, -2):
            with torch.no_grad():
                for x, d in zip(tensors, directions, strict=True):
                    x.add_(d, alpha=sign * step)
            values.append(loss())
        with torch.no_grad():
            for x, d in zip(tensors, directions, strict=True):
                x.add_(d, alpha=step)
        assert (values[0] - values[1]) / (2 * step) == pytest.approx(slope, rel=1e-6)


def test_a_network_brings_its_own_blocks():
    problem = build("model", {"name": "resnet4-ode", "width": 4, "batch": 2}).problem(0)
    setting = odebench.Setting(
        problem=problem,
        solver=build("solver", "euler"),
        gradient=build("gradient", "direct"),
        grid=odebench.StepSize(steps=1),
    )
    with pytest.raises(IncompatibleError, match="blocks of its own"):
        NetworkGradient(blocks=2).forward(setting, problem.y0)


@pytest.mark.parametrize(
    ("solver", "grid"), [("dopri5", odebench.Tolerance(rtol=1e-2, atol=1e-2)), ("kvaerno3", odebench.StepSize(steps=2))]
)
def test_what_cannot_be_replayed_is_unknown_with_a_reason(solver, grid):
    model = build("model", {"name": "resnet10-ode", "width": 4, "batch": 2})
    problem = model.problem(0)
    solver = build("solver", solver)
    setting = odebench.Setting(problem=problem, solver=solver, gradient=build("gradient", "direct"), grid=grid)
    answer = NetworkGradient().forward(setting, problem.y0)
    answer.backward()
    known = ProblemKnown(model=model, seed=0, dtype=torch.float64, solver=lambda: solver, grid=answer.grid)
    judged = NetworkGradient().judge(answer.states, known)
    assert isinstance(judged["grad_error_discrete"], Unknown)
    assert "replayed" in judged["grad_error_discrete"].reason


def test_a_network_has_blocks():
    with pytest.raises(IncompatibleError, match="at least 0"):
        NetworkGradient(blocks=-1)
