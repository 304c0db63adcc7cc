"""A field as another library gets it."""

from __future__ import annotations

import torch
from torch import nn

from odebench.numerics.lent_field import LentField


class Normalised(nn.Module):
    """Moves running statistics at each evaluation; of the three buffers only the count says, by its version, that it was written to."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(2, dtype=torch.float64)

    def forward(self, t, y):
        return -self.norm(y)


def test_evaluations_of_the_backward_leave_running_statistics_as_they_were():
    field, y = Normalised(), torch.tensor([[1.0, 2.0], [3.0, 5.0]], dtype=torch.float64)
    lent = LentField(field, y, declared=tuple(field.parameters()), method="somebody's")
    lent(0.0, y)
    lent.end_forward()
    # Momentum 0.1, of means 2 and 3.5.
    expected = torch.tensor([0.2, 0.35], dtype=torch.float64)
    torch.testing.assert_close(field.norm.running_mean, expected)
    lent(0.0, y + 1.0)
    torch.testing.assert_close(field.norm.running_mean, expected)
    assert (field.norm.num_batches_tracked.item(), lent.stats.evaluations_backward) == (1, 1)
