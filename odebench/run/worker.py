"""The child: one part of one cell, then the end of the process. Imports nothing that a measurement does not need."""

from __future__ import annotations

import faulthandler
import functools
import os
import random
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

# `torch.func` and others import it when first used, which takes a second and changes the environment: before any part begins.
import torch._dynamo

from odebench.plugins import Registry, build_registry
from odebench.run import memory_part, processes, quality, study, timing
from odebench.run.bench import Bench, load_bench
from odebench.run.failures import failure_of
from odebench.run.request import WORK_FOLDER, Request, write_result

if TYPE_CHECKING:
    from collections.abc import Callable

#: Largest file that a part may write.
_LARGEST_FILE_BYTES = 2**31

_PARTS: dict[str, Callable[[Request, Bench, Path], dict[str, Any]]] = {
    "quality": quality.measure,
    "memory": memory_part.measure,
    "timing": timing.measure,
}


def serve(folder: Path, begun: int) -> None:
    """Do what `folder`'s request asks, and leave the result there; whatever is raised becomes the result.

    Args:
        folder: absolute, with a request in it.
        begun: descriptor to which a byte is written when plugins are loaded and the time limit begins.
    """
    faulthandler.enable()
    sys.stdout.reconfigure(line_buffering=True)
    os.chdir(folder / WORK_FOLDER)
    give_back = None
    try:
        request = Request.read(folder)
        torch.set_num_threads(request.cell.threads)
        processes.limit_files(_LARGEST_FILE_BYTES)
        _seed()
        registry = load_plugins(request.prefixes, request.local_files)
        if request.memory_bytes is not None and request.cell.device == "cpu":
            give_back = processes.limit_memory(request.memory_bytes)
        os.write(begun, b".")
        os.close(begun)
        start = time.monotonic()
        result = _done(request, registry, folder)
        result["work_s"] = time.monotonic() - start
    except BaseException as error:  # noqa: BLE001 - sys.exit and Ctrl-C in a plugin cost the cell, not the run
        if give_back is not None:
            give_back()
        result = failure_of(error).to_json()
    if give_back is not None:
        give_back()
    write_result(folder, result)


@functools.lru_cache(maxsize=4)
def load_plugins(prefixes: tuple[str, ...], local_files: tuple[str, ...]) -> Registry:
    """The built-in plugins and those that a cell uses; what the supervisor has loaded is there already."""
    return build_registry(prefixes=prefixes, local_files=local_files)


def _done(request: Request, registry: Registry, folder: Path) -> dict[str, Any]:
    if request.part == "judge":
        # Only the judge's own process ever loads what knows the answers.
        from odebench.run import judge

        return judge.judge(request, registry, folder)
    if request.memory_bytes is not None and request.cell.device.startswith("cuda"):
        _limit_cuda(request)
    if request.artefact is not None:
        return study.measure(request, registry, folder)
    return _PARTS[request.part](request, load_bench(request.cell, registry), folder)


def _seed() -> None:
    """Fixed seeds: what draws without being told its seed still draws the same in each process."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


def _limit_cuda(request: Request) -> None:
    device = torch.device(request.cell.device)
    total = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, request.memory_bytes / total), device)


if __name__ == "__main__":
    serve(Path(sys.argv[1]), int(sys.argv[2]))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
