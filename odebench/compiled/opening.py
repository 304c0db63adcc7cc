"""Programs in files, opened without the compiler."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from odebench.compiled.adaptive import Adaptive
from odebench.compiled.fused.build import Kernel
from odebench.compiled.fused.programs import reopened
from odebench.compiled.replay import Replay
from odebench.compiled.watch import Watch
from odebench.errors import CompileError

LOOP = ".pt2"
"""The suffix of a loop; every other program is a kernel, whose library has the suffix of its system."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A program in a file.

    Attributes:
        kind: what it does, as `kind_of` tells it.
        file: its machine code.
        text: the C++ that a kernel was made of; None for a loop. Nothing reads it but people.
    """

    kind: tuple[Any, ...]
    file: str
    text: str | None = None


def kind_of(function: Replay | Adaptive) -> tuple[Any, ...]:
    """What a program does; those of one solver differ in nothing else."""
    if isinstance(function, Adaptive):
        return "adaptive", function.outputs, function.keep, function.guess
    return "replay", function.outputs, function.emission.inside, function.keep


class Opened:
    """The programs of a solver that was read from a file, by the functions that they stand for.

    Raises:
        CompileError: one of them cannot be opened.
    """

    def __init__(self, folder: Path, entries: Sequence[Entry]) -> None:
        self.entries = list(entries)
        # All at once: a damaged file is refused where it is read.
        self._programs = {entry.kind: _opened(folder / entry.file) for entry in entries}

    def __call__(self, function: Replay | Adaptive) -> Callable[..., Any]:
        program = self._programs.get(kind_of(function), _missing)
        return (
            telling("kernel", reopened(function, program)) if isinstance(program, Kernel) else telling("loop", program)
        )


def telling(form: str, run: Callable[..., Any]) -> Callable[..., Any]:
    """A program that says what it runs as, as those do that are compiled where they are called."""

    def call(*arguments: Any) -> Any:
        Watch.ran(form)
        return run(*arguments)

    return call


def _opened(file: Path) -> Callable[..., Any]:
    try:
        return opened_loop(file) if file.suffix == LOOP else Kernel(file)
    except (OSError, AttributeError, RuntimeError) as cause:
        raise CompileError(f"{file.name} in it cannot be opened ({cause}). Compile it again here.") from cause


def _missing(*_: Any) -> Any:
    raise CompileError(
        "The compiled solver has no program for this: steps that follow a tolerance and steps that are given, output times "
        "between the ends and none, are programs of their own. Compile one with `compile_solver` and such arguments."
    )


def opened_loop(file: Path) -> Callable[..., Any]:
    """The loop that was compiled into a file.

    `torch._inductor.aoti_load_package` gives the same, and imports the whole compiler to do so, which takes longer than all else.
    """
    loader = torch._C._aoti.AOTIModelPackageLoader(str(file), "model", False, 1, -1)
    given, returned = (pytree.treespec_loads(text) for text in loader.get_call_spec())

    def run(*arguments: Any) -> Any:
        flat, found = pytree.tree_flatten((arguments, {}))
        if found != given:
            raise CompileError("The program was compiled for arguments of another structure. Compile the solver again.")
        return pytree.tree_unflatten(loader.run([leaf for leaf in flat if isinstance(leaf, Tensor)]), returned)

    return run
