"""The convolution of short sequences by a matrix: the same function, and the same gradients, whoever computes them."""

from __future__ import annotations

import copy

import pytest
import torch

import odebench
from odebench.contract import parameters_of
from tests.models.every import BY_NAME


def pair(dimension: int = 2, seed: int = 0, batch: int = 32, **parameters):
    """The same problem with the matrix, and without."""
    data = {"name": "spheres", "dimension": dimension}
    model = BY_NAME["conv1d-net"]
    return tuple(
        model(data=data, dense=dense, batch=batch, **parameters).problem(seed) for dense in ("always", "never")
    )


def awakened(field, seed=0):
    """Biases are 0 at first, which would hide where they go: give them values."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in field.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64).to(parameter))
    return field


def relative(got, expected) -> float:
    return ((got - expected).norm() / expected.norm()).item()


def loss_and_gradients(problem, **solve):
    """Loss of a solve, and its gradients in y0 and in each parameter."""
    y0 = problem.y0.clone().requires_grad_()
    weights = parameters_of(problem.field)
    end = odebench.solve(problem.field, y0, (0.0, 1.0), **solve).y1
    loss = end.square().sum() + end.sin().sum()
    return loss.detach(), torch.autograd.grad(loss, (y0, *weights))


@pytest.mark.parametrize("dimension", [1, 2, 3, 4, 10])
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-13), (torch.float32, 1e-6)])
def test_values_and_derivatives_are_those_of_the_convolution(dimension, dtype, bound):
    matrix, convolution = (problem.to(dtype, "cpu") for problem in pair(dimension))
    awakened(matrix.field), awakened(convolution.field)
    found = []
    for problem in (matrix, convolution):
        y = problem.y0.clone().requires_grad_()
        slope = problem.field(torch.tensor(0.0), y)
        weight = torch.linspace(-1, 2, slope.numel(), dtype=dtype).view_as(slope)
        found.append((slope, *torch.autograd.grad(slope, (y, *problem.field.parameters()), weight)))
    for got, expected in zip(*found, strict=True):
        assert got.shape == expected.shape
        assert relative(got, expected) < bound


@pytest.mark.parametrize("channels", [1, 3])
def test_states_of_several_channels_are_convolved_too(channels):
    generator = torch.Generator().manual_seed(0)
    model = BY_NAME["conv1d-net"](dense="always", width=5)
    field = awakened(model.build_field((channels, 3), generator))
    y = torch.randn(4, channels, 3, generator=generator, dtype=torch.float64)
    got = field(torch.tensor(0.0), y)
    field.dense = False
    assert relative(got, field(torch.tensor(0.0), y)) < 1e-14


def test_short_states_take_the_matrix_and_long_ones_the_convolution():
    model = BY_NAME["conv1d-net"]
    chosen = {
        dimension: model(data={"name": "spheres", "dimension": dimension}).problem(0).field.dense
        for dimension in (2, 3, 10)
    }
    assert chosen == {2: True, 3: True, 10: False}


@pytest.mark.parametrize("gradient", ["direct", "anode", "step-checkpoint", "continuous-adjoint"])
@pytest.mark.parametrize(("solver", "steps"), [("euler", 5), ("rk4", 3)])
def test_every_gradient_method_reaches_the_kernel(gradient, solver, steps):
    solve = {"solver": solver, "steps": steps, "gradient": gradient}
    matrix, convolution = pair()
    awakened(matrix.field), awakened(convolution.field)
    (loss, got), (expected_loss, expected) = (loss_and_gradients(problem, **solve) for problem in (matrix, convolution))
    assert loss.item() == pytest.approx(expected_loss.item(), rel=1e-12)
    for mine, theirs in zip(got, expected, strict=True):
        assert theirs.abs().max() > 0
        assert relative(mine, theirs) < 1e-11


@pytest.mark.parametrize("gradient", ["direct", "anode", "step-checkpoint", "continuous-adjoint"])
def test_a_step_of_an_optimiser_is_seen_at_once(gradient):
    """Weights change in place, and between the solves nothing tells the field."""
    ends = []
    for problem in pair():
        awakened(problem.field)
        optimiser = torch.optim.Adam(problem.field.parameters(), lr=0.01)
        for _ in range(4):
            optimiser.zero_grad()
            end = odebench.solve(problem.field, problem.y0, (0.0, 1.0), solver="euler", steps=4, gradient=gradient).y1
            end.square().sum().backward()
            optimiser.step()
        ends.append(torch.cat([parameter.detach().flatten() for parameter in problem.field.parameters()]))
    assert relative(*ends) < 1e-10


def test_weights_that_are_written_behind_autograds_back_are_seen_at_once():
    matrix, convolution = pair()
    time = torch.tensor(0.0)
    with torch.no_grad():
        matrix.field(time, matrix.y0)
    for problem in (matrix, convolution):
        problem.field.mix.weight.data.mul_(-0.5)
    with torch.no_grad():
        assert relative(matrix.field(time, matrix.y0), convolution.field(time, matrix.y0)) < 1e-14


@pytest.mark.parametrize("gradient", ["direct", "anode", "step-checkpoint"])
def test_weights_that_change_between_forward_and_backward_give_no_wrong_gradient(gradient):
    """Either it is the gradient at the weights of the forward pass, or an error."""
    matrix, _ = pair()
    weights = parameters_of(matrix.field)
    solve = {"solver": "euler", "steps": 2, "gradient": gradient}
    _, (_, *expected) = loss_and_gradients(matrix, **solve)
    end = odebench.solve(matrix.field, matrix.y0, (0.0, 1.0), **solve).y1
    loss = end.square().sum() + end.sin().sum()
    with torch.no_grad():
        for weight in weights:
            weight.add_(1.0)
    try:
        found = torch.autograd.grad(loss, weights)
    except RuntimeError as error:
        assert "modified by an inplace operation" in str(error)
    else:
        assert all(torch.equal(mine, theirs) for mine, theirs in zip(found, expected, strict=True))


def test_a_copy_goes_its_own_way():
    matrix, convolution = pair()
    awakened(matrix.field), awakened(convolution.field)
    loss_and_gradients(matrix, solver="euler", steps=2)
    twin = copy.deepcopy(matrix.field)
    with torch.no_grad():
        twin.mix.weight.zero_()
    time = torch.tensor(0.0)
    assert relative(matrix.field(time, matrix.y0), convolution.field(time, matrix.y0)) < 1e-13
    assert not torch.equal(twin(time, matrix.y0), matrix.field(time, matrix.y0))


def test_weights_are_the_same_file_in_both_forms():
    matrix, convolution = pair(seed=0)
    (_, other) = pair(seed=1)
    assert matrix.field.state_dict().keys() == convolution.field.state_dict().keys()
    matrix.field.load_state_dict(other.field.state_dict())
    time = torch.tensor(0.0)
    assert relative(matrix.field(time, matrix.y0), other.field(time, matrix.y0)) < 1e-14


def test_gradients_of_gradients_pass_through():
    found = []
    for problem in pair(batch=3):
        awakened(problem.field)
        y = problem.y0.clone().requires_grad_()
        slope = problem.field(torch.tensor(0.0), y)
        (first,) = torch.autograd.grad(slope.square().sum(), y, create_graph=True)
        found.append(torch.autograd.grad(first.square().sum(), problem.field.mix.weight)[0])
    assert relative(*found) < 1e-13


def test_nothing_of_a_solve_stays_alive_in_the_field():
    matrix, _ = pair()
    loss_and_gradients(matrix, solver="euler", steps=2)
    held = {id(tensor) for tensor in (*matrix.field.parameters(), *matrix.field.buffers())}
    parts = [value for module in matrix.field.modules() for value in vars(module).values()]
    assert all(id(value) in held for value in parts if isinstance(value, torch.Tensor))
    assert all(tensor.grad_fn is None for tensor in matrix.field.buffers())
