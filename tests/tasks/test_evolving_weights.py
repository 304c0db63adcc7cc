"""The tasks about weights that evolve: reduction, spectral steps, and the conditions of optimality at a trained point."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from odebench.contract import StepSize, Tolerance, Unknown
from odebench.errors import IncompatibleError
from odebench.nn import EvolvingField, Kernel, NoEvolution, RateEvolution, ReactionDiffusionAdvection
from odebench.tasks.kkt import Kkt
from odebench.tasks.reduction import Reduction
from odebench.tasks.spectral import Spectral
from odebench.tasks.train import Train
from tests.tasks.classroom import learning, study

STEPS = StepSize(steps=4)


class Growth(nn.Module):
    def __init__(self):
        super().__init__()
        self.rate = nn.Parameter(torch.tensor(0.3))

    def forward(self, w):
        return self.rate * torch.tanh(w)


EVOLUTIONS = {
    "none": NoEvolution,
    "zero": ReactionDiffusionAdvection,
    "linear": lambda: ReactionDiffusionAdvection(diffusion=0.1, advection=(0.3, -0.2), reaction=0.2),
    "tanh": lambda: ReactionDiffusionAdvection(diffusion=0.1, advection=0.3, reaction=0.2, nonlinearity="tanh"),
    "rate": lambda: RateEvolution(Growth(), solver="midpoint"),
}


def lesson(evolution="linear", kernel=None, dtype=torch.float64, **arguments):
    """Two layers that evolve; float64."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        module = nn.Sequential(nn.Linear(2, 6), nn.Tanh(), nn.Linear(6, 2))
    arguments = {"weight_steps": 4, **arguments}
    field = EvolvingField(module, EVOLUTIONS[evolution](), kernel=kernel, **arguments)
    return learning(field=field).to(dtype, "cpu")


def memory():
    return Kernel(lambda s: 2.0 * math.exp(-2.0 * s))


def reduction(tmp_path, steps=4, solver="euler", gradient="anode", **arguments):
    return study(
        Reduction(), tmp_path, lesson=lesson(**arguments), grid=StepSize(steps=steps), solver=solver, gradient=gradient
    )[0].values


@pytest.mark.parametrize("configuration", [1, 2])
@pytest.mark.parametrize("solver", ["euler", "rk4"])
def test_no_evolution_reduces_to_the_held_field_bit_for_bit(tmp_path, solver, configuration):
    found = reduction(tmp_path, solver=solver, evolution="none", configuration=configuration)
    assert (found["held_bits"], found["held_states"], found["held_gradients"]) == (1, 0.0, 0.0)
    assert isinstance(found["resnet_states"], Unknown)


def test_coefficients_of_zero_reduce_to_rounding_and_others_do_not(tmp_path):
    found = reduction(tmp_path, evolution="zero")
    assert found["held_states"] < 1e-14 and found["held_gradients"] < 1e-14
    found = reduction(tmp_path, evolution="linear")
    assert found["held_states"] > 1e-3 and found["held_gradients"] > 1e-3 and found["held_bits"] == 0


def test_one_euler_step_is_a_residual_block_and_one_of_heun_is_not(tmp_path):
    found = reduction(tmp_path, steps=1, evolution="none")
    assert (found["resnet_states"], found["resnet_gradients"]) == (0.0, 0.0)
    assert reduction(tmp_path, steps=1, solver="heun", evolution="none")["resnet_states"] > 1e-3


@pytest.mark.parametrize("size", [1, 2, 3, 8, 9])
def test_the_spectral_step_is_exact_for_the_models_coefficients(tmp_path, size):
    found = study(Spectral(size=size), tmp_path, lesson=lesson(), gradient=None)[0].values
    assert found["spectral_semigroup"] < 1e-14
    assert found["spectral_exact"] < 1e-12


def test_a_nonlinearity_is_no_exact_step(tmp_path):
    found = study(Spectral(), tmp_path, lesson=lesson("tanh"), gradient=None)[0].values
    assert found["spectral_semigroup"] > 1e-2 and found["spectral_exact"] > 1e-2


def kkt(tmp_path, gradient="direct", evolution="linear", iterations=10, solver="euler", grid=STEPS, **arguments):
    """A short training, if there is none yet, and what the task finds of it."""
    if not (tmp_path / "training").exists():
        task = Train(iterations=iterations, batch=60, learning_rate=0.02)
        study(task, tmp_path / "training", lesson=lesson(evolution, **arguments), grid=STEPS)
    return study(
        Kkt(), tmp_path / "kkt", lesson=lesson(evolution, **arguments), grid=grid, solver=solver, gradient=gradient,
        needed=(tmp_path / "training",),
    )[0].values  # fmt: skip


CONDITIONS = ("state", "weights", "kernel", "adjoint", "memory", "coefficients", "others")


@pytest.mark.parametrize(
    "arguments",
    [
        {"evolution": "linear"},
        {"evolution": "linear", "weight_steps": 8},
        {"evolution": "linear", "weight_steps": None},
        {"evolution": "linear", "configuration": 2, "weight_steps": 6},
        {"evolution": "tanh", "kernel": memory()},
        {"evolution": "rate", "kernel": memory(), "configuration": 2},
    ],
    ids=str,
)
def test_an_exact_gradient_meets_every_condition_of_a_trained_point(tmp_path, arguments):
    found = kkt(tmp_path, "anode", **arguments)
    assert max(found[f"kkt_{name}"] for name in CONDITIONS) < 1e-12


def test_a_gradient_that_is_not_exact_misses_those_of_the_multipliers_only(tmp_path):
    found = kkt(tmp_path, "continuous-adjoint")
    assert max(found[f"kkt_{name}"] for name in ("state", "weights", "kernel")) < 1e-12
    assert min(found[f"kkt_{name}"] for name in ("adjoint", "memory", "coefficients", "others")) > 1e-3


def test_training_makes_the_gradient_smaller_and_none_leaves_it(tmp_path):
    assert kkt(tmp_path, iterations=100)["kkt_stationary_weights"] < 0.1
    assert kkt(tmp_path / "short", iterations=1)["kkt_stationary_weights"] == pytest.approx(1.0, abs=0.3)


def test_the_continuous_adjoint_comes_closer_with_the_step(tmp_path):
    errors = [
        kkt(tmp_path, grid=StepSize(steps=steps), weight_steps=None)["kkt_continuous_weights"] for steps in (6, 12, 24)
    ]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(1.0, abs=0.4)
    assert math.log2(errors[1] / errors[2]) == pytest.approx(1.0, abs=0.2)


def test_what_there_is_not_has_a_reason(tmp_path):
    found = kkt(tmp_path, evolution="none")
    assert (
        found["kkt_coefficients"]
        == found["kkt_stationary_coefficients"]
        == Unknown("The evolution has no coefficients.")
    )
    assert isinstance(kkt(tmp_path / "tanh", evolution="tanh")["kkt_continuous_weights"], Unknown)
    assert isinstance(kkt(tmp_path / "tanh", evolution="tanh", weight_steps=8)["kkt_continuous_weights"], Unknown)


def test_what_the_tasks_cannot_look_at_is_refused_in_words(tmp_path):
    with pytest.raises(IncompatibleError, match="use a model that has such: coupled-net"):
        study(Reduction(), tmp_path)
    with pytest.raises(IncompatibleError, match="evolves by reaction, diffusion and advection"):
        study(Spectral(), tmp_path, lesson=lesson("rate"))
    with pytest.raises(IncompatibleError, match="needs a gradient method"):
        study(Reduction(), tmp_path, lesson=lesson(), gradient=None)
    with pytest.raises(IncompatibleError, match="solver 'rk4' has another"):
        kkt(tmp_path, solver="rk4")
    with pytest.raises(IncompatibleError, match="needs `steps` or `step_size`"):
        kkt(tmp_path, grid=Tolerance(rtol=1e-3, atol=1e-3))
    with pytest.raises(IncompatibleError, match="z takes 4 steps and the weights 6"):
        kkt(tmp_path, weight_steps=6)
