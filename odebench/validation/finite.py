"""Outputs that are no numbers: nothing can be lost from them, so that they would pass for a flow."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from odebench.errors import DivergedError, IncompatibleError

_NAMED = 4


def refuse_not_finite(outputs: Tensor, inputs: Tensor, modules: Iterable[nn.Module]) -> None:
    """Refuse a model whose outputs under its own solver are not all finite.

    Args:
        outputs: of the model, a row for each input.
        inputs: the data.
        modules: all that take part.

    Raises:
        IncompatibleError: the inputs are not finite.
        DivergedError: the outputs are not, for another reason.
    """
    rows = _not_finite(outputs)
    if not rows:
        return
    found = (
        f"The model's own outputs are not finite for {len(rows)} of {len(outputs)} inputs, the first in row {rows[0]}."
    )
    tensors = ((name, t) for one in modules for name, t in (*one.named_parameters(), *one.named_buffers()))
    weights = list(dict.fromkeys(name for name, tensor in tensors if not _finite(tensor).all()))
    if weights:
        named = ", ".join(weights[:_NAMED]) + (", …" if len(weights) > _NAMED else "")
        raise DivergedError(
            f"{found} Nor are these of its weights: {named}. Load weights from before the training diverged."
        )
    if spoiled := _not_finite(inputs):
        raise IncompatibleError(
            f"{found} Nor are {len(spoiled)} of the inputs, the first in row {spoiled[0]}. Leave these rows out, or mend them."
        )
    raise DivergedError(
        f"{found} Its weights and the inputs are finite, so the solve overflows. Are these the solver, steps and scaling of inputs that "
        "it was trained with?"
    )


def _not_finite(values: Tensor) -> list[int]:
    """The rows that hold a number that is not finite."""
    return (~_finite(values).reshape(len(values), -1).all(1)).nonzero().flatten().tolist()


def _finite(values: Tensor) -> Tensor:
    return torch.isfinite(values) if values.is_floating_point() else torch.ones_like(values, dtype=torch.bool)
