"""Parameters of single models."""

from __future__ import annotations

import itertools

import pytest
import torch

from odebench.models.seeded import ModelError
from tests.models.every import BY_NAME


@pytest.mark.parametrize(
    ("name", "parameters", "word"),
    [
        ("linear", {"matrix": "spiral2"}, "matrix"),
        ("mlp-field", {"activation": "gelu2"}, "activation"),
        ("conv-field", {"activation": "gelu2"}, "activation"),
        ("conv-field", {"image": "cat"}, "image"),
        ("cnf", {"trace": "guess"}, "trace"),
        ("cnf", {"dim": 1}, "dim"),
        ("logistic", {"batch": -1}, "batch"),
    ],
)
def test_a_wrong_choice_is_refused_by_name(name, parameters, word):
    with pytest.raises(ModelError, match=f"`{word}`"):
        BY_NAME[name](**parameters)


@pytest.mark.parametrize("parameters", [{"outputs": 0}, {"span": 0.0}, {"span": float("nan")}])
def test_times_that_are_none_are_refused(parameters):
    with pytest.raises(ModelError, match="outputs|span"):
        BY_NAME["logistic"](**parameters).problem(0)


@pytest.mark.parametrize("matrix", ["spiral", "rotation", "decay", "jordan", "random"])
@pytest.mark.parametrize("dim", [1, 3])
def test_linear_matrices_have_the_size_asked_for(matrix, dim):
    problem = BY_NAME["linear"](matrix=matrix, dim=dim, rate=2.0, batch=2).problem(0)
    assert problem.field.matrix.shape == (dim, dim)
    assert torch.isfinite(problem.exact(problem, 2.0)).all()


def test_the_decay_of_the_instability_example_has_the_rate_asked_for():
    assert BY_NAME["linear"](matrix="decay", dim=1, rate=100.0).problem(0).field.matrix.item() == -100.0


def test_rotations_conserve_the_norm():
    problem = BY_NAME["linear"](matrix="rotation", batch=3).problem(0)
    torch.testing.assert_close(problem.exact(problem, 2.0).norm(dim=1), problem.y0.norm(dim=1), rtol=1e-14, atol=0)


def test_a_normalised_matrix_has_norm_one():
    weight = BY_NAME["gaussian-relu"](normalised=True).problem(0).field.weight
    assert torch.linalg.matrix_norm(weight, 2).item() == pytest.approx(1.0, rel=1e-12)


def test_a_field_with_time_depends_on_it():
    problem = BY_NAME["mlp-field"](time=True, batch=2).problem(0)
    early, late = (problem.field(torch.tensor(t, dtype=torch.float64), problem.y0) for t in (0.0, 1.0))
    assert (early - late).abs().max() > 1e-3


@pytest.mark.parametrize("activation", ["tanh", "softplus", "silu", "relu"])
def test_perceptrons_have_the_shape_asked_for(activation):
    field = BY_NAME["mlp-field"](width=5, depth=3, dim=3, activation=activation).problem(0).field
    assert [tuple(p.shape) for p in field.parameters() if p.dim() == 2] == [(5, 3), (5, 5), (5, 5), (3, 5)]


@pytest.mark.parametrize("activation", ["none", "relu", "leaky-relu", "softplus", "tanh"])
def test_convolutions_keep_the_image_and_scale_with_the_kernel(activation):
    model = BY_NAME["conv-field"](activation=activation, kernel_scale=0.7, channels=8, size=6, batch=2)
    problem = model.problem(0)
    assert problem.y0.shape == (2, 8, 6, 6)
    assert problem.field.kernel.std().item() == pytest.approx(0.7, rel=0.1)
    assert (problem.exact is None) == (activation in ("softplus", "tanh"))


def _divergence(field, z):
    logp = torch.zeros(1, 1, dtype=torch.float64)
    time = torch.tensor(0.3, dtype=torch.float64)
    jacobian = torch.func.jacrev(lambda row: field(time, (row.unsqueeze(0), logp))[0][0])
    return torch.stack([jacobian(row).trace() for row in z])


def test_the_exact_trace_is_that_of_the_jacobian():
    problem = BY_NAME["cnf"](dim=3, batch=4).problem(0)
    z, logp = problem.y0
    got = problem.field(torch.tensor(0.3, dtype=torch.float64), (z, logp))[1]
    torch.testing.assert_close(-got[:, 0], _divergence(problem.field, z), rtol=1e-12, atol=1e-12)


def test_hutchinsons_estimate_averages_to_the_trace_over_all_signs():
    problem = BY_NAME["cnf"](dim=3, batch=4, trace="hutchinson").problem(0)
    z, logp = problem.y0
    estimates = []
    for signs in itertools.product((-1.0, 1.0), repeat=3):
        problem.field.probes.copy_(torch.tensor(signs).double())
        estimates.append(-problem.field(torch.tensor(0.3, dtype=torch.float64), (z, logp))[1][:, 0])
    assert (estimates[0] - estimates[1]).abs().max() > 1e-3
    torch.testing.assert_close(sum(estimates) / 8, _divergence(problem.field, z), rtol=1e-12, atol=1e-12)


def test_several_probes_are_averaged_not_summed():
    torch.manual_seed(0)
    one, many = (BY_NAME["cnf"](trace="hutchinson", probes=n, batch=2).problem(3).field.probes for n in (1, 4))
    assert one.square().sum().item() == pytest.approx(2.0)
    assert many.square().sum().item() == pytest.approx(2.0)


def test_the_likelihood_is_that_of_a_gaussian_under_a_linear_map():
    # z(T) = e^T z(0) has log-determinant d T: the density of the data is exp(-|z(T)|²/2) (2π)^{-d/2} e^{dT}.
    z0 = torch.tensor([[0.3, -0.2]], dtype=torch.float64)
    zt, gain = z0 * torch.e, torch.tensor([[-2.0]], dtype=torch.float64)
    ys = (torch.stack((z0, zt)), torch.stack((torch.zeros_like(gain), gain)))
    density = torch.exp(-0.5 * zt.square().sum()) / (2 * torch.pi) * torch.e**2
    from odebench.models.cnf import negative_log_likelihood

    torch.testing.assert_close(negative_log_likelihood(ys), -density.log())


def test_irregular_times_are_irregular_and_all_count_in_the_loss():
    problem = BY_NAME["latent-irregular"](outputs=12).problem(0)
    gaps = torch.tensor(problem.ts).diff()
    assert problem.loss_ts == problem.ts
    assert gaps.max() / gaps.min() > 3
    ys = torch.zeros(13, 32, 4, dtype=torch.float64, requires_grad=True)
    problem.loss(ys).backward()
    assert (ys.grad.abs().sum((1, 2)) > 0).all()


def test_the_scale_multiplies_the_random_matrix():
    weight, doubled = (
        BY_NAME["gaussian-relu"](dim=5, normalised=True, scale=scale).problem(0).field.weight for scale in (1.0, 2.0)
    )
    torch.testing.assert_close(doubled, 2.0 * weight, rtol=0, atol=0)


def test_digits_are_those_of_scikit_learn_chosen_by_the_seed():
    datasets = pytest.importorskip("sklearn.datasets")
    known = torch.from_numpy(datasets.load_digits().images / 16.0)
    first, second = (
        BY_NAME["conv-field"](image="digits", size=8, channels=2, batch=2).problem(seed).y0 for seed in (0, 1)
    )
    for image in (first[0, 0], first[1, 1]):
        shape = image / image.max()  # channels have factors of their own
        assert (known / known.amax((1, 2), keepdim=True) - shape).abs().amax((1, 2)).min() < 1e-12
    assert not torch.equal(first[0, 0] / first.max(), second[0, 0] / second.max())


def test_digits_grow_to_the_size_asked_for_and_keep_their_corners():
    small, large = (
        BY_NAME["conv-field"](image="digits", size=size, channels=1, batch=1).problem(0).y0[0, 0] for size in (8, 15)
    )
    torch.testing.assert_close(large[::2, ::2], small, rtol=1e-12, atol=1e-12)
