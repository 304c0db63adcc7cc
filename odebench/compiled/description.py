"""What is written down of a solve, so that another process can make it again."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from odebench.compiled.field_graph import FieldGraph
from odebench.compiled.lanes import Lanes
from odebench.compiled.setting import Setting
from odebench.compiled.traced_field import Shape
from odebench.contract import Solver
from odebench.numerics.packing import Packing


def described(setting: Setting, parameters: dict[str, Any]) -> dict[str, Any]:
    """A setting in words and numbers, without its tensors and programs.

    Args:
        parameters: of its solver.
    """
    solver = setting.solver
    return {
        "solver": {"class": f"{type(solver).__module__}:{type(solver).__qualname__}", "parameters": parameters},
        "shape": asdict(setting.shape) | {"time_dtype": _name(setting.shape.time_dtype)},
        "lanes": asdict(setting.lanes) | {"dtype": _name(setting.lanes.dtype)},
        "dtype": _name(setting.dtype),
        "device": str(setting.device),
        "uses_time": setting.graph.uses_time,
    }


def restored(
    description: dict[str, Any], tensors: tuple[Any, ...], programs: Callable[[Any], Callable[..., Any]]
) -> Setting:
    """The setting that was described; its programs are found by `programs`."""
    named = description["solver"]
    # By its class, and not by the registry, which would import every plugin.
    module, _, name = named["class"].partition(":")
    solver: Solver = getattr(importlib.import_module(module), name)(**named["parameters"])
    dtype, device = getattr(torch, description["dtype"]), torch.device(description["device"])
    shape = description["shape"]
    graph = FieldGraph(None).translated_by(programs)
    graph.uses_time = description["uses_time"]
    rows = tuple(tuple(row) for row in shape["rows"])
    is_tuple, by_row = shape["is_tuple"], shape["by_row"]
    example = tuple(torch.empty((1, *row) if by_row or not is_tuple else row, dtype=dtype) for row in rows)
    return Setting(
        solver=solver,
        graph=graph,
        shape=Shape(rows=rows, is_tuple=is_tuple, by_row=by_row, time_dtype=getattr(torch, shape["time_dtype"])),
        lanes=Lanes(**description["lanes"] | {"dtype": getattr(torch, description["lanes"]["dtype"])}),
        tensors=tuple(tensor.to(device) if isinstance(tensor, Tensor) else tensor for tensor in tensors),
        packing=Packing(example if is_tuple else example[0], by_row=by_row),
        dtype=dtype,
        device=device,
    )


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
