"""References kept on disk by their content, since they cost more than what they judge."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import inspect
import io
import json
import os
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from odebench.contract import Model, Problem, Reference, modules_of
from odebench.errors import NotKnownError

FOLDER_VARIABLE = "ODEBENCH_CACHE"
_SCHEMA = 1


def cache_folder() -> Path:
    """Where references are kept: `$ODEBENCH_CACHE/references`, else `odebench/references` in the user's cache folder."""
    chosen = os.environ.get(FOLDER_VARIABLE)
    if chosen:
        return Path(chosen) / "references"
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "odebench" / "references"


class ReferenceCache:
    """A folder of references, one file for each question.

    A file that cannot be read, or that answers another question, counts as missing. So does a folder that cannot be
    written to: a cache is an advantage, not a need. Reasons why nothing is known are kept too.

    Args:
        folder: where; None takes `cache_folder()`.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = cache_folder() if folder is None else Path(folder)

    def get(self, key: str, compute: Callable[[], Reference]) -> Reference:
        """The reference of this key, from its file or else computed and stored.

        Raises:
            NotKnownError: what `compute` raised, now or when it was asked first.
        """
        path = self.folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.npz"
        stored = _read(path, key)
        if isinstance(stored, str):
            raise NotKnownError(stored)
        if stored is not None:
            return stored
        try:
            reference = compute()
        except NotKnownError as error:
            _write(path, key, str(error))
            raise
        _write(path, key, reference)
        return reference


def problem_key(
    kind: str, model: Model, parameters: dict, version: str, seed: int, dtype: str, problem: Problem
) -> str:
    """What a reference depends on, as text: the question, the numbers in it, and the code that poses and answers it.

    Args:
        kind: which reference.
        model: the model.
        parameters: its parameters, JSON-able.
        version: of the distribution it comes from.
        seed: of the problem.
        dtype: to which the problem was rounded.
        problem: the rounded problem.
    """
    content = hashlib.sha256()
    leaves = problem.y0 if isinstance(problem.y0, tuple) else (problem.y0,)
    states = [problem.field.state_dict() if isinstance(problem.field, torch.nn.Module) else {}]
    if isinstance(problem.loss, torch.nn.Module):
        states.append(problem.loss.state_dict())
    for tensor in (*leaves, *(value for state in states for value in state.values())):
        content.update(repr((tuple(tensor.shape), tensor.dtype)).encode())
        content.update(tensor.detach().cpu().double().numpy().tobytes())
    classes = [type(model), type(problem.field), *(type(module) for module in modules_of(problem.field))]
    return json.dumps(
        {
            "schema": _SCHEMA,
            "kind": kind,
            "model": model.name,
            "parameters": parameters,
            "version": version,
            "seed": seed,
            "dtype": dtype,
            "ts": problem.ts,
            "loss_ts": problem.gradient_ts,
            "content": content.hexdigest(),
            "sources": sorted({_source_hash(cls) for cls in classes}),
            "method": _method_hash(),
        },
        sort_keys=True,
    )


def _source_hash(cls: type) -> str:
    """Hash of the folder of sources that a class comes from; empty for torch's own and for what has no file."""
    module = sys.modules.get(cls.__module__)
    file = getattr(module, "__file__", None)
    if file is None or cls.__module__.split(".")[0] == "torch":
        return ""
    return _file_hash(file)


@functools.cache
def _file_hash(file: str) -> str:
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()[:16]


@functools.cache
def _method_hash() -> str:
    """Hash of the code that computes references and of the built-in models' shared code."""
    from odebench.run import (
        flat_problem,
        reference,
        reference_collocation,
        reference_cost,
        reference_extrapolation,
        reference_scipy,
        replay,
        row_newton,
    )

    modules = (
        flat_problem, reference, reference_collocation, reference_cost,
        reference_extrapolation, reference_scipy, replay, row_newton,
    )  # fmt: skip
    text = "".join(_file_hash(inspect.getfile(module)) for module in modules)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _write(path: Path, key: str, found: Reference | str) -> None:
    arrays: dict[str, np.ndarray] = {"key": np.array(key)}
    if isinstance(found, str):
        arrays["reason"] = np.array(found)
    else:
        arrays["method"] = np.array(found.method)
        arrays["uncertainty"] = np.array(found.uncertainty)
        if isinstance(found.value, dict):
            arrays |= {f"name.{name}": value.numpy() for name, value in found.value.items()}
        elif isinstance(found.value, tuple):
            arrays |= {f"leaf.{i}": value.numpy() for i, value in enumerate(found.value)}
        else:
            arrays["tensor"] = found.value.numpy()
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        # A whole file or none, also where several processes write the same one.
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as stream:
                np.savez(stream, **arrays)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise


def _read(path: Path, key: str) -> Reference | str | None:
    try:
        # From memory: where a file is torn, NumPy leaves the handle that it opened to the garbage collector.
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        if str(arrays.pop("key")) != key:
            return None
        if "reason" in arrays:
            return str(arrays["reason"])
        method, uncertainty = str(arrays.pop("method")), float(arrays.pop("uncertainty"))
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    if "tensor" in tensors:
        value = tensors["tensor"]
    elif "leaf.0" in tensors:
        value = tuple(tensors[f"leaf.{i}"] for i in range(len(tensors)))
    else:
        value = {name.removeprefix("name."): tensor for name, tensor in tensors.items()}
    return Reference(value=value, uncertainty=uncertainty, method=method)
