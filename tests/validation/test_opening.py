"""Models, weights and data from names and files: what they are, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from odebench.errors import IncompatibleError, OdebenchError, PluginError
from odebench.validation.opening import function_of, load_checkpoint, load_data, model_and_data, ready_to_import
from tests.validation.turning import Turning, clear


class Evil:
    """What a pickle would run."""

    def __reduce__(self):
        return exec, ("raise SystemExit('ran')",)


def test_a_function_is_found_by_its_name_in_a_module_and_in_a_file(tmp_path):
    assert function_of("tests.validation.turning:Turning", "It") is Turning
    assert function_of("tests.validation.turning:Turning.field", "It") is Turning.field
    file = tmp_path / "net.py"
    file.write_text("import torch\nfrom beside import WIDTH\n\n\ndef make():\n    return torch.nn.Linear(WIDTH, 2)\n")
    (tmp_path / "beside.py").write_text("WIDTH = 7\n")
    model, data = model_and_data(f"{file}:make")
    assert model.in_features == 7 and data is None


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("tests.validation.turning", "no name of a function"),
        ("tests.validation.turnin:x", "no module 'tests.validation.turnin'"),
        ("tests.validation.turning:Turnin", "has no 'Turnin'. Did you mean 'Turning'"),
        ("tests.validation.turning:ANGLE", "is a float"),
        ("nowhere.py:make", "there is no such file"),
    ],
)
def test_names_of_nothing_are_refused(target, words):
    with pytest.raises(PluginError, match=words):
        function_of(target, "The factory")


def test_a_module_whose_own_imports_fail_says_so_itself(tmp_path, monkeypatch):
    (tmp_path / "broken_net.py").write_text("import a_library_that_is_not_there\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="a_library_that_is_not_there"):
        function_of("broken_net:make", "The factory")


def test_modules_of_the_working_directory_can_be_imported(tmp_path, monkeypatch):
    (tmp_path / "net_of_here.py").write_text("def make():\n    return 1\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [path for path in __import__("sys").path if path not in ("", str(tmp_path))])
    with pytest.raises(PluginError, match="no module"):
        function_of("net_of_here:make", "The factory")
    with ready_to_import():
        assert function_of("net_of_here:make", "The factory")() == 1


def test_a_factory_of_something_else_is_refused():
    with pytest.raises(PluginError, match="returned a tuple; it must return a torch.nn.Module"):
        model_and_data("tests.validation.turning:clear")


@pytest.mark.parametrize(
    "wrap", [lambda state: state, lambda state: {"state_dict": state, "epoch": 3}, lambda state: {"model": state}]
)
def test_weights_are_loaded(tmp_path, wrap):
    saved, model = Turning(), Turning()
    with torch.no_grad():
        saved.rate.fill_(0.25)
    torch.save(wrap(saved.state_dict()), tmp_path / "weights.pt")
    load_checkpoint(model, tmp_path / "weights.pt")
    assert model.rate.item() == 0.25


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([1, 2], "holds no state dict"),
        ({"rate": torch.zeros(3)}, "does not fit the model.*size mismatch"),
        ({"other": torch.zeros(())}, "does not fit the model"),
        (Evil(), "cannot be read as checkpoint"),
        (
            Turning(),
            r"it holds \S*turning\.Turning, and loading that would run code. Save torch.save\(model.state_dict",
        ),
    ],
)
def test_other_checkpoints_are_refused(tmp_path, content, words):
    torch.save(content, tmp_path / "weights.pt")
    with pytest.raises(IncompatibleError, match=f"(?s){words}"):
        load_checkpoint(Turning(), tmp_path / "weights.pt")


def test_a_file_that_is_none_is_refused(tmp_path):
    with pytest.raises(IncompatibleError, match="there is no such file"):
        load_checkpoint(Turning(), tmp_path / "weights.pt")
    (tmp_path / "weights.pt").write_bytes(b"nonsense")
    with pytest.raises(IncompatibleError, match="cannot be read as checkpoint"):
        load_checkpoint(Turning(), tmp_path / "weights.pt")


def test_data_are_read_from_files_and_functions(tmp_path):
    inputs, targets = clear(30)
    torch.save({"inputs": inputs, "targets": targets}, tmp_path / "a.pt")
    torch.save([inputs, targets], tmp_path / "b.pt")
    np.savez(tmp_path / "c.npz", inputs=inputs.numpy(), targets=targets.numpy())
    for name in ("a.pt", "b.pt", "c.npz"):
        found = load_data(str(tmp_path / name))
        assert torch.equal(found.inputs, inputs) and torch.equal(found.targets, targets)
    assert len(load_data("tests.validation.turning:clear")) == 1000


def test_other_data_are_refused(tmp_path):
    np.savez(tmp_path / "objects.npz", inputs=np.array([Evil()], dtype=object), targets=np.zeros(1))
    torch.save({"inputs": Evil(), "targets": torch.zeros(1)}, tmp_path / "evil.pt")
    np.savez(tmp_path / "names.npz", x=np.zeros(1), y=np.zeros(1))
    for name, words in (
        ("objects.npz", "allow_pickle"),
        ("evil.pt", "cannot be read as data"),
        ("names.npz", "no inputs and no targets; their keys are \\['x', 'y'\\]"),
        ("missing.npz", "cannot be read as data"),
        ("missing.csv", "are no data"),
    ):
        with pytest.raises(IncompatibleError, match=words):
            load_data(str(tmp_path / name))


def test_only_a_module_takes_a_checkpoint(tmp_path):
    with pytest.raises(OdebenchError, match="A checkpoint is for"):
        load_checkpoint(object(), tmp_path / "weights.pt")
    assert isinstance(model_and_data("tests.validation.turning:model_only")[0], nn.Module)
