"""Batch normalisation in a vector field: statistics for each of a solve's evaluations."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm

from odebench.errors import IncompatibleError

SETS = 64
"""Evaluations of a solve that have statistics of their own; those after them share the last."""


class EvaluationNorm(nn.Module):
    """Batch normalisation of `(batch, channels, height, width)`, with running statistics for the first, second, … call since `begin`.

    The states that a field sees differ from step to step, so one set of statistics for all of them describes none. Which
    evaluation it is, is a buffer like the statistics themselves: a gradient method that evaluates again puts both back.

    At test time evaluation n is normalised by what was learnt of evaluation n, so a trained network can be asked with its own solver
    and number of steps alone.

    Args:
        channels: how many there are.
        momentum: weight of the newest batch in the running statistics.
    """

    eps = 1e-5

    def __init__(self, channels: int, momentum: float = 0.1) -> None:
        super().__init__()
        self.momentum = momentum
        self.weight = nn.Parameter(torch.ones(channels, dtype=torch.float64))
        self.bias = nn.Parameter(torch.zeros(channels, dtype=torch.float64))
        self.register_buffer("running_mean", torch.zeros(SETS, channels, dtype=torch.float64))
        self.register_buffer("running_var", torch.ones(SETS, channels, dtype=torch.float64))
        self.register_buffer("batches_tracked", torch.zeros(SETS, dtype=torch.long))
        self.register_buffer("place", torch.zeros(1, dtype=torch.long))

    def begin(self) -> None:
        """A solve begins."""
        self.place.zero_()

    def forward(self, z: Tensor) -> Tensor:
        """The normalised channels.

        Raises:
            IncompatibleError: at test time, in an evaluation of which nothing was learnt.
        """
        place = self.place.clamp(max=SETS - 1)
        if self.training:
            self._learn(z.detach(), place)
            normalised = batch_norm(z, None, None, self.weight, self.bias, training=True, eps=self.eps)
        else:
            if not self.batches_tracked.index_select(0, place).item():
                raise IncompatibleError(
                    f"Evaluation {place.item() + 1} of a field was asked for at test time, and training had no such one: norm 'batch' "
                    "has statistics for the evaluations of the training's own solver and steps. Use those, or another norm."
                )
            mean, variance = (one.index_select(0, place)[0] for one in (self.running_mean, self.running_var))
            normalised = batch_norm(z, mean, variance, self.weight, self.bias, training=False, eps=self.eps)
        self.place.add_(1)
        return normalised

    @torch.no_grad()
    def _learn(self, z: Tensor, place: Tensor) -> None:
        variance, mean = torch.var_mean(z, (0, 2, 3))
        for running, newest in ((self.running_mean, mean), (self.running_var, variance)):
            before = running.index_select(0, place)
            running.index_copy_(0, place, before.lerp(newest.unsqueeze(0).to(running.dtype), self.momentum))
        self.batches_tracked.index_add_(0, place, torch.ones_like(place))
