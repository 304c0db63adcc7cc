"""Settings of the whole test run."""

from __future__ import annotations

import gc
import os
import tempfile

import pytest

# Before torch is loaded, here and in every process that tests start: threads of several processes on few cores only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_configure(config: pytest.Config) -> None:
    """One thread, so that nothing depends on the machine's cores, and a cache that begins empty and is not the user's."""
    cache = tempfile.TemporaryDirectory(prefix="odebench-cache-")
    config.add_cleanup(cache.cleanup)
    os.environ["ODEBENCH_CACHE"] = cache.name
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="module", autouse=True)
def _looked_through_once() -> None:
    """Collections of garbage look through everything that is alive: of what earlier modules left, compilers above all, that is most of
    the time of tests that ask for them. What is there when a module begins is no longer looked at."""
    gc.collect()
    gc.freeze()
