"""Which processor machine code is for."""

from __future__ import annotations

import platform
from typing import Any

import torch


def processor() -> dict[str, Any]:
    """This machine, as far as machine code depends on it: compilers use every instruction that they find here."""
    find = getattr(torch.cpu, "get_capabilities", None)  # older versions of torch tell the width of vectors alone
    found = {torch.backends.cpu.get_cpu_capability(): True} if find is None else find()
    return {
        "system": platform.system(),
        "architecture": platform.machine(),
        "instructions": sorted(name for name, there in found.items() if there is True),
    }


def lacks(written: dict[str, Any]) -> str | None:
    """What this machine lacks to run the code of another, in words; None where it lacks nothing."""
    here = processor()
    for name in ("system", "architecture"):
        if written[name] != here[name]:
            return f"it is for {written[name]}, and this is {here[name]}"
    missing = set(written["instructions"]) - set(here["instructions"])
    return f"it may use instructions that this processor lacks ({', '.join(sorted(missing))})" if missing else None
