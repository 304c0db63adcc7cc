"""The file of a compiled solver: an archive of its description, the field's tensors and its programs."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from odebench.compiled.processor import lacks
from odebench.errors import CompileError

FORMAT = 2
"""Of the file; 1 had loops alone, and did not tell the processor."""

READ = (1, FORMAT)

DESCRIPTION, TENSORS = "solver.json", "tensors.pt"


def write(
    path: Path, description: dict[str, Any], tensors: Sequence[Any], folder: Path, programs: Sequence[str]
) -> None:
    """Write one file, of the programs in a folder and what goes with them.

    Raises:
        OSError: it cannot be written.
    """
    buffer = io.BytesIO()
    torch.save([tensor.detach().cpu() if isinstance(tensor, Tensor) else tensor for tensor in tensors], buffer)
    # Written beside it first, so that a full disk leaves what was there.
    draft = path.with_name(path.name + ".part")
    try:
        with zipfile.ZipFile(draft, "w") as archive:
            archive.writestr(DESCRIPTION, json.dumps(description, indent=1))
            archive.writestr(TENSORS, buffer.getvalue())
            for name in programs:
                archive.write(folder / name, name)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def read(path: Path, folder: Path) -> tuple[dict[str, Any], tuple[Any, ...]]:
    """The description and the tensors; the programs are laid into the folder.

    Raises:
        CompileError: the file is not there, is damaged or of another kind, or was written by another version of torch or for
            another processor.
    """
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
        what = "there is no such file" if not path.exists() else "it is no compiled solver"
        raise CompileError(f"{path}: {what}. CompiledSolver.save writes one.") from cause
    except (zipfile.BadZipFile, json.JSONDecodeError, KeyError, OSError) as cause:
        raise CompileError(f"{path}: it is no compiled solver, or it was cut off ({cause}).") from cause
    form, version = description.get("format"), description.get("torch")
    if form not in READ or version != torch.__version__:
        raise CompileError(
            f"{path}: it was written by torch {version} in format {form}; here is torch {torch.__version__}, which reads "
            f"formats {' and '.join(map(str, READ))}. Compile it again here."
        )
    if form != 1 and (reason := lacks(description["processor"])) is not None:
        raise CompileError(f"{path}: {reason}. Compile it again here.")
    return description, tuple(tensors)
