"""Settings of the whole test run."""

from __future__ import annotations

import os

# Before torch is loaded, here and in every process that tests start: threads of several processes on few cores only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_configure() -> None:
    """One thread, so that figures and times of tests do not depend on the machine's cores."""
    import torch

    torch.set_num_threads(1)
