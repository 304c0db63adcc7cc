"""A few numbers that tell whether two processes gave the same answer to the same question."""

from __future__ import annotations

import math

import torch
from torch import Tensor

Fingerprint = dict[str, list[float]]
"""By name of an answer's tensor (leaves together): numbers of the size of its root mean square."""

#: An answer may be off by this share of what a perturbed initial state changes: the same kernels gave it, in another process.
_SHARE = 0.25
#: Or by so many roundings, where perturbation changes nothing that can be told from rounding.
_ROUNDINGS = 4.0


def fingerprint_of(states: dict[str, Tensor]) -> Fingerprint:
    """Three numbers for each name: mean, and two projections on fixed directions, over all elements, in float64."""
    joined: dict[str, list[Tensor]] = {}
    for name in sorted(states):
        joined.setdefault(name.partition(".")[0], []).append(states[name].detach().reshape(-1).cpu().double())
    return {name: _numbers(torch.cat(tensors)) for name, tensors in joined.items()}


def mismatch(got: Fingerprint, expected: Fingerprint, unperturbed: Fingerprint, eps: float) -> str | None:
    """None where `got` is the answer that was expected; else what is wrong, in words.

    Args:
        got: of an answer to some initial state.
        expected: of the answer to the same one, found in another process.
        unperturbed: of the answer to the problem's own initial state.
        eps: of the dtype.
    """
    if got.keys() != expected.keys():
        return f"it gave {sorted(got)} and not {sorted(expected)}"
    for name, numbers in expected.items():
        distance, spread = _distance(got[name], numbers), _distance(numbers, unperturbed[name])
        size = math.hypot(*numbers)
        if not distance <= max(_SHARE * spread, _ROUNDINGS * eps * size):
            return f"its {name} is off by {distance / size if size else distance:.1e}"
    return None


def same(left: Fingerprint, right: Fingerprint) -> bool:
    """Whether two fingerprints agree in every bit."""
    return left == right


def _numbers(values: Tensor) -> list[float]:
    if not values.numel():
        return [0.0, 0.0, 0.0]
    # Irrational frequencies: no two elements that a plugin might swap have the same weight.
    index = torch.arange(1, values.numel() + 1, dtype=torch.float64)
    scale = math.sqrt(values.numel())
    weights = (torch.cos(math.sqrt(2.0) * index), torch.sin(math.sqrt(3.0) * index))
    return [values.mean().item(), *((values @ weight).item() / scale for weight in weights)]


def _distance(left: list[float], right: list[float]) -> float:
    return math.hypot(*(a - b for a, b in zip(left, right, strict=True)))
