"""Which examples an iteration sees: a function of seed and iteration alone, so that a training can be taken up anywhere."""

from __future__ import annotations

import torch
from torch import Tensor

_STREAM = 0xBA7C4
#: Seeds of two epochs, or of two trainings, must not meet: there are fewer epochs than this.
_EPOCHS = 1_000_003


class Batches:
    """Batches of equal size, drawn without replacement; each epoch is a permutation of its own.

    What is left of an epoch when no whole batch fits any more is dropped, so that every iteration costs and weighs the same; another
    permutation leaves out others. A batch larger than the data is all of the data.

    Args:
        examples: how many there are.
        size: examples in a batch.
        seed: of the order.
        device: where the examples lie.
    """

    def __init__(self, examples: int, size: int, seed: int, device: torch.device) -> None:
        self.size = min(size, examples)
        self.per_epoch = examples // self.size
        self._examples, self._seed, self._device = examples, seed, device
        self._epoch, self._order = -1, torch.empty(0)

    def rows(self, iteration: int) -> Tensor:
        """Indices of the examples of an iteration, counted from 0; int64 `(size,)`."""
        epoch, place = divmod(iteration, self.per_epoch)
        if epoch != self._epoch:
            generator = torch.Generator().manual_seed(_STREAM + self._seed * _EPOCHS + epoch)
            self._epoch = epoch
            self._order = torch.randperm(self._examples, generator=generator).to(self._device)
        return self._order[place * self.size : (place + 1) * self.size]
