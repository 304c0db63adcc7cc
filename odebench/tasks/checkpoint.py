"""State of a training on disk: torch's own format, and nothing in it that could run when it is read."""

from __future__ import annotations

import hashlib
import io
import os
import random
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from odebench.contract import Grid, GridRequest, StepSize, Tolerance
from odebench.contract.study import CHECKPOINT, Workplace

_NEWEST, _BEFORE = f"{CHECKPOINT}.pt", f"{CHECKPOINT}-before.pt"


class Unreadable(Exception):  # noqa: N818 - caught by whoever asks for the file, and told as a note
    """A file is not what was written: cut short, edited, or of another program."""


def save_checkpoint(workplace: Workplace, state: Mapping[str, Any]) -> None:
    """Write the newest state, and keep the one before it, for a disk that breaks what it was given."""
    newest = workplace.folder / _NEWEST
    if newest.exists():
        os.replace(newest, workplace.folder / _BEFORE)
    workplace.write(_NEWEST, encoded(state))


def load_checkpoint(workplace: Workplace, notes: list[str]) -> dict[str, Any] | None:
    """The last state that can be read; None where there is none.

    One that cannot be read is put aside, to be looked at, and `notes` says so.
    """
    for name in (_NEWEST, _BEFORE):
        file = workplace.folder / name
        try:
            return read(file)
        except FileNotFoundError:
            continue
        except Unreadable as error:
            aside = file.with_name(f"broken-{name}")
            os.replace(file, aside)
            notes.append(
                f"{name} cannot be read ({error}), and was put aside as {aside.name}: the training went on without it."
            )
    return None


def encoded(state: Any) -> bytes:
    """Tensors, numbers, texts, lists and tables of them as the bytes of a file."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def read(file: Path) -> Any:
    """What `encoded` wrote; nothing in the file is run.

    Raises:
        FileNotFoundError: there is none.
        Unreadable: it is broken.
    """
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise
    except Exception as error:
        raise Unreadable(" ".join(str(error).split())[:200] or type(error).__name__) from error


def digest(states: Mapping[str, Mapping[str, Any]]) -> str:
    """SHA-256 over names, shapes, types and values of state dicts, hexadecimal."""
    found = hashlib.sha256()
    for owner, state in states.items():
        for name, value in state.items():
            if isinstance(value, Tensor):
                plain = value.detach().cpu().contiguous()
                found.update(f"{owner}.{name} {plain.dtype} {tuple(plain.shape)}\n".encode())
                found.update(plain.reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def random_state(device: torch.device) -> dict[str, Any]:
    """What all generators of this process will draw next."""
    name, keys, place, has_gauss, gauss = np.random.get_state()
    state: dict[str, Any] = {
        "torch": torch.get_rng_state(),
        "python": random.getstate(),
        "numpy": [name, torch.from_numpy(keys.astype(np.int64)), int(place), int(has_gauss), float(gauss)],
    }
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def restore_random_state(state: Mapping[str, Any], device: torch.device) -> None:
    """Have the generators go on where `random_state` was called."""
    torch.set_rng_state(state["torch"])
    version, keys, gauss = state["python"]
    random.setstate((version, tuple(keys), gauss))
    name, words, *rest = state["numpy"]
    np.random.set_state((name, words.numpy().astype(np.uint32), *rest))
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)


_KINDS: dict[str, type] = {"StepSize": StepSize, "Tolerance": Tolerance, "Grid": Grid}


def grid_to_plain(grid: GridRequest) -> dict[str, Any]:
    """A grid as a table that a checkpoint can hold."""
    if isinstance(grid, Grid):
        return {"kind": "Grid", "t": grid.t, "dt": grid.dt, "end": grid.end}
    return {"kind": type(grid).__name__} | asdict(grid)


def grid_from_plain(table: Mapping[str, Any]) -> GridRequest:
    """The grid that `grid_to_plain` took apart."""
    return _KINDS[table["kind"]](**{key: value for key, value in table.items() if key != "kind"})
