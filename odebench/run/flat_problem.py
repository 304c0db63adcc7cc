"""A problem in float64 with its state as one matrix, one row for each row of the batch."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from odebench.contract import Problem, State, parameters_of


class FlatProblem:
    """What references and oracles solve: a problem whose state is `(batch, width)`, whatever the field's state is.

    Args:
        problem: the problem, rounded to the cell's dtype. It is lifted to float64 on CPU (in place, as `Problem.to` does).

    Attributes:
        problem: the lifted problem.
        parameters: the tensors of the field that require a gradient.
        y0: the packed initial state, `(batch, width)`.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem.to(torch.float64, "cpu")
        leaves = self.problem.y0 if isinstance(self.problem.y0, tuple) else (self.problem.y0,)
        self._shapes = [leaf.shape[1:] for leaf in leaves]
        self._widths = [shape.numel() for shape in self._shapes]
        self.parameters = parameters_of(self.problem.field)
        self.y0 = self._pack(self.problem.y0).detach().clone()

    @property
    def batch(self) -> int:
        """Number of rows."""
        return self.y0.shape[0]

    @property
    def width(self) -> int:
        """Number of elements of a row's state."""
        return self.y0.shape[1]

    def field(self, t: float | Tensor, y: Tensor) -> Tensor:
        """dy/dt at `t`, which is one time, or a column `(batch, 1)` with one for each row."""
        if isinstance(t, Tensor) and t.dim() == 2:
            # The contract's per-sample times have one trailing 1 for each dimension of the state.
            dims = max(len(shape) for shape in self._shapes)
            t = t.reshape(-1, *(1,) * dims)
        elif not isinstance(t, Tensor):
            t = torch.tensor(t, dtype=torch.float64)
        return self._pack(self.problem.field(t, self._unpack(y)))

    def loss(self, outputs: Tensor) -> Tensor:
        """The problem's loss of packed states `(times, batch, width)`."""
        return self.problem.loss(self.unpack(outputs))

    def unpack(self, outputs: Tensor) -> State:
        """Packed states `(times, batch, width)` in the problem's own shapes."""
        if not isinstance(self.problem.y0, tuple):
            return outputs.reshape(*outputs.shape[:2], *self._shapes[0])
        parts = outputs.split(self._widths, dim=-1)
        return tuple(p.reshape(*p.shape[:2], *shape) for p, shape in zip(parts, self._shapes, strict=True))

    def gradients(self, grad_y0: Tensor, grad_parameters: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """The gradients by the names of `Known`, flat and detached."""
        state = self.unpack(grad_y0.unsqueeze(0))
        named = {"grad_y0": _flat(state if isinstance(state, tuple) else (state,))}
        if self.parameters:
            named["grad_params"] = _flat(grad_parameters)
        return named

    def _pack(self, state: State) -> Tensor:
        if not isinstance(state, tuple | list):
            return state.reshape(state.shape[0], self._widths[0])
        return torch.cat([s.reshape(s.shape[0], w) for s, w in zip(state, self._widths, strict=True)], dim=1)

    def _unpack(self, y: Tensor) -> State:
        if not isinstance(self.problem.y0, tuple):
            return y.reshape(y.shape[0], *self._shapes[0])
        parts = y.split(self._widths, dim=1)
        return tuple(p.reshape(p.shape[0], *shape) for p, shape in zip(parts, self._shapes, strict=True))


PackedField = Callable[[float | Tensor, Tensor], Tensor]
"""`FlatProblem.field`, or anything like it."""


def gradient_or_zeros(output: Tensor, inputs: tuple[Tensor, ...], cotangent: Tensor) -> tuple[Tensor, ...]:
    """`torch.autograd.grad`, with zeros for inputs that the output does not depend on."""
    if not output.requires_grad:
        return tuple(torch.zeros_like(x) for x in inputs)
    found = torch.autograd.grad(output, inputs, cotangent, allow_unused=True)
    return tuple(torch.zeros_like(x) if g is None else g for g, x in zip(found, inputs, strict=True))


def _flat(tensors: tuple[Tensor, ...]) -> Tensor:
    return torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
