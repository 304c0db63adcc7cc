"""Solving the stage equations of implicit methods: Newton's method with the dense Jacobian."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from odebench.errors import IncompatibleError
from odebench.numerics.timed_field import TimedField

LARGEST_JACOBIAN = 2**27
"""Elements of the largest Jacobian that is formed, 1 GiB in float64: beyond it a dense method is the wrong one."""

_MOST_ITERATIONS = 40
_SLOW = 0.3
"""A contraction slower than this is worth a new Jacobian."""


class Linearisation:
    """I - s·J, factorised, with J the Jacobian of the field at one state.

    Where the rows of the batch do not interact, J is a block for each row; otherwise one block for all.

    Attributes:
        value: the field at that state; on autograd's graph where gradients are enabled.
    """

    def __init__(self, field: TimedField, t: float, y: Tensor, shift: float) -> None:
        self._shape = y.shape
        recording = torch.is_grad_enabled()
        # The Jacobian needs a graph down to the state: y's own where it is on one, a leaf made for it otherwise.
        x = y if recording and y.requires_grad else y.detach().requires_grad_()
        with torch.enable_grad():
            value = field(t, x)
        rows = self._rows(field, x, value)
        jacobian = _jacobian(x, value, rows, keep=recording)
        if not recording:
            self.value = value.detach()
        else:  # whoever differentiates `value` must not meet the leaf
            self.value = value if x is y else field(t, y)
        with torch.no_grad():
            identity = torch.eye(jacobian.shape[-1], dtype=jacobian.dtype, device=jacobian.device)
            self.factors = torch.linalg.lu_factor(identity - shift * jacobian)

    def solve(self, right: Tensor, adjoint: bool = False) -> Tensor:
        """(I - s·J)⁻¹ applied to a state, or its transpose."""
        lu, pivots = self.factors
        columns = right.to(lu.dtype).reshape(lu.shape[0], lu.shape[1], 1)
        return torch.linalg.lu_solve(lu, pivots, columns, adjoint=adjoint).reshape(self._shape).to(right.dtype)

    @staticmethod
    def _rows(field: TimedField, x: Tensor, value: Tensor) -> int:
        """Number of blocks: the rows of the batch, or 1 where they interact."""
        if x.dim() < 2 or x.shape[0] <= 1:
            return 1
        if field.rows_interact is None and value.requires_grad:
            field.rows_interact = _rows_interact(x, value)
        return 1 if field.rows_interact else x.shape[0]


def _rows_interact(x: Tensor, value: Tensor) -> bool:
    """Whether a row of `value` depends on another row of x.

    Any two rows differ in some binary digit of their numbers: so for each digit, rows that have it must not depend on those
    that have not, nor the other way round. That takes 2·log₂(rows) products.
    """
    # Irregular weights, lest the dependences of several rows cancel.
    weights = torch.arange(value.numel(), device=value.device).cos().add(2.0).to(value.dtype).reshape(value.shape)
    numbers = torch.arange(x.shape[0], device=x.device)
    for digit in range((x.shape[0] - 1).bit_length()):
        has = (numbers >> digit) & 1 == 1
        for rows in (has, ~has):
            cotangent = weights * rows.reshape(-1, *(1,) * (value.dim() - 1))
            (sensitivity,) = torch.autograd.grad(value, x, cotangent, retain_graph=True, allow_unused=True)
            if sensitivity is not None and bool((sensitivity[~rows] != 0).any()):
                return True
    return False


def _jacobian(x: Tensor, value: Tensor, rows: int, keep: bool) -> Tensor:
    """∂value/∂x as `(rows, n, n)`, in at least float32."""
    n = x.numel() // max(rows, 1)
    dtype = torch.promote_types(x.dtype, torch.float32)
    if rows * n * n > LARGEST_JACOBIAN:
        raise IncompatibleError(
            f"The dense Jacobian of a state with {n} elements in a row has {rows * n * n:.3g} elements, more than "
            f"{LARGEST_JACOBIAN:.3g}. Use an explicit solver, or a smaller batch."
        )
    if not value.requires_grad or n == 0:
        return torch.zeros(rows, n, n, dtype=dtype, device=x.device)
    basis = torch.eye(n, dtype=value.dtype, device=x.device)
    cotangents = basis[:, None, :].expand(n, rows, n).reshape(n, *value.shape)
    try:
        (product,) = torch.autograd.grad(
            value, x, cotangents, is_grads_batched=True, retain_graph=True, allow_unused=True
        )
    except RuntimeError:  # an operation of the field that has no batching rule: one product after the other
        products = [torch.autograd.grad(value, x, c, retain_graph=True, allow_unused=True)[0] for c in cotangents]
        product = None if products[0] is None else torch.stack(products)
    if product is None:
        return torch.zeros(rows, n, n, dtype=dtype, device=x.device)
    return product.detach().reshape(n, rows, n).transpose(0, 1).to(dtype)


def solve_stage(
    field: TimedField, t: float, base: Tensor, shift: float, guess: Tensor, linear: Linearisation
) -> Tensor | None:
    """Y with Y = base + shift·f(t, Y), to rounding; None where Newton's method does not converge.

    A linearisation from the start of the step serves for as long as it contracts; then a new one is made. Where gradients are
    enabled, Y depends on base and on the field's parameters as the implicit function theorem says:
    (I - shift·J) dY = dbase + shift·∂f/∂θ dθ, J taken at the solution.

    Source: E. Hairer, G. Wanner, "Solving ODEs II", 2nd ed., section IV.8.
    """
    with torch.no_grad():
        fixed, y = base.detach(), guess.detach()
        goal = 4.0 * torch.finfo(y.dtype).eps
        before = float("inf")
        for _ in range(_MOST_ITERATIONS):
            change = linear.solve(torch.add(fixed - y, field(t, y), alpha=shift))
            y = y + change
            size = _relative_size(change, y, fixed)
            if size <= goal or (size <= 1e3 * goal and size >= 0.5 * before):
                break
            if not size < float("inf"):
                return None
            if size > _SLOW * before:
                linear = Linearisation(field, t, y, shift)
                before = float("inf")
            else:
                before = size
        else:
            return None
    if not torch.is_grad_enabled():
        return y
    at_solution = Linearisation(field, t, y, shift)
    residual = torch.add(base, at_solution.value, alpha=shift)
    return _Implicit.apply(y, residual, at_solution)


class _Implicit(torch.autograd.Function):
    """The solution, as a function of the right-hand side `base + shift·f` at the fixed solution."""

    @staticmethod
    def forward(ctx, solution: Tensor, right: Tensor, linear: Linearisation) -> Tensor:
        ctx.linear = linear
        linear.value = None  # only the factors are needed; the value belongs to the graph of `right`
        return solution.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[None, Tensor, None]:
        return None, ctx.linear.solve(gradient, adjoint=True), None


def _relative_size(change: Tensor, y: Tensor, base: Tensor) -> float:
    """Largest ratio over the rows of |change| to |y| + |base|, in l2 norms.

    Rounding in y = base + shift·f is relative to its terms: y itself can be zero. Without `base` in the scale, no iteration
    would be good enough near such a state.
    """
    if y.numel() == 0:
        return 0.0
    sizes = []
    for part in (change, y, base):
        flat = part.reshape(1, -1) if y.dim() < 2 else part.flatten(1)
        sizes.append(torch.linalg.vector_norm(flat, dim=1, dtype=torch.promote_types(part.dtype, torch.float32)))
    scale = sizes[1].add_(sizes[2]).clamp_min_(torch.finfo(sizes[1].dtype).tiny)
    return float((sizes[0] / scale).amax())
