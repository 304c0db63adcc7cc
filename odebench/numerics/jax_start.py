"""How JAX is started, for adapters of libraries in it and for what checks fields in it. JAX is imported here, and only when called."""

from __future__ import annotations

import contextlib
import functools
import os
from typing import Any

import torch

from odebench.errors import IncompatibleError


@functools.cache
def start_jax() -> Any:
    """The module `jax`, ready to compute on CPU with as many threads as torch has when it is first called.

    Float64 is switched on, for the whole process. With one thread all is computed in the calling one: XLA would else hand parts of a program to a pool of its own, one at a time.
    The environment is left as it was: XLA reads its variables when it is started, which is done here.

    Raises:
        IncompatibleError: JAX is not installed.
    """
    before = dict(os.environ)
    threads = torch.get_num_threads()
    os.environ["NPROC"] = str(threads)  # the size of XLA's pool
    if threads == 1:
        os.environ["XLA_FLAGS"] = f"{before.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen=false".strip()
    try:
        import jax

        with contextlib.suppress(RuntimeError):  # somebody started it before, as they wished
            jax.config.update("jax_cpu_enable_async_dispatch", False)
        # For all threads: what a program calls back must be able to give float64. Arrays of float32 stay what they are.
        jax.config.update("jax_enable_x64", True)
        jax.devices("cpu")
    except ImportError as error:
        raise IncompatibleError(f"JAX is not installed, and a solver asks for it: {error}.") from error
    finally:
        for name in [name for name in os.environ if name not in before]:
            del os.environ[name]
        os.environ.update(before)
    return jax
