"""References are kept by their content, and a damaged file costs a computation and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from odebench.contract import Reference
from odebench.errors import NotKnownError
from odebench.run.reference_cache import ReferenceCache, cache_folder, problem_key
from tests.models.every import BY_NAME

VALUES = {
    "tensor": torch.arange(6, dtype=torch.float64).reshape(3, 2),
    "tuple": (torch.ones(2, 1, dtype=torch.float64), torch.zeros(2, 3, dtype=torch.float64)),
    "gradients": {"grad_y0": torch.ones(2, dtype=torch.float64), "grad_params": torch.zeros(0, dtype=torch.float64)},
}


class Counter:
    """Computes a reference, and counts how often."""

    def __init__(self, value) -> None:
        self.value = value
        self.calls = 0

    def __call__(self) -> Reference:
        self.calls += 1
        return Reference(value=self.value, uncertainty=1.25e-13, method="made up")


def key_of(
    seed: int = 0, dtype: torch.dtype = torch.float64, kind: str = "gradient", name: str = "logistic", **parameters
):
    model = BY_NAME[name](**parameters)
    problem = model.problem(seed).to(dtype, "cpu")
    return problem_key(kind, model, parameters, "1", seed, str(dtype), problem)


@pytest.mark.parametrize("kind", VALUES)
def test_a_reference_is_computed_once_and_comes_back_as_it_was(kind, tmp_path):
    compute = Counter(VALUES[kind])
    first = ReferenceCache(tmp_path).get("question", compute)
    again = ReferenceCache(tmp_path).get("question", compute)
    assert compute.calls == 1
    assert (again.method, again.uncertainty) == (first.method, first.uncertainty)
    if kind == "tensor":
        assert torch.equal(again.value, first.value)
    elif kind == "tuple":
        assert all(torch.equal(a, b) for a, b in zip(again.value, first.value, strict=True))
    else:
        assert list(again.value) == ["grad_y0", "grad_params"]
        assert all(torch.equal(again.value[name], first.value[name]) for name in first.value)


def test_another_question_is_another_file(tmp_path):
    compute = Counter(VALUES["tensor"])
    for question in ("one", "two"):
        ReferenceCache(tmp_path).get(question, compute)
    assert compute.calls == 2
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 torn", b"not a zip at all"])
def test_a_damaged_file_is_computed_again(damage, tmp_path):
    compute = Counter(VALUES["tensor"])
    ReferenceCache(tmp_path).get("question", compute)
    (file,) = tmp_path.iterdir()
    file.write_bytes(damage)
    again = ReferenceCache(tmp_path).get("question", compute)
    assert compute.calls == 2
    assert torch.equal(again.value, VALUES["tensor"])


def test_half_a_file_is_computed_again(tmp_path):
    compute = Counter(VALUES["tensor"])
    ReferenceCache(tmp_path).get("question", compute)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    ReferenceCache(tmp_path).get("question", compute)
    assert compute.calls == 2


def test_a_file_with_a_pickle_in_it_is_not_opened(tmp_path):
    compute = Counter(VALUES["tensor"])
    ReferenceCache(tmp_path).get("question", compute)
    (file,) = tmp_path.iterdir()
    np.savez(file, key=np.array("question"), method=np.array("x"), uncertainty=np.array([object()], dtype=object))
    ReferenceCache(tmp_path).get("question", compute)
    assert compute.calls == 2


def test_a_file_that_answers_another_question_is_not_believed(tmp_path):
    compute = Counter(VALUES["tensor"])
    ReferenceCache(tmp_path).get("one", compute)
    (one,) = tmp_path.iterdir()
    ReferenceCache(tmp_path).get("two", compute)
    (two,) = set(tmp_path.iterdir()) - {one}
    two.write_bytes(one.read_bytes())
    ReferenceCache(tmp_path).get("two", compute)
    assert compute.calls == 3


def test_why_nothing_is_known_is_kept_too(tmp_path):
    calls = []

    def compute() -> Reference:
        calls.append(1)
        raise NotKnownError("It costs too much.")

    for _ in range(2):
        with pytest.raises(NotKnownError, match="It costs too much."):
            ReferenceCache(tmp_path).get("question", compute)
    assert len(calls) == 1


def test_a_folder_that_cannot_be_written_costs_only_time(tmp_path):
    (tmp_path / "file").write_text("in the way")
    compute = Counter(VALUES["tensor"])
    found = ReferenceCache(tmp_path / "file" / "folder").get("question", compute)
    assert torch.equal(found.value, VALUES["tensor"])


def test_no_temporary_files_stay(tmp_path):
    ReferenceCache(tmp_path).get("question", Counter(VALUES["tensor"]))
    assert [path.suffix for path in tmp_path.iterdir()] == [".npz"]


def test_the_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("ODEBENCH_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path / "references"
    monkeypatch.delenv("ODEBENCH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "odebench" / "references"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "odebench" / "references"


def test_the_key_follows_what_the_answer_depends_on():
    keys = [
        key_of(),
        key_of(seed=1),
        key_of(dtype=torch.float32),
        key_of(kind="solution"),
        key_of(rate=2.0),
        key_of(span=2.0),
        key_of(outputs=3),
        key_of(batch=3),
        key_of(name="relu-decay"),
    ]
    assert len(set(keys)) == len(keys)
    assert key_of() == keys[0]


def test_the_key_follows_the_weights_and_what_the_loss_holds():
    model = BY_NAME["latent-irregular"](batch=2)
    problem = model.problem(0)

    def key() -> str:
        return problem_key("gradient", model, {}, "1", 0, "float64", problem)

    first = key()
    problem.loss.targets[0, 0, 0] += 1.0
    second = key()
    with torch.no_grad():
        problem.field.net[0].bias[0] += 1.0
    assert len({first, second, key()}) == 3
