"""Answers as plugins give them: what is wrong with one is said in words about the tensor, not by its key."""

from __future__ import annotations

import pytest
import torch

from odebench.contract import Answer
from odebench.errors import DivergedError
from odebench.run.answers import check_tensors


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ys", "The solution is not finite."),
        ("returned", "The state after the round trip is not finite."),
        ("returned.1", "The state after the round trip is not finite."),
        ("loss", "The loss is not finite."),
        ("grad_y0", "The gradient in y0 is not finite."),
        ("grad_params.0", "The gradient in the parameters is not finite."),
    ],
)
def test_what_is_not_finite_is_named_in_words(name, words):
    answer = Answer(states={name: torch.tensor([1.0, float("nan")], dtype=torch.float64)})
    with pytest.raises(DivergedError) as caught:
        check_tensors(answer, torch.device("cpu"), torch.float64)
    assert str(caught.value) == words
