"""Compiled solves that are kept in a file, and run in another process without being compiled again."""

from __future__ import annotations

import importlib
import io
import json
import shutil
import tempfile
import warnings
import weakref
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

import odebench
from odebench import api
from odebench.compiled.field_graph import FieldGraph, told
from odebench.compiled.fresh import numbers_are_constant
from odebench.compiled.lanes import Lanes
from odebench.compiled.march import Solved, solve_adaptively, solve_on_grid
from odebench.compiled.program import form
from odebench.compiled.setting import Setting, setting_of
from odebench.compiled.traced_field import Shape
from odebench.contract import Field, GridRequest, Solution, Solver, State, Tolerance
from odebench.errors import CompileError, OdebenchError
from odebench.numerics.outputs import checked_times
from odebench.numerics.packing import Packing

FORMAT = 1
"""Of the file; it is raised when an older file can no longer be read."""

DESCRIPTION, TENSORS = "solver.json", "tensors.pt"


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

    Arguments as `odebench.solve`'s. The state is an example: another batch of at least two rows will do. So will other times,
    tolerances and numbers of steps of the same kind: with steps that follow a tolerance or that are given, with output times
    between the ends or without.

    Raises:
        CompileError: the solver or the field has no compiled form.
        GridError, IncompatibleError: as `odebench.solve`.
    """
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
    graph = setting.graph.translated_by(lambda function: _Kept(function, folder))
    setting = replace(setting, graph=graph, programs={})
    compiled = CompiledSolver(solver=solver, setting=setting, tensors=setting.plain_tensors, folder=folder)
    compiled(y0, times, request=request)
    return compiled


def load_solver(path: str | Path) -> CompiledSolver:
    """The solver that `CompiledSolver.save` wrote.

    The file holds machine code, which is run: load what you, or somebody whom you trust, have written.

    Raises:
        CompileError: the file is not there, is damaged or of another kind, or was written by another version of torch.
    """
    path = Path(path)
    folder = Path(tempfile.mkdtemp(prefix="odebench-"))
    try:
        with zipfile.ZipFile(path) as archive:
            if (damaged := archive.testzip()) is not None:
                raise CompileError(
                    f"{path}: {damaged} in it is damaged. Write the file again with CompiledSolver.save."
                )
            archive.extractall(folder)
        description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        tensors = torch.load(folder / TENSORS, weights_only=True)
    except FileNotFoundError as cause:
        shutil.rmtree(folder, ignore_errors=True)
        what = "there is no such file" if not path.exists() else "it is no compiled solver"
        raise CompileError(f"{path}: {what}. CompiledSolver.save writes one.") from cause
    except (zipfile.BadZipFile, json.JSONDecodeError, KeyError, OSError) as cause:
        shutil.rmtree(folder, ignore_errors=True)
        raise CompileError(f"{path}: it is no compiled solver, or it was cut off ({cause}).") from cause
    written = (description.get("format"), description.get("torch"))
    if written != (FORMAT, torch.__version__):
        shutil.rmtree(folder, ignore_errors=True)
        raise CompileError(
            f"{path}: it was written by torch {written[1]} in format {written[0]}; here is torch {torch.__version__}, which reads "
            f"format {FORMAT}. Compile it again here."
        )
    return _restored(description, tuple(tensors), folder)


class CompiledSolver:
    """Solves of one field, compiled ahead of time; made by `compile_solver` and `load_solver`.

    Attributes:
        tensors: what the field uses, its parameters among them, in the order of its graph. Solves read them: change them in
            place to solve with other weights.
    """

    def __init__(self, *, solver: api.Named, setting: Setting, tensors: tuple[Any, ...], folder: Path) -> None:
        self.tensors = tensors
        self._named, self._setting, self._folder = solver, setting, folder
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)

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
        setting = self._setting
        if request is None:
            batch = "per-sample" if setting.lanes.by_row else "joint"
            steps_given = steps is not None or step_size is not None
            request = api.grid_request(setting.solver, rtol, atol, "joint" if steps_given else batch, steps, step_size)
        leaves = tuple(leaf.detach() for leaf in (y0 if isinstance(y0, tuple) else (y0,)))
        setting = replace(setting.for_state(leaves, isinstance(y0, tuple)), tensors=self.tensors)
        packing = setting.packing
        y = packing.pack(leaves if packing.is_tuple else leaves[0]).contiguous()
        solve = solve_adaptively if isinstance(request, Tolerance) else solve_on_grid
        with torch.no_grad():
            solved: Solved = solve(setting, y, checked_times(ts), request, False)
        solved.stats.compiled = True
        return Solution(ys=packing.unpack_outputs(solved.ys), grid=solved.grid, stats=solved.stats)

    def save(self, path: str | Path) -> None:
        """Write everything that a solve needs to one file; `odebench.load_solver` reads it.

        Raises:
            OSError: the file cannot be written.
        """
        path, setting = Path(path), self._setting
        programs = [
            {"kind": list(key[: -len(setting.key)]), "file": program.file.name}
            for (_, key), program in setting.graph.programs.items()
        ]
        description = {
            "format": FORMAT,
            "odebench": odebench.__version__,
            "torch": torch.__version__,
            "solver": _described(setting.solver, self._named),
            "shape": asdict(setting.shape) | {"time_dtype": _name(setting.shape.time_dtype)},
            "lanes": asdict(setting.lanes) | {"dtype": _name(setting.lanes.dtype)},
            "dtype": _name(setting.dtype),
            "device": str(setting.device),
            "uses_time": setting.graph.uses_time,
            "programs": programs,
        }
        buffer = io.BytesIO()
        torch.save([tensor.detach().cpu() if isinstance(tensor, Tensor) else tensor for tensor in self.tensors], buffer)
        # Written beside it first, so that a full disk leaves what was there.
        draft = path.with_name(path.name + ".part")
        try:
            with zipfile.ZipFile(draft, "w") as archive:
                archive.writestr(DESCRIPTION, json.dumps(description, indent=1))
                archive.writestr(TENSORS, buffer.getvalue())
                for program in programs:
                    archive.write(self._folder / program["file"], program["file"])
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)


@dataclass
class _Missing:
    """Stands where a program would be compiled, in a solver that was loaded."""

    function: Callable[..., Any]

    def __call__(self, *_: Any) -> Any:
        raise CompileError(
            "The compiled solver has no program for this: steps that follow a tolerance and steps that are given, output times "
            "between the ends and none, are programs of their own. Compile one with `compile_solver` and such arguments."
        )


class _Kept:
    """A program that is compiled into a file."""

    def __init__(self, function: Callable[..., Any], folder: Path) -> None:
        self._function, self._folder = function, folder
        self._run: Callable[..., Any] | None = None
        self.file = folder / f"program-{len(list(folder.iterdir()))}.pt2"

    def __call__(self, *arguments: Any) -> Any:
        if self._run is None:
            self._run = self._compiled(arguments)
        return self._run(*arguments)

    def _compiled(self, arguments: tuple[Any, ...]) -> Callable[..., Any]:
        free = pytree.tree_map(_free_dimensions, arguments)
        try:
            with torch.no_grad(), numbers_are_constant(), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # those of the compiler about itself
                exported = torch.export.export(_Module(self._function), arguments, dynamic_shapes=(free,), strict=True)
                torch._inductor.aoti_compile_and_package(exported, package_path=str(self.file))
                return _program_in(self.file)
        except OdebenchError:
            raise
        except Exception as cause:
            raise CompileError(f"The solve cannot be compiled ahead of time: {told(cause)}") from cause


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


def _restored(description: dict[str, Any], tensors: tuple[Any, ...], folder: Path) -> CompiledSolver:
    named = description["solver"]
    # By its class, and not by the registry, which would import every plugin.
    module, _, name = named["class"].partition(":")
    solver: Solver = getattr(importlib.import_module(module), name)(**named["parameters"])
    dtype, device = getattr(torch, description["dtype"]), torch.device(description["device"])
    shape = description["shape"]
    graph = FieldGraph(None).translated_by(_Missing)
    graph.uses_time = description["uses_time"]
    rows = tuple(tuple(row) for row in shape["rows"])
    is_tuple, by_row = shape["is_tuple"], shape["by_row"]
    example = tuple(torch.empty((1, *row) if by_row or not is_tuple else row, dtype=dtype) for row in rows)
    setting = Setting(
        solver=solver,
        graph=graph,
        shape=Shape(rows=rows, is_tuple=is_tuple, by_row=by_row, time_dtype=getattr(torch, shape["time_dtype"])),
        lanes=Lanes(**description["lanes"] | {"dtype": getattr(torch, description["lanes"]["dtype"])}),
        tensors=tensors,
        packing=Packing(example if is_tuple else example[0], by_row=by_row),
        dtype=dtype,
        device=device,
    )
    tensors = tuple(tensor.to(device) if isinstance(tensor, Tensor) else tensor for tensor in tensors)
    for program in description["programs"]:
        graph.programs[form(), (*program["kind"], *setting.key)] = _program_in(folder / program["file"])
    return CompiledSolver(
        solver={"name": solver.name, **named["parameters"]}, setting=setting, tensors=tensors, folder=folder
    )


def _program_in(file: Path) -> Callable[..., Any]:
    """The program that was compiled into a file.

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


def _described(solver: Solver, named: api.Named) -> dict[str, Any]:
    parameters = {} if isinstance(named, str) else {key: value for key, value in named.items() if key != "name"}
    return {"class": f"{type(solver).__module__}:{type(solver).__qualname__}", "parameters": parameters}


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
