"""Compiled solves that are kept in a file, and run in another process without being compiled again."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import odebench
from odebench import api
from odebench.compiled.description import described, restored
from odebench.compiled.march import Solved, solve_adaptively, solve_on_grid
from odebench.compiled.opening import Entry, Opened
from odebench.compiled.processor import processor
from odebench.compiled.setting import Setting, remember, setting_of
from odebench.compiled.solver_file import FORMAT, read, write
from odebench.compiled.watch import Watch
from odebench.contract import Field, GridRequest, Solution, State, Tolerance
from odebench.errors import CompileError
from odebench.numerics.outputs import checked_times


def compile_solver(
    field: Field,
    y0: State,
    ts: Sequence[float] | Tensor,
    *,
    solver: api.Named = api.DEFAULT_SOLVER,
    rtol: float | None = None,
    atol: float | None = None,
    batch: str = "joint",
    steps: int | None = None,
    step_size: float | None = None,
) -> CompiledSolver:
    """Compile the solves of a field ahead of time: without their gradient, and without what made the field.

    On the CPU, a field that treats each row by itself becomes a kernel, as in `odebench.solve(…, compile=True)`; every other
    becomes a loop.

    Arguments as `odebench.solve`'s. The state is an example: another batch of at least two rows will do. So will other times,
    tolerances and numbers of steps of the same kind: with steps that follow a tolerance or that are given, with output times
    between the ends or without.

    Raises:
        CompileError: the solver or the field has no compiled form.
        GridError, IncompatibleError: as `odebench.solve`.
    """
    # Where nothing is compiled, this needs not be there.
    from odebench.compiled.keeping import Kept

    if not isinstance(solver, str | dict):
        raise CompileError(
            "compile_solver needs the name of the solver, or a table with it, since the file is read where no object of this "
            f"process is; got a {type(solver).__name__}."
        )
    built = api.build("solver", solver)
    request = api.grid_request(built, rtol, atol, batch, steps, step_size)
    times = checked_times(ts)
    setting = setting_of(built, field, y0, times, request)
    folder = Path(tempfile.mkdtemp(prefix="odebench-"))
    kept = Kept(folder)
    setting = replace(setting, graph=setting.graph.translated_by(kept), programs={})
    parameters = {} if isinstance(solver, str) else {key: value for key, value in solver.items() if key != "name"}
    setting = setting.with_tensors(setting.plain_tensors)
    compiled = CompiledSolver(parameters=parameters, setting=setting, entries=kept.entries, folder=folder)
    compiled(y0, times, request=request)
    return compiled


def load_solver(path: str | Path) -> CompiledSolver:
    """The solver that `CompiledSolver.save` wrote.

    The file holds machine code, which is run: load what you, or somebody whom you trust, have written.

    Raises:
        CompileError: the file is not there, is damaged or of another kind, or was written by another version of torch or for
            another processor.
    """
    path, folder = Path(path), Path(tempfile.mkdtemp(prefix="odebench-"))
    try:
        description, tensors = read(path, folder)
        entries = [
            Entry(kind=tuple(entry["kind"]), file=entry["file"], text=entry.get("text"))
            for entry in description["programs"]
        ]
        try:
            programs = Opened(folder, entries)
        except CompileError as cause:
            raise CompileError(f"{path}: {cause}") from cause
        setting = restored(description, tensors, programs)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    parameters = description["solver"]["parameters"]
    return CompiledSolver(parameters=parameters, setting=setting, entries=entries, folder=folder)


class CompiledSolver:
    """Solves of one field, compiled ahead of time; made by `compile_solver` and `load_solver`."""

    def __init__(self, *, parameters: dict[str, Any], setting: Setting, entries: Sequence[Entry], folder: Path) -> None:
        self._parameters, self._setting, self._entries, self._folder = parameters, setting, entries, folder
        self._settings: dict[Any, Setting] = {}
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)

    @property
    def tensors(self) -> tuple[Any, ...]:
        """What the field uses, its parameters among them, in the order of its graph. Solves read them: change them in place to
        solve with other weights."""
        return self._setting.tensors

    def __call__(
        self,
        y0: State,
        ts: Sequence[float] | Tensor,
        *,
        rtol: float | None = None,
        atol: float | None = None,
        steps: int | None = None,
        step_size: float | None = None,
        request: GridRequest | None = None,
    ) -> Solution:
        """The states at `ts`; without a graph.

        Raises:
            CompileError: what is asked for was not compiled: another kind of steps or output times, dtype or shape of the state.
            GridError, DivergedError: as `odebench.solve`.
        """
        before = Watch.begin()
        if request is None:
            batch = "per-sample" if self._setting.lanes.by_row else "joint"
            steps_given = steps is not None or step_size is not None
            request = api.grid_request(
                self._setting.solver, rtol, atol, "joint" if steps_given else batch, steps, step_size
            )
        with torch.no_grad():
            leaves = y0 if isinstance(y0, tuple) else (y0,)
            setting = self._setting_for(leaves, isinstance(y0, tuple))
            packing = setting.packing
            y = packing.pack(y0).detach().contiguous()
            solve = solve_adaptively if isinstance(request, Tolerance) else solve_on_grid
            solved: Solved = solve(setting, y, checked_times(ts), request, False)
        Watch.tell(solved.stats, before)
        return Solution(ys=packing.unpack_outputs(solved.ys), grid=solved.grid, stats=solved.stats)

    def _setting_for(self, leaves: Sequence[Tensor], is_tuple: bool) -> Setting:
        """The setting for a state of this batch; kept, since its checks take longer than a small solve."""
        key = (is_tuple, *((leaf.shape, leaf.dtype, leaf.device) for leaf in leaves))
        known = self._settings.get(key)
        if known is None:
            known = self._setting.for_state(leaves, is_tuple)
            remember(self._settings, key, known)
        return known

    def save(self, path: str | Path) -> None:
        """Write everything that a solve needs to one file; `odebench.load_solver` reads it, on a processor that has all
        instructions of this one. Beside a kernel's machine code lies the C++ that it was made of, for people to read.

        Raises:
            OSError: the file cannot be written.
        """
        description = {
            "format": FORMAT,
            "odebench": odebench.__version__,
            "torch": torch.__version__,
            "processor": processor(),
            **described(self._setting, self._parameters),
            "programs": [asdict(entry) for entry in self._entries],
        }
        files = [name for entry in self._entries for name in (entry.file, entry.text) if name is not None]
        write(Path(path), description, self.tensors, self._folder, files)
