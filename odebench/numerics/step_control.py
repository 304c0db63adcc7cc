"""How long the next step may be."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from odebench.contract import Tolerance
from odebench.numerics.timed_field import TimedField


class ErrorNorm:
    """Root mean square of an error over atol + rtol·max(|y0|, |y1|), y0 the last accepted state and y1 the proposed one.

    Source: E. Hairer, S. P. Nørsett, G. Wanner, "Solving ODEs I", 2nd ed., equations II.4.10 and II.4.11.
    """

    def __init__(self, tolerance: Tolerance, y0: Tensor) -> None:
        self._size = y0.detach().abs()
        self._rtol, self._elements = tolerance.rtol, tolerance.norm_elements
        # The smallest normal number for an atol of 0: an element that is and stays 0 has no error, rather than 0/0.
        atol = tolerance.atol or torch.finfo(self._size.dtype).tiny
        self._atol = torch.scalar_tensor(atol, dtype=self._size.dtype, device=y0.device)
        self._proposed = self._size
        self._root = math.sqrt(y0.numel() if self._elements is None else min(self._elements, y0.numel()))
        self._is_half = self._size.dtype in (torch.float16, torch.bfloat16)

    def __call__(self, error: Tensor, y1: Tensor) -> float:
        """The norm of `error` for the proposed state; one synchronisation with the device."""
        self._proposed = (y1.detach() if y1.requires_grad else y1).abs()
        return self.of(error, torch.maximum(self._size, self._proposed))

    def accept(self) -> None:
        """The proposed state is the state now."""
        self._size = self._proposed

    def of(self, value: Tensor, size: Tensor | None = None) -> float:
        """The norm of `value` at states of absolute value `size`, that of the state where it is not given."""
        ratio = value / torch.add(self._atol, self._size if size is None else size, alpha=self._rtol)
        if self._elements is not None:
            ratio = ratio.reshape(-1)[: self._elements]
        if self._is_half:
            ratio = ratio.float()
        return torch.linalg.vector_norm(ratio).item() / self._root if self._root else 0.0


class StepControl:
    """A proportional-integral controller of the step size, in Python floats.

    An accepted step of scaled error e, after one of e', is followed by one that is
    safety · e^(-integral/k) · e'^(proportional/k) times as long, k the order of the local error estimate; a rejected one is
    tried again at safety · e^(-1/k) times its length, and the step after it does not grow.

    Source: K. Gustafsson, "Control-theoretic techniques for stepsize selection in explicit Runge-Kutta methods",
    ACM TOMS 17(4), 1991, doi:10.1145/210232.210242; constants as in E. Hairer, S. P. Nørsett, G. Wanner, "Solving ODEs
    I", 2nd ed., section IV.2 of volume II (beta = 0.2/k, alpha = 1/k - 0.75 beta).
    """

    def __init__(self, tolerance: Tolerance, error_order: int) -> None:
        self.tolerance = tolerance
        self.k = error_order
        self.previous = 1e-4
        self.rejected_last = False

    def accepted(self, error: float) -> float:
        """The factor on the step after an accepted one of this scaled error."""
        tolerance = self.tolerance
        if error == 0.0:
            factor = tolerance.max_factor
        else:
            factor = tolerance.safety * error ** (-tolerance.integral / self.k)
            if tolerance.proportional:
                factor *= self.previous ** (tolerance.proportional / self.k)
        ceiling = 1.0 if self.rejected_last else tolerance.max_factor
        self.previous = max(error, 1e-4)
        self.rejected_last = False
        return min(ceiling, max(tolerance.min_factor, factor))

    def rejected(self, error: float) -> float:
        """The factor on the step that is tried instead of a rejected one; `error` may be infinite or NaN."""
        self.rejected_last = True
        if not math.isfinite(error):
            return self.tolerance.min_factor
        return min(1.0, max(self.tolerance.min_factor, self.tolerance.safety * error ** (-1.0 / self.k)))


def first_step(
    field: TimedField, t: float, y: Tensor, slope: Tensor, span: float, norm: ErrorNorm, error_order: int
) -> float:
    """A first step, signed as `span`, from one explicit Euler step; costs one evaluation.

    Args:
        slope: the derivative at (t, y).
        span: the whole time to go, signed; the step is no longer.
        norm: at the state y.
        error_order: order of the local error, the exponent's denominator.

    Source: E. Hairer, S. P. Nørsett, G. Wanner, "Solving ODEs I", 2nd ed., section II.4, "Starting Step Size".
    """
    d0, d1 = norm.of(y.detach()), norm.of(slope.detach())
    h0 = 0.01 * d0 / d1 if d0 >= 1e-5 and d1 >= 1e-5 else 1e-6
    # An infinite slope leaves 0, with which there is nothing to try.
    h0 = math.copysign(min(h0 or 1e-6, abs(span)), span)
    with torch.no_grad():
        ahead = field(t + h0, torch.add(y, slope, alpha=h0))
    d2 = norm.of(ahead - slope.detach()) / abs(h0)
    steepest = max(d1, d2)
    h1 = max(1e-6, abs(h0) * 1e-3) if steepest <= 1e-15 else (0.01 / steepest) ** (1.0 / error_order)
    step = min(100.0 * abs(h0), h1, abs(span))
    # A field that is not finite here gives no information; the loop will end with the right message.
    return math.copysign(step if math.isfinite(step) and step > 0.0 else abs(h0), span)
