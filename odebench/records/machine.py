"""Which machine this is, told without torch."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from odebench.plan.cell import canonical_json, short_hash


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Facts about a machine. Those that change how long a cell takes make its identity; nothing names its owner.

    Attributes:
        cpu_model: as the maker calls it.
        cores: logical cores of the machine, whether or not this process may use them.
        memory_gib: main memory, rounded to GiB: kernels report a little more or less of the same modules.
        accelerators: names, in the order of their indices.
        system: operating system with its version, "Linux (Debian GNU/Linux 12)".
        architecture: "x86_64", "arm64", ….
        usable_cores: cores that this process may use; no part of the identity.
        kernel: release of the kernel; no part of the identity.
        python: version of the interpreter; no part of the identity.
    """

    cpu_model: str
    cores: int
    memory_gib: int
    accelerators: tuple[str, ...] = ()
    system: str
    architecture: str
    usable_cores: int
    kernel: str
    python: str

    @property
    def id(self) -> str:
        """16 hexadecimal digits that hash CPU model, cores, memory, accelerators and operating system."""
        identity = {
            "cpu_model": self.cpu_model,
            "cores": self.cores,
            "memory_gib": self.memory_gib,
            "accelerators": list(self.accelerators),
            "system": self.system,
            "architecture": self.architecture,
        }
        return short_hash(canonical_json(identity))

    def to_json(self) -> dict[str, Any]:
        """All facts and the id, as `machines/<id>.json` has them."""
        return {"id": self.id} | asdict(self) | {"accelerators": list(self.accelerators)}


def describe_machine(accelerators: Sequence[str] = ()) -> Machine:
    """This machine; `accelerators` are names that the caller found, since looking for them takes torch. Never raises."""
    return Machine(
        cpu_model=cpu_model(),
        cores=os.cpu_count() or 1,
        memory_gib=round(memory_bytes() / 2**30),
        accelerators=tuple(accelerators),
        system=system_name(),
        architecture=platform.machine() or "unknown",
        usable_cores=usable_cores(),
        kernel=platform.release(),
        python=f"{platform.python_implementation()} {platform.python_version()}",
    )


def cpu_model(proc: Path = Path("/proc")) -> str:
    """The CPU's name, or its architecture where the system does not tell."""
    try:
        lines = (proc / "cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    facts = dict(line.split(":", 1) for line in reversed(lines) if ":" in line)
    facts = {key.strip(): value.strip() for key, value in facts.items()}
    # x86 has a name; of ARM, boards tell theirs and servers only the numbers of maker and part.
    if named := facts.get("model name") or facts.get("Model") or facts.get("Hardware"):
        return " ".join(named.split())
    if "CPU part" in facts:
        return f"{platform.machine()} implementer {facts.get('CPU implementer', '?')} part {facts['CPU part']}"
    if sys.platform == "darwin" and (told := _output("sysctl", "-n", "machdep.cpu.brand_string")):
        return told
    return os.environ.get("PROCESSOR_IDENTIFIER") or platform.processor() or platform.machine() or "unknown"


def memory_bytes(proc: Path = Path("/proc")) -> int:
    """Bytes of main memory; 0 where the system does not tell."""
    try:
        for line in (proc / "meminfo").read_text().splitlines():
            if line.startswith("MemTotal:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return _windows_memory_bytes()


def system_name(release_file: Path = Path("/etc/os-release")) -> str:
    """The operating system with the version that its maker gives it."""
    system = platform.system() or "unknown"
    if system == "Darwin":
        return f"macOS {platform.mac_ver()[0]}"
    if system != "Linux":
        return f"{system} {platform.version()}"
    try:
        facts = dict(line.split("=", 1) for line in release_file.read_text().splitlines() if "=" in line)
    except OSError:
        return system
    facts = {key: value.strip("\"'") for key, value in facts.items()}
    told = f"{facts.get('NAME', '')} {facts.get('VERSION_ID', '')}".strip()
    return f"{system} ({told})" if told else system


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def _windows_memory_bytes() -> int:
    if sys.platform != "win32":
        return 0
    import ctypes  # Windows alone needs it.

    kibibytes = ctypes.c_ulonglong()
    told = ctypes.windll.kernel32.GetPhysicallyInstalledSystemMemory(ctypes.byref(kibibytes))
    return kibibytes.value * 1024 if told else 0
