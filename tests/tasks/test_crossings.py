"""Crossings of a trained model's trajectories: a field whose Euler steps cross and whose flow does not, and a brute force."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
from torch import nn

from odebench.contract import Examples, StepSize, Tolerance, TrainedStep, Unknown
from odebench.errors import IncompatibleError
from odebench.tasks.crossings import CountCrossings
from odebench.tasks.train import Train
from tests.tasks.classroom import learning, study


class Shear(nn.Module):
    """x' = 1, y' = rate (level - y): all trajectories approach a line, and never meet."""

    def __init__(self, rate=1.0, level=0.0):
        super().__init__()
        self.rate = nn.Parameter(torch.tensor(rate))
        self.level = nn.Parameter(torch.tensor(level))

    def forward(self, t, y):
        return torch.stack((torch.ones_like(y[:, 0]), self.rate * (self.level - y[:, 1])), dim=1)


def lesson(rate=3.0, heights=(1.0, -1.0, 0.5, -0.25), labels=(0, 1, 0, 1), seed=0):
    """Points above each other, which a step of length 1 throws to the other side where rate > 1."""
    points = torch.tensor([[0.0, height] for height in heights])
    examples = Examples(inputs=points, targets=torch.tensor(labels))
    return replace(learning(seed, field=Shear(rate)), train=examples, test=examples)


@pytest.fixture
def trained(tmp_path):
    """A training that changes nothing, with one Euler step."""

    def train(given, grid=StepSize(steps=1), solver="euler", seed=0):  # noqa: B008 - frozen
        folder = tmp_path / f"training-{seed}"
        task = Train(iterations=1, batch=2, learning_rate=1e-12)
        study(task, folder, lesson=given, grid=grid, solver=solver)
        return folder

    return train


def counted(folder, given, tmp_path, grid=TrainedStep(factor=1.0), solver="euler", **options):  # noqa: B008 - frozen
    return study(
        CountCrossings(**options),
        tmp_path / "crossings",
        lesson=given,
        needed=(folder,),
        grid=grid,
        solver=solver,
        gradient=None,
    )[0]


def test_a_step_that_is_too_long_makes_crossings_and_a_fine_grid_has_none(trained, tmp_path):
    """One Euler step of length 1 with rate 3 turns heights y into -2 y, so lines of different heights meet between."""
    given = lesson()
    found = counted(trained(given), given, tmp_path, fine_steps=64)
    # Heights y (1 - 3 t) all vanish at t = 1/3: every pair of different classes meets once there.
    assert found.values == {
        "nfe_forward": 1, "steps_accepted": 1, "step_size": 1.0,
        "crossings": 4, "crossings_fine": 0, "crossing_pairs": 4, "trajectories": 4,
    }  # fmt: skip
    series = found.series
    marks = series["class"] == -1
    assert series["x"][marks] == pytest.approx(1 / 3) and series["y"][marks] == pytest.approx(0.0, abs=1e-7)
    assert set(zip(series["index"][marks], series["other"][marks], strict=True)) == {(0, 1), (0, 3), (1, 2), (2, 3)}
    assert set(series["on_grid"][marks]) == {"own"}


@pytest.mark.parametrize("solver", ["euler", "midpoint"])
def test_the_count_is_that_of_a_brute_force_over_the_polylines_in_the_series(trained, tmp_path, solver):
    """Segments p + m (q - p) and r + n (s - r) cross where 0 < m < 1 and 0 < n < 1, by Cramer's rule."""
    generator = torch.Generator().manual_seed(2)
    points = torch.randn(12, 2, generator=generator)
    examples = Examples(inputs=points, targets=torch.arange(12) % 2)
    torch.manual_seed(5)
    net = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 2))

    class Field(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self, t, y):
            return 8.0 * self.net(y)

    given = replace(learning(field=Field()), train=examples, test=examples)
    found = counted(trained(given, StepSize(steps=5), solver), given, tmp_path, solver=solver, fine_steps=32)
    series, expected = found.series, 0
    own = (series["on_grid"] == "own") & (series["class"] >= 0)
    lines = {k: np.stack((series["x"], series["y"]), 1)[own & (series["index"] == k)] for k in range(12)}
    assert {len(line) for line in lines.values()} == {6}
    for i, j in combinations(range(12), 2):
        if i % 2 == j % 2:
            continue
        for p, q in zip(lines[i], lines[i][1:], strict=False):
            for r, s in zip(lines[j], lines[j][1:], strict=False):
                m, n = np.linalg.solve(np.stack((q - p, r - s), 1), r - p)
                expected += 0 < m < 1 and 0 < n < 1
    assert found.values["crossings"] == expected > 0
    assert found.values["crossings_fine"] < expected


def test_the_polylines_are_those_of_the_solver_that_is_asked_for(trained, tmp_path):
    """Heights of y' = -3 y by Euler and by midpoint with two steps, by hand."""
    given = lesson()
    folder = trained(given)
    for solver, factor in (("euler", 1 - 1.5), ("midpoint", 1 - 1.5 + 1.125)):
        found = counted(folder, given, tmp_path, StepSize(steps=2), solver, fine_steps=4)
        series = found.series
        first = (series["on_grid"] == "own") & (series["index"] == 0) & (series["class"] == 0)
        assert series["time"][first] == pytest.approx([0, 0.5, 1])
        assert series["y"][first] == pytest.approx([1, factor, factor**2], rel=1e-6)


def test_adaptive_solvers_and_steps_that_do_not_divide_the_span_have_polylines(trained, tmp_path):
    given = lesson(rate=1.0)
    folder = trained(given)
    found = counted(folder, given, tmp_path, Tolerance(rtol=1e-6, atol=1e-6), "dopri5", fine_steps=8).values
    assert (found["crossings"], found["tolerance"]) == (0, 1e-6)
    assert found["steps_accepted"] > 1
    found = counted(folder, given, tmp_path, StepSize(step_size=0.3), fine_steps=8)
    assert found.values["steps_accepted"] == 4
    times = found.series["time"][(found.series["on_grid"] == "own") & (found.series["index"] == 0)]
    assert times[:5] == pytest.approx([0, 0.3, 0.6, 0.9, 1.0])


def test_fine_trajectories_are_thinned_in_the_series_and_keep_their_ends(trained, tmp_path):
    given = lesson(rate=1.0)
    found = counted(trained(given), given, tmp_path, fine_steps=1000)
    one = (found.series["on_grid"] == "fine") & (found.series["index"] == 2)
    assert 60 <= one.sum() <= 70
    times = found.series["time"][one]
    assert (times[0], times[-1]) == (0.0, 1.0) and (np.diff(times) > 0).all()
    assert len({len(values) for values in found.series.values()}) == 1


def test_fine_trajectories_are_followed_as_far_as_the_region_of_the_others(trained, tmp_path):
    """One midpoint step of y' = 4 y ends at 13 y and the flow at 54.6 y, with crossings of zigzags added where only the latter gets."""

    class Parting(nn.Module):
        """Heights grow; beyond 20 a side wind makes the classes cross."""

        def __init__(self):
            super().__init__()
            self.rate = nn.Parameter(torch.tensor(4.0))

        def forward(self, t, y):
            wind = torch.where(y[:, 1] > 20.0, -400.0 * y[:, 0], torch.zeros_like(y[:, 0]))
            return torch.stack((wind, self.rate * y[:, 1]), dim=1)

    # Steps of 1/64 with a wind of 400 overshoot from side to side: both cross again and again.
    points = torch.tensor([[-1.0, 1.0], [1.0, 1.01]])
    examples = Examples(inputs=points, targets=torch.tensor([0, 1]))
    given = replace(learning(field=Parting()), train=examples, test=examples)
    folder = trained(given, StepSize(steps=1), "midpoint")
    near = counted(folder, given, tmp_path, StepSize(steps=1), "midpoint", fine_steps=64, fine_solver="euler")
    assert near.values["crossings_fine"] == 0
    far = counted(folder, given, tmp_path, StepSize(steps=64), "midpoint", fine_steps=64, fine_solver="euler")
    assert far.values["crossings_fine"] > 0


def test_inputs_are_spread_over_the_test_set(trained, tmp_path):
    given = lesson(heights=tuple(np.linspace(-1, 1, 9).tolist()), labels=(0,) * 4 + (1,) * 5)
    found = counted(trained(given), given, tmp_path, trajectories=3, fine_steps=2)
    assert found.values["trajectories"] == 3
    starts = (found.series["on_grid"] == "own") & (found.series["time"] == 0)
    assert found.series["y"][starts] == pytest.approx([-1, 0, 1])
    assert found.series["class"][starts].tolist() == [0, 1, 1]


def test_a_trajectory_that_runs_away_ends_as_diverged(trained, tmp_path):
    given = lesson()
    folder = trained(given)
    with torch.no_grad():
        weights = torch.load(folder / "weights.pt", weights_only=True)
        weights["field"]["rate"] = torch.tensor(1e30)
        torch.save(weights, folder / "weights.pt")
    found = counted(folder, given, tmp_path, StepSize(steps=4), fine_steps=4)
    assert found.diverged == "A trajectory is not finite on the cell's own grid."
    assert isinstance(found.values["crossings_fine"], Unknown)


def test_what_has_no_plane_or_no_classes_is_refused(trained, tmp_path):
    given = lesson()
    folder = trained(given)
    solid = replace(given, test=Examples(inputs=torch.zeros(4, 3), targets=given.test.targets))
    with pytest.raises(IncompatibleError, match="a state of this model has 3 elements"):
        counted(folder, solid, tmp_path)
    valued = replace(given, test=Examples(inputs=given.test.inputs, targets=torch.zeros(4)))
    with pytest.raises(IncompatibleError, match="Use a model that classifies"):
        counted(folder, valued, tmp_path)
    with pytest.raises(IncompatibleError, match="takes steps of their own for each sample"):
        counted(folder, given, tmp_path, Tolerance(rtol=1e-3, atol=1e-3, batch="per-sample"), "dopri5")
    for options in ({"trajectories": 1}, {"fine_steps": 0}, {"fine_steps": 2.5}):
        with pytest.raises(IncompatibleError, match="must be a whole number of at least"):
            CountCrossings(**options)


def test_the_field_is_left_in_the_mode_that_it_was_in(trained, tmp_path):
    given = lesson()
    folder = trained(given)
    given.field.train()
    counted(folder, given, tmp_path, fine_steps=4)
    assert given.field.training
