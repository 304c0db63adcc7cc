"""Tensors of torch as what JAX's compiled programs take, and their arrays as tensors. Nothing here imports JAX."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor


def lent(tensor: Tensor) -> np.ndarray:
    """The tensor's own memory as an array of NumPy, which a compiled program takes at the least cost."""
    tensor = tensor.detach().cpu().contiguous()
    if tensor.dtype == torch.bfloat16:
        import ml_dtypes  # comes with JAX

        return tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return tensor.numpy()


def to_torch(array: Any) -> Tensor:
    """A program's output as a tensor in the same memory."""
    if not array.size:  # has no memory
        return torch.zeros(array.shape, dtype=getattr(torch, array.dtype.name))
    return torch.from_dlpack(array)
