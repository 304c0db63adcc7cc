"""Run as a program: Triton kernels by Triton's interpreter, on the CPU, beside eager solves; the differences as JSON.

Triton looks at TRITON_INTERPRET as it is imported, so that this is a process of its own.
"""

from __future__ import annotations

import copy
import json
import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from triton.runtime.interpreter import InterpretedFunction, InterpreterBuilder, TensorHandle

import odebench
from odebench.compiled.fused import programs
from odebench.compiled.fused.expressions import NotByRowError
from odebench.compiled.fused.triton_programs import TritonReplay, TritonReverse
from tests.compiled.conftest import Turning
from tests.compiled.test_parity import FIVE, TWO, Pair, distance, gradients

FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{name: getattr(np, name) for name in ("exp", "expm1", "log", "log1p", "sqrt", "sin", "cos", "tan", "sinh", "cosh", "tanh")},
    **{"asin": np.arcsin, "acos": np.arccos, "atan": np.arctan, "pow": np.power, "erf": np.vectorize(math.erf)},
}  # fmt: skip


IN_SINGLE_TOO = {"more trajectories than a block has", "every function"}


class Elementary(nn.Module):
    """A field with every function that kernels know."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.linspace(0.2, 1.0, 20, dtype=torch.float64))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        a, b, w = y[:, 0], y[:, 1], self.weights
        small, positive = torch.sin(w[0] * a) / 2, 1.0 + b * b
        first = (
            w[1] * torch.exp(-a * a) + w[2] * torch.tanh(b) + w[3] * torch.log(positive) + w[4] * torch.sqrt(positive)
        )
        first = first + w[5] * torch.asin(small) - w[6] * torch.acos(small) + w[7] * torch.atan(b) + torch.erf(w[8] * a)
        second = (
            w[9] * torch.tan(small) + w[10] * torch.sinh(small) + w[11] * torch.cosh(small) + torch.expm1(w[12] * small)
        )
        second = second + w[13] * torch.log1p(positive) + torch.sigmoid(w[14] * b) + positive ** (-w[15]) + small.abs()
        second = second + w[16] * torch.maximum(a, b) - torch.minimum(a, w[17] * b) + torch.floor(3 * a) - torch.ceil(b)
        second = torch.where((a > b) & ~(b > 1.0) | (a < -2.0), second, w[18] * second) + torch.sign(a) * w[19]
        return torch.stack((first, second), 1) * torch.cos(t)


class Given(nn.Module):
    """Derivatives that depend on the time alone, on nothing, and on the state."""

    def __init__(self) -> None:
        super().__init__()
        self.rate = nn.Parameter(torch.tensor(0.7, dtype=torch.float64))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        one = torch.ones_like(y[:, 0])
        return torch.stack((torch.sin(t) * one, self.rate * one, 2.0 * one, -self.rate * y[:, 0]), 1)


def _start(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


def _cases() -> dict[str, tuple[nn.Module, Any, tuple[float, ...], dict[str, Any]]]:
    turning, y0 = Turning(), _start(3, 2)
    own = odebench.solve(turning, y0, FIVE, solver="dopri5", rtol=1e-2, batch="per-sample").grid
    two_levels = {"solver": "bosh3", "step_size": 0.4, "gradient": "sqrt-checkpoint"}
    return {
        "more trajectories than a block has": (turning, _start(40, 2), TWO, {"solver": "rk4", "steps": 3}),
        "dopri5 on a grid": (turning, y0, TWO, {"solver": "dopri5", "steps": 3}),
        "tsit5 with output times inside": (turning, y0, FIVE, {"solver": "tsit5", "steps": 3}),
        "rk4 with the cubic between its steps": (turning, y0, FIVE, {"solver": "rk4", "steps": 5}),
        "backwards in two levels": (turning, y0, (2.0, 0.5), two_levels),
        "steps of its own for each row": (turning, y0, FIVE, {"solver": "dopri5", "grid": own}),
        "a tuple": (Pair(), (_start(5, 3), _start(5, 2, 2)), TWO, {"solver": "rk4", "steps": 3}),
        "every function": (Elementary(), y0, (0.0, 0.5), {"solver": "midpoint", "steps": 2}),
        "derivatives that are the same for all": (Given(), _start(3, 4), FIVE, {"solver": "dopri5", "steps": 3}),
    }


def _interpret(builder: Any, library: str, path: str, symbol: str, arguments: list[Any], *_: Any) -> TensorHandle:
    """A function of CUDA's library, by numpy."""
    name = symbol.removeprefix("__nv_")
    function = FUNCTIONS.get(name) or FUNCTIONS[name.removesuffix("f")]
    data = arguments[0].data.dtype
    return TensorHandle(np.asarray(function(*(a.data for a in arguments)), dtype=data), arguments[0].dtype)


def _half(state: Any) -> Any:
    return tuple(part.float() for part in state) if isinstance(state, tuple) else state.float()


def main() -> None:
    """Print what was found, one entry for each case; a case that is no kernel ends the program."""
    InterpreterBuilder.create_extern_elementwise = _interpret
    # A function that a kernel calls is in the kernel's module, which has been prepared; it would be prepared anew with each call.
    InterpretedFunction.__call__ = lambda self, *given: self.rewrite()(*given)
    before, made = programs.kinds_on, programs.fused
    kinds: list[str] = []

    def recorded(function: Any, arguments: Any) -> Any:
        try:
            found = made(function, arguments)
        except NotByRowError as reason:
            raise SystemExit(f"refused: {reason}") from reason
        kinds.append(type(found).__name__)
        return found

    programs.kinds_on = lambda device: {
        **before(device),
        programs.Replay: TritonReplay,
        programs.Reverse: TritonReverse,
    }
    programs.fused = recorded
    results = {}
    for name, (field, y0, ts, how) in _cases().items():
        entry: dict[str, Any] = {}
        for dtype in ("float64", "float32") if name in IN_SINGLE_TOO else ("float64",):
            if dtype == "float32":
                field, y0 = copy.deepcopy(field).float(), _half(y0)
            kinds.clear()
            (one, found), (other, expected) = (gradients(field, y0, ts, compile=c, **how) for c in (True, False))
            pairs = [(one.ys, other.ys)] if isinstance(one.ys, Tensor) else list(zip(one.ys, other.ys, strict=True))
            entry[dtype] = {
                "kinds": list(kinds),
                "states": max(distance(*pair) for pair in pairs),
                "gradients": max(distance(*pair) for pair in zip(found, expected, strict=True)),
            }
        results[name] = entry
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main()
