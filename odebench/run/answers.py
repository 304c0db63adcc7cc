"""An answer as a plugin gave it: checked, and laid on disk for the judge."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from odebench.contract import Answer, Grid
from odebench.errors import DivergedError, MeasurementError

ANSWER_FILE = "answer.json"


def check_tensors(answer: Answer, device: torch.device, dtype: torch.dtype) -> None:
    """Raise where the answer holds anything but ordinary tensors with finite values.

    Raises:
        MeasurementError: a lazy or wrapped tensor, one on another device, or one in another dtype.
        DivergedError: a value that is not finite.
    """
    for name, tensor in answer.states.items():
        if type(tensor) not in (Tensor, torch.nn.Parameter):
            kind = type(tensor).__name__
            raise MeasurementError(
                f"Its {name} is a {kind}, no plain tensor: what it costs to have the values cannot be told."
            )
        if tensor.layout is not torch.strided or tensor.device.type != device.type:
            raise MeasurementError(
                f"Its {name} is {tensor.layout} on {tensor.device}; it must be a dense tensor on {device}."
            )
        if tensor.dtype != dtype and name != "loss":  # A loss of half types may well be float32.
            raise MeasurementError(f"Its {name} has dtype {tensor.dtype}; the cell's is {dtype}.")
    for name, tensor in answer.states.items():
        if not torch.isfinite(tensor).all():
            raise DivergedError(f"{_words(name)} is not finite.")


def check_shapes(states: dict[str, Tensor], leaves: Iterable[Tensor]) -> None:
    """Raise where `ys` does not hold states of the problem's shape at some times.

    Raises:
        MeasurementError: with both shapes.
    """
    ys = [tensor for name, tensor in states.items() if name.partition(".")[0] == "ys"]
    for got, y0 in zip(ys, leaves, strict=bool(ys)):
        if got.shape[1:] != y0.shape:
            raise MeasurementError(
                f"Its ys has shape {tuple(got.shape)}; it must be (times, *{tuple(y0.shape)}) for the initial state."
            )


def grid_bytes(grid: Grid | None) -> int | None:
    """Bytes of the steps' own data; None where the solver does not tell its steps."""
    return None if grid is None else sum(t.untyped_storage().nbytes() for t in (grid.t, grid.dt))


def save_answer(answer: Answer, folder: Path) -> None:
    """Lay the answer's tensors and grid in `folder` as `.npy` files; half types as float32, which holds them exactly."""
    arrays = dict(answer.states)
    about: dict[str, Any] = {"states": sorted(arrays), "end": None}
    if answer.grid is not None:
        arrays |= {"grid.t": answer.grid.t, "grid.dt": answer.grid.dt}
        about["end"] = float(answer.grid.end)
    files = {name: f"{index}.npy" for index, name in enumerate(arrays)}
    for name, tensor in arrays.items():
        tensor = tensor.detach().cpu()
        tensor = tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
        np.save(folder / files[name], tensor.numpy(), allow_pickle=False)
    (folder / ANSWER_FILE).write_text(json.dumps(about | {"files": files}), encoding="utf-8")


def load_answer(folder: Path) -> tuple[dict[str, Tensor], Grid | None]:
    """What `save_answer` laid in `folder`, states in float64 on CPU.

    Raises:
        MeasurementError: an array is not one of numbers: somebody else wrote it.
    """
    about = json.loads((folder / ANSWER_FILE).read_text(encoding="utf-8"))

    def array(name: str) -> Tensor:
        values = np.load(folder / about["files"][name], allow_pickle=False)
        if values.dtype.kind != "f":
            raise MeasurementError(f"The answer's {name} holds {values.dtype}, no floating-point numbers.")
        return torch.from_numpy(values).double()

    states = {name: array(name) for name in about["states"]}
    if about["end"] is None:
        return states, None
    if not math.isfinite(about["end"]):
        raise MeasurementError(f"The answer's grid ends at {about['end']}.")
    return states, Grid(t=array("grid.t"), dt=array("grid.dt"), end=about["end"])


def _words(name: str) -> str:
    kind = name.partition(".")[0]
    words = {
        "ys": "The solution",
        "returned": "The state after the round trip",
        "loss": "The loss",
        "grad_y0": "The gradient in y0",
    }
    return words.get(kind, "The gradient in the parameters" if kind == "grad_params" else f"Its {kind}")
