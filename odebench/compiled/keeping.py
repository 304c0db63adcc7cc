"""Programs that are compiled into files."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from odebench.compiled import program
from odebench.compiled.adaptive import Adaptive
from odebench.compiled.field_graph import told
from odebench.compiled.fresh import numbers_are_constant
from odebench.compiled.fused.expressions import NotByRowError
from odebench.compiled.opening import LOOP, Entry, kind_of, opened_loop, telling
from odebench.compiled.replay import Replay
from odebench.errors import CompileError, OdebenchError


class Kept:
    """Makes programs of functions and keeps them in a folder.

    Attributes:
        entries: those that were made.
    """

    def __init__(self, folder: Path) -> None:
        self.entries: list[Entry] = []
        self._folder = folder

    def __call__(self, function: Replay | Adaptive) -> Callable[..., Any]:
        """The program of this function, made at its first call, as a program's arguments say what it is compiled for."""
        made: list[Callable[..., Any]] = []

        def call(*arguments: Any) -> Any:
            if not made:
                made.append(self._kernel(function, arguments) or self._loop(function, arguments))
            return made[0](*arguments)

        return call

    def _kernel(self, function: Replay | Adaptive, arguments: tuple[Any, ...]) -> Callable[..., Any] | None:
        """A kernel; None where the field allows none, or where its state is on a GPU: kernels for these are not kept in files."""
        from odebench.compiled.fused import programs

        if not program.FUSED or any(isinstance(given, Tensor) and not given.is_cpu for given in arguments):
            return None
        try:
            kernel = programs.fused(function, arguments)
        except NotByRowError:
            return None
        name = f"program-{len(self.entries)}"
        entry = Entry(kind=kind_of(function), file=name + kernel.run.file.suffix, text=f"{name}.cpp")
        shutil.copyfile(kernel.run.file, self._folder / entry.file)
        (self._folder / entry.text).write_text(kernel.run.source, encoding="utf-8")
        self.entries.append(entry)
        return telling("kernel", kernel)

    def _loop(self, function: Replay | Adaptive, arguments: tuple[Any, ...]) -> Callable[..., Any]:
        entry = Entry(kind=kind_of(function), file=f"program-{len(self.entries)}{LOOP}")
        file = self._folder / entry.file
        free = pytree.tree_map(_free_dimensions, arguments)
        try:
            with torch.no_grad(), numbers_are_constant(), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # those of the compiler about itself
                exported = torch.export.export(_Module(function), arguments, dynamic_shapes=(free,), strict=True)
                torch._inductor.aoti_compile_and_package(exported, package_path=str(file))
                run = opened_loop(file)
        except OdebenchError:
            raise
        except Exception as cause:
            raise CompileError(f"The solve cannot be compiled ahead of time: {told(cause)}") from cause
        self.entries.append(entry)
        return telling("loop", run)


class _Module(nn.Module):
    """A function as what `torch.export` takes."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self._function = function

    def forward(self, *arguments: Any) -> Any:
        return self._function(*arguments)


def _free_dimensions(value: Any) -> dict[int, Any] | None:
    """The dimensions of a tensor that `program.free` has marked."""
    if not isinstance(value, Tensor):
        return None
    from torch.export import Dim

    return dict.fromkeys(getattr(value, "_dynamo_weak_dynamic_indices", ()), Dim.AUTO) or None
