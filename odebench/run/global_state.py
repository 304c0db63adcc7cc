"""State of the process that a plugin may use and must leave as it found it."""

from __future__ import annotations

import gc
import os
import random
import signal
import sys
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch

#: What is compared, in the words of the report, and how it is read.
_READ: dict[str, Callable[[], Any]] = {
    "torch's grad mode": torch.is_grad_enabled,
    "torch's inference mode": torch.is_inference_mode_enabled,
    "torch's default dtype": torch.get_default_dtype,
    "torch's default device": lambda: str(torch.get_default_device()),
    "torch's number of threads": torch.get_num_threads,
    "torch's number of inter-op threads": torch.get_num_interop_threads,
    "torch's random state": lambda: torch.get_rng_state().numpy().tobytes(),
    "torch's deterministic mode": lambda: (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.utils.deterministic.fill_uninitialized_memory,
    ),
    "torch's anomaly detection": torch.is_anomaly_enabled,
    "torch's autocast": lambda: [
        (torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)) for kind in ("cpu", "cuda")
    ],
    "torch's precision of matrix products": torch.get_float32_matmul_precision,
    "torch's backends": lambda: (
        torch.backends.mkldnn.enabled,
        torch.backends.mkldnn.deterministic,
        torch.backends.cudnn.enabled,
        torch.backends.cudnn.benchmark,
        torch.backends.cudnn.deterministic,
        torch.backends.cudnn.allow_tf32,
        torch.backends.opt_einsum.enabled,
    ),
    "torch's modes": lambda: (torch._C._len_torch_dispatch_stack(), torch._C._len_torch_function_stack()),
    "the treatment of denormal numbers": lambda: _keeps_denormals(),
    "the methods of torch.Tensor": lambda: _fingerprint(torch.Tensor),
    "the functions of torch": lambda: _fingerprint(torch),
    "the methods of torch.nn.Module": lambda: _fingerprint(torch.nn.Module),
    "Python's random state": lambda: hash(random.getstate()),
    "numpy's random state": lambda: np.random.get_state()[1].tobytes(),
    "numpy's treatment of errors": lambda: sorted(np.geterr().items()),
    "the working directory": lambda: _working_directory(),
    "the environment variables": lambda: dict(os.environ),
    "the signal handlers": lambda: [_handler(number) for number in sorted(signal.valid_signals())],
    "an alarm": lambda: signal.getitimer(signal.ITIMER_REAL)[0] > 0,
    "the number of Python threads": lambda: len(sys._current_frames()),
    "the trace function": sys.gettrace,
    "the standard streams": lambda: (id(sys.stdout), id(sys.stderr)),
    "the garbage collector": lambda: (gc.isenabled(), gc.get_threshold()),
    "the recursion limit": sys.getrecursionlimit,
    "the switch interval": sys.getswitchinterval,
}
RANDOM = ("torch's random state",)
"""What a field that draws random numbers changes by right."""


def snapshot() -> dict[str, Any]:
    """The state as it is now."""
    return {name: read() for name, read in _READ.items()}


def differences(before: dict[str, Any], after: dict[str, Any], ignored: Iterable[str] = ()) -> list[str]:
    """What differs between two snapshots, in words."""
    return [name for name in before if name not in ignored and before[name] != after[name]]


def _keeps_denormals() -> bool:
    """Whether the smallest numbers are computed with, and not taken for zero (`torch.set_flush_denormal`)."""
    return bool((torch.full((8,), 2.0**-1073, dtype=torch.float64, device="cpu") * 0.5).ne(0.0).all().item())


def _working_directory() -> str | None:
    try:
        return os.getcwd()
    except OSError:
        return None


def _handler(number: int) -> Any:
    try:
        return signal.getsignal(number)
    except ValueError:
        return None


def _fingerprint(owner: Any) -> int:
    """Changes when an attribute of `owner` is replaced. Submodules that are imported late do not count."""
    functions = (item for item in vars(owner).items() if callable(item[1]))
    return hash(frozenset((name, id(value)) for name, value in functions))
