"""Inputs and targets, in whichever of the usual forms they come."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from odebench.contract import Examples
from odebench.errors import IncompatibleError

FORMS = "Give a pair (inputs, targets), a table with the keys 'inputs' and 'targets', or batches of such pairs, as a DataLoader gives."


def examples_of(data: Any) -> Examples:
    """All rows of the data as two tensors.

    Args:
        data: `Examples`, a pair, a table with `inputs` and `targets`, a `torch.utils.data.Dataset` of pairs, or an iterable of
            batches of pairs.

    Raises:
        IncompatibleError: it is none of these, holds no rows, or differs in lengths.
    """
    if isinstance(data, Examples):
        examples = data
    elif isinstance(data, Mapping):
        missing = [name for name in ("inputs", "targets") if name not in data]
        if missing:
            raise IncompatibleError(
                f"The data have no {' and no '.join(missing)}; their keys are {sorted(map(str, data))}. {FORMS}"
            )
        examples = _pair(data["inputs"], data["targets"])
    elif _is_pair(data):
        examples = _pair(*data)
    elif isinstance(data, Iterable) or hasattr(data, "__getitem__"):
        examples = _batches(data)
    else:
        raise IncompatibleError(f"The data are a {type(data).__name__}. {FORMS}")
    if not len(examples):
        raise IncompatibleError("The data hold no rows, so that nothing can be measured on them.")
    return examples


def _is_pair(data: Any) -> bool:
    return isinstance(data, tuple | list) and len(data) == 2 and all(isinstance(x, Tensor | np.ndarray) for x in data)


def _pair(inputs: Any, targets: Any) -> Examples:
    inputs, targets = (_tensor(name, value) for name, value in (("inputs", inputs), ("targets", targets)))
    if targets.dim() == 0 or inputs.dim() == 0:
        raise IncompatibleError(f"Inputs and targets are single numbers; they must be tensors with a row each. {FORMS}")
    return Examples(inputs=inputs, targets=targets)


def _tensor(name: str, value: Any) -> Tensor:
    if isinstance(value, Tensor):
        return value.detach()
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
        return torch.from_numpy(np.ascontiguousarray(value))
    what = f"an array of {value.dtype}" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"
    raise IncompatibleError(f"The {name} are {what}; they must be a tensor, or an array of numbers.")


def _batches(data: Any) -> Examples:
    """Batches, or the single rows of a dataset, joined."""
    is_dataset = isinstance(data, torch.utils.data.Dataset) and not isinstance(data, torch.utils.data.IterableDataset)
    if is_dataset:
        data = torch.utils.data.DataLoader(data, batch_size=256)
    parts = []
    for number, batch in enumerate(data):
        if not isinstance(batch, tuple | list) or len(batch) != 2:
            raise IncompatibleError(f"Batch {number} of the data is a {type(batch).__name__} that is no pair. {FORMS}")
        parts.append(_pair(*batch))
    if not parts:
        raise IncompatibleError(f"The data hold no batches. {FORMS}")
    return Examples(
        inputs=torch.cat([part.inputs for part in parts]), targets=torch.cat([part.targets for part in parts])
    )
