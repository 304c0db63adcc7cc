"""Which devices this machine has, asked without leaving a trace in the process that asks."""

from __future__ import annotations

import functools
import json
import subprocess
import sys


def device_reason(device: str) -> str | None:
    """None where this machine has `device` ("cpu", "cuda", "cuda:1", "mps"), else the reason why it cannot be used."""
    kind, _, number = device.partition(":")
    if kind == "cpu":
        return None if not number or number == "0" else f"There is one device 'cpu', and no {device!r}."
    if kind == "cuda":
        found = accelerator_names()
        if not found:
            return "This machine has no CUDA device that torch can use."
        if number and not (number.isdigit() and int(number) < len(found)):
            return f"This machine has {len(found)} CUDA device{'s' * (len(found) > 1)}, numbered from 0, and no {device!r}."
        return None
    if kind == "mps":
        import torch

        return None if torch.backends.mps.is_available() else "This machine has no Metal device that torch can use."
    return f"The device {device!r} is not known; known are cpu, cuda and mps."


@functools.cache
def accelerator_names() -> tuple[str, ...]:
    """Names of the CUDA devices in the order of their numbers, asked in a child: to ask makes a context on the device."""
    import torch

    if not torch.backends.cuda.is_built():
        return ()
    code = (
        "import json, torch\n"
        "count = torch.cuda.device_count() if torch.cuda.is_available() else 0\n"
        "names = [torch.cuda.get_device_name(index) for index in range(count)]\n"
        "open(1, 'w').write(json.dumps(names))"
    )
    try:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
        return tuple(json.loads(done.stdout))
    except (OSError, subprocess.SubprocessError, ValueError):
        return ()
