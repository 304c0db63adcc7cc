"""Newton's method for equations of each row, and its derivative by the implicit function theorem."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from odebench.errors import NotKnownError
from odebench.run.flat_problem import FlatProblem, PackedField

_MOST_STEPS = 50
_GOOD = 1e-10
"""A solve that stops improving is accepted when its last change is below this share of the unknown's size: Newton's
method squares the error in each step, so what is left then is rounding."""

_SMALL = 1e-13
"""After a change so small, relatively, the recorded step leaves nothing but rounding."""
_SAME = 1e-15
"""A Jacobian taken so close to the root, relatively, is the root's to rounding."""


def solve_by_newton(
    residual: Callable[[Tensor], Tensor], matrix: Callable[[Tensor], Tensor], guess: Tensor, scale: float, where: str
) -> Tensor:
    """The root of `residual` near `guess`, row by row, to rounding.

    A last Newton step with a constant matrix is recorded where gradients are: its derivative is, exactly, the implicit
    function theorem's.

    Args:
        residual: of an unknown `(batch, *unknown)`.
        matrix: its Jacobian there, `(batch, n, n)` with n the elements of a row's unknown.
        guess: where to start.
        scale: magnitude of the unknown, to tell what rounding is.
        where: what is being solved, for the error.

    Raises:
        NotKnownError: no convergence.
    """
    with torch.no_grad():
        unknown, last = guess.detach(), float("inf")
        for _ in range(_MOST_STEPS):
            last_matrix = matrix(unknown)
            change = _solve(last_matrix, residual(unknown))
            size = change.abs().amax().item() if change.numel() else 0.0
            if not size <= 1e12 * scale:
                raise NotKnownError(f"Newton's method diverges in {where}.")
            unknown = unknown - change
            if size <= _SMALL * scale or (size >= 0.5 * last and size <= _GOOD * scale):
                break
            last = size
        else:
            raise NotKnownError(f"Newton's method does not converge in {where}.")
        if size > _SAME * scale:
            last_matrix = matrix(unknown)
    return unknown - _solve(last_matrix, residual(unknown))


def row_jacobians(field: PackedField, t: float | Tensor, y: Tensor) -> Tensor:
    """∂f_i/∂y_j of each row, `(batch, width, width)`, for a field whose rows do not interact."""
    with torch.enable_grad():
        leaf = y.detach().requires_grad_()
        slope = field(t, leaf)
        if not slope.requires_grad:
            return y.new_zeros(*y.shape, y.shape[1])
        rows = [
            torch.autograd.grad(slope[:, i].sum(), leaf, retain_graph=True, allow_unused=True)[0]
            for i in range(y.shape[1])
        ]
    return torch.stack([torch.zeros_like(y) if row is None else row for row in rows], dim=1)


def refuse_coupled_rows(flat: FlatProblem, most_width: int = 256) -> None:
    """Make sure that Jacobians of rows are all there is.

    Raises:
        NotKnownError: rows interact, or a row is too large for a dense matrix.
    """
    if flat.width > most_width:
        raise NotKnownError(f"A row has {flat.width} elements; stage equations are solved densely up to {most_width}.")
    t = flat.problem.ts[0]
    probe = torch.randn(flat.y0.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.enable_grad():
        leaf = flat.y0.clone().requires_grad_()
        slope = flat.field(t, leaf)
        whole = torch.autograd.grad(slope, leaf, probe, allow_unused=True)[0] if slope.requires_grad else None
    whole = torch.zeros_like(probe) if whole is None else whole
    apart = torch.einsum("bi,bij->bj", probe, row_jacobians(flat.field, t, flat.y0))
    if (whole - apart).norm() > 1e-9 * (1e-300 + whole.norm()):
        raise NotKnownError("Rows of the batch interact in this field, so the stage equations are not those of rows.")


def _solve(matrix: Tensor, residual: Tensor) -> Tensor:
    return torch.linalg.solve(matrix, residual.flatten(1).unsqueeze(-1)).reshape(residual.shape)
