"""Computing the field again repeats its random numbers, its precision and its statistics, and leaves no trace."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from torch import nn

import odebench
from odebench.errors import IncompatibleError
from tests.gradients.fields import ALL, EXACT, INEXACT, Network, loss_of, off, start

GRIDS = {"fixed": {"solver": "rk4", "steps": 6}, "adaptive": {"solver": "bosh3", "rtol": 1e-2, "atol": 1e-2}}


class Layers(nn.Module):
    """A field of one or more layers on states of 3 elements, the time ignored."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.layers = nn.Sequential(nn.Linear(3, 8), *layers, nn.Tanh(), nn.Linear(8, 3)).double()

    def forward(self, t, y):
        return self.layers(y)


def run(method, field, ts=(0.0, 0.5, 1.0), **arguments):
    """Gradients, the buffers and the generator afterwards, and the solution; from the same seed each time."""
    y0 = start(8)
    torch.manual_seed(11)
    solution = odebench.solve(field, y0, ts, gradient=method, **arguments)
    after = torch.get_rng_state()
    gradient = torch.autograd.grad(loss_of(solution.ys), (y0, *field.parameters()), allow_unused=True)
    assert torch.equal(after, torch.get_rng_state()), "the backward leaves the generator alone"
    buffers = [buffer.clone() for buffer in field.buffers()]
    return [g for g in gradient if g is not None], buffers, after, solution


@pytest.mark.parametrize("method", EXACT)
@pytest.mark.parametrize("grid", GRIDS)
def test_batch_statistics(grid, method):
    expected, buffers, _, _ = run("direct", Layers(nn.BatchNorm1d(8)), **GRIDS[grid])
    got, statistics, _, solution = run(method, Layers(nn.BatchNorm1d(8)), **GRIDS[grid])
    # Together: a bias before the normalisation has no gradient but rounding.
    assert off([torch.cat([g.flatten() for g in got])], [torch.cat([g.flatten() for g in expected])]) < 1e-12
    forward = solution.stats.evaluations_forward
    if method == "anode" or grid == "fixed":
        assert all(map(torch.equal, statistics, buffers)), "as after one forward pass"
    # One count for each forward evaluation, however often the backward computes the field.
    assert statistics[2].item() == forward and solution.stats.evaluations_backward > 0


@pytest.mark.parametrize("method", ALL)
def test_statistics_of_a_module_that_a_closure_calls(method):
    norm = nn.BatchNorm1d(3, affine=False).double()
    solution = odebench.solve(lambda t, y: norm(y).cos(), start(), (0.0, 1.0), gradient=method, **GRIDS["fixed"])
    solution.ys.sum().backward()
    assert norm.num_batches_tracked.item() == solution.stats.evaluations_forward


@pytest.mark.parametrize("method", EXACT)
@pytest.mark.parametrize("grid", GRIDS)
def test_dropout(grid, method):
    expected, _, generator, reference = run("direct", Layers(nn.Dropout(0.4)), **GRIDS[grid])
    got, _, same, solution = run(method, Layers(nn.Dropout(0.4)), **GRIDS[grid])
    if grid == "fixed" or method == "anode":
        assert torch.equal(solution.ys, reference.ys), "the masks are those of the forward pass"
        assert torch.equal(generator, same)
        assert off(got, expected) < 1e-12
    else:  # no derivative is shared between steps there, so other masks are drawn: against differences of the same ones
        arguments = {"solver": "bosh3", "grid": solution.grid}
        got, _, _, _ = run(method, Layers(nn.Dropout(0.4)), **arguments)
        direction = torch.linspace(-1, 1, 24, dtype=torch.float64).reshape(8, 3)
        values = []
        for h in (1e-6, -1e-6):
            field = Layers(nn.Dropout(0.4))
            torch.manual_seed(11)
            y0 = (start(8).detach() + h * direction).requires_grad_()
            values.append(loss_of(odebench.solve(field, y0, (0.0, 0.5, 1.0), gradient=method, **arguments).ys).item())
        assert (got[0] * direction).sum().item() == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-6)


@pytest.mark.parametrize("method", EXACT)
def test_the_masks_of_rejected_steps_are_passed_over(method):
    arguments = {"solver": "bosh3", "grid": odebench.Tolerance(rtol=1e-2, atol=1e-2, first_step=1.0)}
    _, _, _, solution = run(method, Layers(nn.Dropout(0.2)), **arguments)
    assert solution.stats.rejected > 0
    expected, _, _, _ = run("direct", Layers(nn.Dropout(0.2)), **arguments)
    if method == "anode":
        assert off(run(method, Layers(nn.Dropout(0.2)), **arguments)[0], expected) < 1e-12


@pytest.mark.parametrize("method", EXACT)
def test_power_iterations(method):
    def field():
        torch.manual_seed(5)
        layer = nn.utils.parametrizations.spectral_norm(nn.Linear(3, 3))
        return nn.Sequential(layer).double()

    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = field()

        def forward(self, t, y):
            return torch.tanh(self.inner(y))

    expected, buffers, _, _ = run("direct", Wrapped(), **GRIDS["fixed"])
    got, vectors, _, _ = run(method, Wrapped(), **GRIDS["fixed"])
    assert off(got, expected) < 1e-12
    assert all(map(torch.equal, vectors, buffers))


@pytest.mark.parametrize("method", EXACT)
@pytest.mark.parametrize("inside", [True, False])
def test_autocast(inside, method):
    """The backward runs outside the region, or in another one, and repeats the forward's precision all the same."""

    def gradient(method):
        torch.manual_seed(5)
        field, y0 = Layers().float(), start(8).detach().float().requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=inside):
            ys = odebench.solve(field, y0, (0.0, 1.0), solver="rk4", steps=4, gradient=method).ys
        loss = loss_of(ys.float())
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=not inside and method != "direct"):
            return torch.autograd.grad(loss, (y0, *field.parameters()))

    got, expected = gradient(method), gradient("direct")
    assert all(g.dtype == torch.float32 for g in got)
    # bfloat16 sums of weights' gradients are rounded in another order.
    assert off(got, expected) < (0.02 if inside else 1e-5)


@pytest.mark.parametrize("method", INEXACT)
def test_the_adjoint_equation_refuses_noise(method):
    with pytest.raises(IncompatibleError, match=r"draws random numbers.*eval\(\)"):
        run(method, Layers(nn.Dropout(0.4)), **GRIDS["fixed"])
    run(method, Layers(nn.Dropout(0.4)).eval(), **GRIDS["fixed"])


@pytest.mark.parametrize("method", INEXACT)
def test_the_adjoint_equation_leaves_statistics_as_they_are(method):
    _, expected, _, _ = run("direct", Layers(nn.BatchNorm1d(8)), **GRIDS["fixed"])
    _, buffers, _, _ = run(method, Layers(nn.BatchNorm1d(8)), **GRIDS["fixed"])
    assert all(map(torch.equal, buffers, expected))


@pytest.mark.parametrize("method", ALL)
def test_looking_at_a_frozen_field_leaves_no_trace(method):
    """Where nothing requires a gradient the field is still searched for tensors that do."""
    field = Layers(nn.BatchNorm1d(8)).requires_grad_(False)
    solution = odebench.solve(field, start(8).detach(), (0.0, 1.0), gradient=method, **GRIDS["fixed"])
    assert field.layers[1].num_batches_tracked.item() == solution.stats.evaluations_forward


@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize("grid", [{"steps": 50}, {"rtol": 1e-6}])
def test_nothing_is_left_after_the_backward(grid, method):
    """Even while the solution is kept: its graph and its checkpoints go as soon as they have served."""

    def tensors():
        gc.collect()
        return [o for o in gc.get_objects() if type(o) in (torch.Tensor, nn.Parameter)]

    gc.collect()
    gc.freeze()  # what is there already is no candidate
    gc.disable()
    try:
        field, y0 = Network(), start()
        before = {id(o) for o in (*tensors(), y0, *field.parameters())}
        solution = odebench.solve(field, y0, (0.0, 0.5, 1.0), gradient=method, **grid)
        solution.ys.sum().backward()
        kept = {
            id(o)
            for o in (solution.ys, solution.grid.t, solution.grid.dt, y0.grad, *(p.grad for p in field.parameters()))
        }
        left = [tuple(o.shape) for o in tensors() if id(o) not in before and id(o) not in kept]
        assert not left
        alive = weakref.ref(solution.ys)
        del solution
        assert alive() is None, "no reference cycle"
    finally:
        gc.enable()
        gc.unfreeze()
