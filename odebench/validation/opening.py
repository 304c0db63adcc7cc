"""A model and data from the names of functions and files, as the command line gets them. Opening them runs their code."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from odebench.contract import Examples, Learning
from odebench.errors import IncompatibleError, PluginError, nearest
from odebench.validation.data import examples_of
from odebench.validation.interception import routed

# The keys under which people put a state dict into a checkpoint.
_NESTED = ("state_dict", "model_state_dict", "model")


@contextlib.contextmanager
def ready_to_import() -> Iterator[None]:
    """Import modules from the working directory, and let those that they take from torchdiffeq be routers.

    torchdiffeq is imported here, where it is installed, so that its functions are replaced before anybody takes them.
    """
    here = str(Path.cwd())
    added = here not in sys.path
    if added:
        sys.path.insert(0, here)
    try:
        if importlib.util.find_spec("torchdiffeq") is not None:
            # Whether it is whole is the business of a model that uses it.
            with contextlib.suppress(ImportError):
                importlib.import_module("torchdiffeq")
        with routed():
            yield
    finally:
        if added:
            sys.path.remove(here)


def function_of(target: str, what: str) -> Callable[..., Any]:
    """The function that `package.module:name`, or `file.py:name`, names; importing the module runs its code.

    Args:
        target: the name.
        what: what it is for, for messages.

    Raises:
        PluginError: it names nothing that can be called, or its module cannot be imported.
    """
    place, colon, name = target.rpartition(":")
    if not colon or not place or not name:
        raise PluginError(
            f"{what} {target!r} is no name of a function. Write package.module:function, or file.py:function."
        )
    try:
        module = _file(Path(place)) if place.endswith(".py") else importlib.import_module(place)
    except ModuleNotFoundError as cause:
        if cause.name and (place == cause.name or place.startswith(cause.name + ".")):
            raise PluginError(
                f"{what} {target!r}: there is no module {cause.name!r} here. Modules are looked for in the working directory and "
                "where Python finds what is installed."
            ) from cause
        raise
    function: Any = module
    for part in name.split("."):
        if not hasattr(function, part):
            near = nearest(part, [known for known in vars(module) if not known.startswith("_")])
            hint = f" Did you mean {near!r}?" if near else ""
            raise PluginError(f"{what} {target!r}: {place} has no {part!r}.{hint}")
        function = getattr(function, part)
    if not callable(function):
        raise PluginError(f"{what} {target!r} is a {type(function).__name__}; it must be a function.")
    return function


def model_and_data(target: str) -> tuple[nn.Module | Learning, Any]:
    """What a factory, called without arguments, returns: a model, or a pair of a model and data; None where it has no data.

    Raises:
        PluginError: as `function_of`, or it returns something else.
    """
    made = function_of(target, "The factory")()
    model, data = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    if not isinstance(model, nn.Module | Learning):
        raise PluginError(
            f"The factory {target!r} returned a {type(made).__name__}; it must return a torch.nn.Module, or a pair of one and data."
        )
    return model, data


def load_checkpoint(model: nn.Module | Learning, path: Path) -> None:
    """Load weights into a model: a state dict, or one under a key such as "state_dict". Nothing but tensors is read.

    Raises:
        IncompatibleError: the file cannot be read, holds something else, or does not fit the model.
    """
    if not isinstance(model, nn.Module):
        raise IncompatibleError("A checkpoint is for a torch.nn.Module. Load it in the factory.")
    found = _torch_file(path, "checkpoint")
    for key in _NESTED:
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
            break
    if not isinstance(found, Mapping) or not all(isinstance(value, Tensor) for value in found.values()):
        raise IncompatibleError(f"{path}: holds no state dict. Save one: torch.save(model.state_dict(), path).")
    try:
        model.load_state_dict(dict(found))
    except RuntimeError as cause:
        raise IncompatibleError(f"{path}: does not fit the model. {cause}") from cause


def load_data(spec: str) -> Examples:
    """Inputs and targets: from `package.module:loader`, called without arguments, or from a .pt or .npz file.

    Files hold `inputs` and `targets`; nothing but numbers is read from them.

    Raises:
        PluginError: as `function_of`.
        IncompatibleError: the file cannot be read, or holds something else.
    """
    path = Path(spec)
    if path.suffix in (".pt", ".pth"):
        return examples_of(_torch_file(path, "data"))
    if path.suffix == ".npz":
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return examples_of({name: arrays[name] for name in arrays.files})
        except (OSError, ValueError) as cause:
            raise IncompatibleError(f"{spec}: cannot be read as data: {cause}") from cause
    if ":" not in spec:
        raise IncompatibleError(
            f"{spec!r} are no data. Give a .pt or .npz file with inputs and targets, or package.module:loader."
        )
    return examples_of(function_of(spec, "The data")())


def _torch_file(path: Path, what: str) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as cause:
        raise IncompatibleError(f"{path}: there is no such file.") from cause
    except Exception as cause:  # torch raises many kinds for a file that is not what it should be
        reason = str(cause).partition("\n")[0][:200]
        if found := re.search(r"Unsupported (?:global|class).*?([\w.]+\.\w+)", str(cause)):
            reason = f"it holds {found[1]}, and loading that would run code. Save torch.save(model.state_dict(), path) instead."
        raise IncompatibleError(
            f"{path}: cannot be read as {what}; only tensors, numbers, strings, lists and tables are: {reason}"
        ) from cause


def _file(path: Path) -> ModuleType:
    if not path.is_file():
        raise PluginError(f"{path}: there is no such file.")
    name = "odebench_validated_" + re.sub(r"\W", "_", path.stem)
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    module = importlib.util.module_from_spec(spec)
    # Classes look their module up, when they are copied for example.
    sys.modules[name] = module
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    spec.loader.exec_module(module)
    return module
