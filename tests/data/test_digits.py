"""The digits that ship with scikit-learn."""

from __future__ import annotations

import gzip
from types import SimpleNamespace

import pytest
import torch

from odebench import data
from odebench.data import DataError
from odebench.data import digits as module


def rows_of(examples) -> list[tuple[int, ...]]:
    pixels = (examples.inputs.flatten(1) * 16).round().long()
    return [(*row, target) for row, target in zip(pixels.tolist(), examples.targets.tolist(), strict=True)]


def test_both_parts_together_are_what_scikit_learn_loads():
    from sklearn.datasets import load_digits

    bunch = load_digits()
    expected = [
        (*row, target) for row, target in zip(bunch.data.astype(int).tolist(), bunch.target.tolist(), strict=True)
    ]
    loaded = data.load("digits", 0)
    assert sorted(rows_of(loaded.train) + rows_of(loaded.test)) == sorted(expected)
    assert (len(loaded.train), len(loaded.test)) == (1297, 500)


def test_pixels_are_scaled_and_every_class_is_in_both_parts():
    loaded = data.load("digits", 0)
    assert loaded.train.inputs.shape[1:] == loaded.shape == (1, 8, 8)
    for part in (loaded.train, loaded.test):
        assert (part.inputs.min().item(), part.inputs.max().item()) == (0.0, 1.0)
        assert part.targets.bincount(minlength=10).min() > 0.07 * len(part)


def test_the_split_is_the_same_for_every_seed_and_what_a_user_does_to_it_stays_with_him():
    first = data.load("digits", 0).test
    kept = first.inputs.clone()
    first.inputs.zero_()
    assert torch.equal(data.load("digits", 7).test.inputs, kept)


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """scikit-learn in a folder of the test's own: the path of its file."""
    path = tmp_path / "datasets" / "data" / "digits.csv.gz"
    path.parent.mkdir(parents=True)
    found = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(module.util, "find_spec", lambda name: found)
    return path


def test_without_scikit_learn_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(module.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match="pip install scikit-learn"):
        _ = data.load("digits", 0).train


def test_a_missing_a_torn_and_another_file_are_refused(elsewhere):
    with pytest.raises(DataError, match="cannot be read"):
        _ = data.load("digits", 0).train
    packed = gzip.compress(b"0,1,2\n" * 100)
    elsewhere.write_bytes(packed[:-10])
    with pytest.raises(DataError, match="cannot be read"):
        _ = data.load("digits", 0).train
    elsewhere.write_bytes(packed)
    with pytest.raises(DataError, match="not the file that this version knows"):
        _ = data.load("digits", 0).train


def test_pixels_can_become_squares():
    small, large = (data.load({"name": "digits", "size": size}, 0) for size in (8, 24))
    assert large.shape == large.test.inputs.shape[1:] == (1, 24, 24)
    for down in range(3):
        for right in range(3):
            assert torch.equal(large.test.inputs[:, :, down::3, right::3], small.test.inputs)
    assert torch.equal(large.test.targets, small.test.targets)
    with pytest.raises(DataError, match="multiple of 8"):
        data.load({"name": "digits", "size": 20}, 0)
