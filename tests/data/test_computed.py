"""Data that are drawn, computed or written down."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from scipy.integrate import odeint
from scipy.stats import kstest

from odebench import data
from odebench.data import DataError
from odebench.data.spheres import SHELLS
from odebench.data.three_minima import SLOPE, valleys

DRAWN = ["spheres", "three-minima", "saddle"]


def radii_of(examples):
    return examples.inputs.flatten(1).norm(dim=1)


@pytest.mark.parametrize("dimension", [2, 3, 10, 900])
@pytest.mark.parametrize(("part", "count"), [("train", 2000), ("test", 1000)])
def test_spheres_have_three_shells_of_which_the_middle_one_is_class_one(dimension, part, count):
    spheres = data.load({"name": "spheres", "dimension": dimension}, 0)
    examples = getattr(spheres, part)
    assert examples.inputs.shape == (count, 1, dimension)
    assert spheres.shape == (1, dimension)
    radii = radii_of(examples)
    for shell, ((low, high), share) in enumerate(zip(SHELLS, (4, 2, 4), strict=True)):
        inside = (radii >= low - 1e-12) & (radii <= high + 1e-12)
        assert inside.sum().item() == count // share
        assert set(examples.targets[inside].tolist()) == {int(shell == 1)}


def test_the_shells_are_the_papers():
    assert SHELLS == ((0.10, 0.15), (0.25, 0.30), (0.40, 0.45))


@pytest.mark.parametrize("dimension", [1, 2, 10])
def test_radii_follow_the_law_of_the_paper(dimension):
    """(r - r0)/(r1 - r0) is the `dimension`-th root of a uniform number."""
    table = {"name": "spheres", "dimension": dimension, "train": 8000}
    radii = radii_of(data.load(table, 1).train).numpy()
    for low, high in SHELLS:
        inside = radii[(radii > low - 0.01) & (radii < high + 0.01)]
        assert kstest(((inside - low) / (high - low)) ** dimension, "uniform").pvalue > 1e-3


def test_directions_are_uniform():
    x, y = data.load({"name": "spheres", "train": 8000}, 2).train.inputs[:, 0].unbind(1)
    assert kstest((torch.atan2(y, x) / (2 * torch.pi) + 0.5).numpy(), "uniform").pvalue > 1e-3


def test_any_piece_of_the_spheres_is_a_sample_of_both_classes():
    targets = data.load("spheres", 0).train.targets
    assert all(20 <= piece.sum() <= 80 for piece in targets.split(100))


@pytest.mark.parametrize("name", DRAWN)
def test_the_seed_alone_decides_what_is_drawn(name):
    """The published code seeds after the data were made, so that they are other data in every run."""
    small = {"name": name, "train": 40, "test": 20}
    found = []
    for disturbed, seed in ((0, 5), (1, 5), (0, 6)):
        torch.manual_seed(disturbed)
        np.random.seed(disturbed)
        random.seed(disturbed)
        loaded = data.load(small, seed)
        found.append((loaded.train, loaded.test))
    (train, test), (again, test_again), (other, other_test) = found
    for first, second in ((train, again), (test, test_again)):
        assert torch.equal(first.inputs, second.inputs)
        assert torch.equal(first.targets, second.targets)
    assert not torch.equal(train.inputs, other.inputs)
    assert not torch.equal(test.inputs, other_test.inputs)


@pytest.mark.parametrize("name", DRAWN)
def test_making_data_leaves_the_global_random_states_alone(name):
    states = (torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate())
    _ = data.load({"name": name, "train": 12}, 0).train
    assert torch.equal(states[0], torch.get_rng_state())
    assert np.array_equal(states[1], np.random.get_state()[1])
    assert states[2] == random.getstate()


@pytest.mark.parametrize("name", DRAWN)
def test_test_data_are_other_data_and_do_not_move_when_there_are_more_training_data(name):
    few, many = (data.load({"name": name, "train": count, "test": 16}, 0) for count in (16, 32))
    assert torch.equal(few.test.inputs, many.test.inputs)
    assert not torch.equal(few.train.inputs, few.test.inputs)


def test_particles_start_in_the_papers_rectangle():
    loaded = data.load("three-minima", 0)
    assert (len(loaded.train), len(loaded.test), loaded.classes) == (2000, 1000, 3)
    x, v = loaded.train.inputs[:, 0].unbind(1)
    assert kstest(((x + 1) / 3).numpy(), "uniform").pvalue > 1e-3
    assert kstest(((v + 2) / 4).numpy(), "uniform").pvalue > 1e-3
    assert loaded.train.targets.bincount(minlength=3).min() > 400


def test_particles_are_labelled_by_the_minimum_at_which_they_come_to_rest():
    """Against SciPy's LSODA, particle by particle, with the slope written out."""
    some = data.load({"name": "three-minima", "test": 40}, 3).test
    minima = np.array([-0.850, 0.269, 1.839])

    def motion(state, _):
        x, v = state
        return v, -(1.2 * x**5 - 2.5 * x**4 - 0.768 * x**3 + 2.364 * x**2 + 0.176 * x - 0.192) - 0.2 * v

    for (state,), label in zip(some.inputs.numpy(), some.targets.tolist(), strict=True):
        x, v = odeint(motion, state, (0.0, 100.0), rtol=1e-10, atol=1e-10, mxstep=20000)[-1]
        assert abs(x - minima[label]) < 2e-3
        assert abs(v) < 2e-3


def test_the_potential_has_the_minima_of_the_paper():
    roots = np.sort(SLOPE.roots().real)
    np.testing.assert_allclose(roots[::2], (-0.850, 0.269, 1.839), atol=1e-3)
    assert valleys(np.array([(root, 0.0) for root in roots[::2]])).tolist() == [0, 1, 2]


def test_exclusive_or_is_exclusive_or():
    loaded = data.load("xor", 0)
    for part in (loaded.train, loaded.test):
        pairs = part.inputs[:, 0].long()
        assert torch.equal(pairs[:, 0] ^ pairs[:, 1], part.targets)
        assert len(pairs.unique(dim=0)) == 4


def test_the_saddle_is_a_product_that_no_linear_function_follows():
    loaded = data.load("saddle", 0)
    assert loaded.classes is None
    point, value = loaded.train.inputs[:, 0], loaded.train.targets[:, 0]
    assert torch.equal(value, point[:, 0] * point[:, 1])
    assert value.var().item() == pytest.approx(1 / 9, rel=0.1)
    columns = torch.cat((point, torch.ones(len(point), 1, dtype=torch.float64)), 1)
    best = columns @ torch.linalg.lstsq(columns, value[:, None]).solution
    assert (value - best[:, 0]).var() > 0.98 * value.var()


@pytest.mark.parametrize(
    ("table", "word"),
    [
        ("sphere", "Did you mean 'spheres'"),
        ({"name": "spheres", "dimensions": 3}, "Did you mean 'dimension'"),
        ({"name": "digits", "train": 3}, "they have: size"),
        ({"name": "spheres", "dimension": 0}, "`dimension` is 0"),
        ({"name": "spheres", "dimension": 2.5}, "must be of type int"),
        ({"name": "spheres", "dimension": True}, "must be of type int"),
        ({"name": "spheres", "train": 3}, "`train` is 3"),
        ({"name": "three-minima", "test": 0}, "`test` is 0"),
        ({"name": "cifar10", "verify": "no"}, "must be of type bool"),
        ({"dimension": 2}, "it must be a name, or a table"),
        (3, "it must be a name, or a table"),
    ],
)
def test_what_is_no_data_is_refused_in_words(table, word):
    with pytest.raises(DataError, match=word):
        data.load(table, 0)


def test_every_name_can_be_checked_without_its_files():
    for name in data.names():
        data.check(name)
