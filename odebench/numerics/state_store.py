"""Where checkpointed states lie: in memory, and, beyond a number of them, in a second store that is slower and larger."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path
from typing import Literal, Protocol

import torch
from torch import Tensor

from odebench.errors import IncompatibleError

State = tuple[Tensor, ...]


class SecondStore(Protocol):
    """Keeps states by the number of their step."""

    def put(self, step: int, state: State) -> None:
        """Keep a copy of `state`."""

    def get(self, step: int) -> State:
        """A copy of what was put, where it was when it was put."""

    def drop(self, step: int) -> None:
        """Forget it."""


class StateStore:
    """States by the number of their step. Those that a backward pass needs last are the first to leave memory: the earliest.

    Args:
        near: how many states may lie in memory; None sets no limit.
        second: where the others go, "host" (page-locked memory of the host, from an accelerator) or "disk"; None keeps all.
    """

    def __init__(self, near: int | None = None, second: Literal["host", "disk"] | None = None) -> None:
        self._near: dict[int, State] = {}
        self._limit = near if second is not None else None
        self._far: set[int] = set()
        self._second: SecondStore | None = None if second is None else {"host": HostMemory, "disk": Disk}[second]()

    def put(self, step: int, state: State) -> None:
        """Keep `state`: itself, and no copy of it, while it lies in memory."""
        self._near[step] = state
        while self._limit is not None and len(self._near) > self._limit:
            earliest = min(self._near)
            self._second.put(earliest, self._near.pop(earliest))
            self._far.add(earliest)

    def get(self, step: int) -> State:
        """What was put."""
        return self._second.get(step) if step in self._far else self._near[step]

    def drop(self, step: int) -> None:
        """Forget it."""
        if step in self._far:
            self._far.remove(step)
            self._second.drop(step)
        else:
            del self._near[step]


class HostMemory:
    """Page-locked memory of the host, so that copies go on while the accelerator computes."""

    def __init__(self) -> None:
        self._kept: dict[int, tuple[State, torch.device]] = {}

    def put(self, step: int, state: State) -> None:
        """As `SecondStore.put` says.

        Raises:
            IncompatibleError: the state lies there already.
        """
        if state[0].device.type == "cpu":
            raise IncompatibleError(
                "The states lie in the host's memory, so they cannot be moved there. Use 'disk', or more slots."
            )
        pinned = [torch.empty(leaf.shape, dtype=leaf.dtype, device="cpu", pin_memory=True) for leaf in state]
        for copy, leaf in zip(pinned, state, strict=True):
            copy.copy_(leaf, non_blocking=True)
        self._kept[step] = tuple(pinned), state[0].device

    def get(self, step: int) -> State:
        """As `SecondStore.get` says."""
        state, device = self._kept[step]
        return tuple(leaf.to(device, non_blocking=True) for leaf in state)

    def drop(self, step: int) -> None:
        """As `SecondStore.drop` says."""
        del self._kept[step]


class Disk:
    """A temporary folder, which goes when this does; `TMPDIR` says where it lies."""

    def __init__(self) -> None:
        self._folder: Path | None = None

    def put(self, step: int, state: State) -> None:
        """As `SecondStore.put` says."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="odebench-states-"))
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        # Clones, lest the whole storage of a view be written.
        torch.save(tuple(leaf.clone() for leaf in state), self._file(step))

    def get(self, step: int) -> State:
        """As `SecondStore.get` says."""
        return torch.load(self._file(step), weights_only=True)

    def drop(self, step: int) -> None:
        """As `SecondStore.drop` says."""
        self._file(step).unlink()

    def _file(self, step: int) -> Path:
        return self._folder / f"{step}.pt"
