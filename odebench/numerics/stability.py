"""Where a method is stable: its stability function R, and the parts of the axes on which |R| is at most 1."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from odebench.contract import Solver, StepSize
from odebench.errors import OdebenchError
from odebench.numerics.tableau import ButcherTableau

# Below this a coefficient is the rounding of a tableau whose source prints decimals, or of a step in float64.
_ROUNDING = 1e-11
# Steps after which a method that looks back has left the one that it starts with.
_LOOKING_BACK = 16
_LONGEST = 40


@dataclass(frozen=True, kw_only=True)
class StabilityFunction:
    """R(z) = P(z)/Q(z): what one step of length dt makes of y' = λ y, where z = λ dt.

    Attributes:
        numerator: coefficients of P, by rising powers.
        denominator: those of Q; (1,) for an explicit method.

    Source: E. Hairer, G. Wanner, "Solving ODEs II", 2nd ed., Definition IV.2.1 and section IV.3.
    """

    numerator: tuple[Fraction, ...]
    denominator: tuple[Fraction, ...] = (Fraction(1),)

    def at(self, z: complex | np.ndarray) -> complex | np.ndarray:
        """R(z)."""
        return np.polyval(_falling(self.numerator), z) / np.polyval(_falling(self.denominator), z)

    @cached_property
    def real_end(self) -> float:
        """The largest x such that |R| is at most 1 on all of [-x, 0]; infinite where there is no end."""
        p, q = ([(-1) ** k * x for k, x in enumerate(row)] for row in (self.numerator, self.denominator))
        return _first_exit(_minus(_times(q, q), _times(p, p)))

    @cached_property
    def imaginary_end(self) -> float:
        """The largest y such that |R| is at most 1 on all of [-iy, iy]; 0 where the method damps no oscillation."""
        p, q = (_times(_on_axis(row, 0), _on_axis(row, 0)) for row in (self.numerator, self.denominator))
        p = _plus(p, _times(_on_axis(self.numerator, 1), _on_axis(self.numerator, 1)))
        q = _plus(q, _times(_on_axis(self.denominator, 1), _on_axis(self.denominator, 1)))
        return _first_exit(_minus(q, p))

    @cached_property
    def a_stable(self) -> bool:
        """Whether |R| is at most 1 on the whole left half plane: on its border, and without a pole in it."""
        return math.isinf(self.imaginary_end) and all(pole.real > 0 for pole in _roots(self.denominator))

    @cached_property
    def l_stable(self) -> bool:
        """Whether it is A-stable and R vanishes at infinity, so that the stiffest parts are damped in one step."""
        return self.a_stable and len(_trimmed(self.numerator)) < len(_trimmed(self.denominator))


def stability_function(tableau: ButcherTableau) -> StabilityFunction:
    """R of a Runge-Kutta method, exactly: 1 + z b (I - z A)⁻¹ 1, with the denominator det(I - z A).

    The series of R has the coefficients b Aᵏ⁻¹ 1; times the denominator, a polynomial of degree s at most remains.
    """
    stages = tableau.stages
    vector = [Fraction(1)] * stages
    series = [Fraction(1)]
    for _ in range(stages):
        series.append(sum((b * x for b, x in zip(tableau.b, vector, strict=True)), Fraction(0)))
        vector = [sum((a * x for a, x in zip(row, vector, strict=False)), Fraction(0)) for row in tableau.a]
    denominator = [Fraction(1)]
    for i, row in enumerate(tableau.a):
        denominator = _times(denominator, [Fraction(1), -row[i] if len(row) > i else Fraction(0)])
    numerator = _times(series, denominator)[: stages + 1]
    return StabilityFunction(numerator=_trimmed(numerator), denominator=_trimmed(denominator))


def measured_stability_function(solver: Solver) -> StabilityFunction | None:
    """R of an explicit one-step method of which no tableau is known: what one step of length 1 makes of a chain.

    In y' = S y, where S shifts components by one, a step from (1, 0, 0, …) gives R(S) (1, 0, 0, …), whose components are R's
    coefficients. None where the solver takes no such step, where they do not end (an implicit method), or where many steps
    are not powers of R (a method that looks back).
    """
    try:
        calls, coefficients = _chain(solver, 1)
        _, many = _chain(solver, _LOOKING_BACK)
    except (OdebenchError, ArithmeticError):
        return None
    degree = min(calls, _LONGEST - 1)
    if any(abs(x) > _ROUNDING for x in coefficients[degree + 1 :]):
        return None
    small = [x / _LOOKING_BACK**k for k, x in enumerate(coefficients[: degree + 1])]
    power = [1.0]
    for _ in range(_LOOKING_BACK):
        power = _times(power, small)[:_LONGEST]
    power += [0.0] * (_LONGEST - len(power))
    if any(abs(x - y) > _ROUNDING for x, y in zip(power, many, strict=True)):
        return None
    return StabilityFunction(numerator=_trimmed([Fraction(x) for x in coefficients[: degree + 1]]))


def _chain(solver: Solver, steps: int) -> tuple[int, list[float]]:
    """Evaluations, and the components of a chain after `steps` steps over [0, 1]."""
    calls = 0

    def shift(t: Tensor, y: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return torch.cat([torch.zeros_like(y[:, :1]), y[:, :-1]], dim=1)

    start = torch.zeros(1, _LONGEST, dtype=torch.float64)
    start[0, 0] = 1.0
    with torch.no_grad():
        y1 = solver.solve(shift, start, (0.0, 1.0), StepSize(steps=steps)).y1
    return calls, y1[0].tolist()


def _first_exit(margin: Sequence[Fraction]) -> float:
    """Where the polynomial `margin`(x), 0 at x = 0, first becomes negative for x > 0; infinite where it never does."""
    # The square of the exponential function has the coefficients 2ᵏ/k!.
    clear = [k for k, x in enumerate(margin) if abs(x) > _ROUNDING * 2**k * _size(k)]
    if not clear:
        return math.inf
    rest = [x if k in clear else Fraction(0) for k, x in enumerate(margin)][clear[0] : clear[-1] + 1]
    if rest[0] < 0:
        return 0.0
    value = lambda x: np.polyval(_falling(rest), x)  # noqa: E731
    for root in sorted(r.real for r in _roots(rest) if abs(r.imag) <= 1e-7 * abs(r) and r.real > 0):
        if value(root * (1 + 1e-4)) < 0:  # it only touches zero otherwise
            return float(root)
    return math.inf


def _on_axis(row: Sequence[Fraction], part: int) -> list[Fraction]:
    """Real (0) or imaginary (1) part of a polynomial at iy, as a polynomial in y."""
    return [x * (1, -1)[k // 2 % 2] if k % 2 == part else Fraction(0) for k, x in enumerate(row)]


def _times(left: Sequence, right: Sequence) -> list:
    product = [0 * left[0]] * (len(left) + len(right) - 1)
    for i, x in enumerate(left):
        for j, y in enumerate(right):
            product[i + j] += x * y
    return product


def _plus(left: Sequence[Fraction], right: Sequence[Fraction]) -> list[Fraction]:
    length = max(len(left), len(right))
    return [(left[k] if k < len(left) else 0) + (right[k] if k < len(right) else 0) for k in range(length)]


def _minus(left: Sequence[Fraction], right: Sequence[Fraction]) -> list[Fraction]:
    return _plus(left, [-x for x in right])


def _trimmed(row: Sequence[Fraction]) -> tuple[Fraction, ...]:
    """Without leading coefficients that are nothing but rounding."""
    last = max((k for k, x in enumerate(row) if abs(x) > _ROUNDING * _size(k)), default=0)
    return tuple(row[: last + 1])


def _size(power: int) -> float:
    """What a coefficient of this power is compared with: that of the exponential function, whose size it has."""
    return 1.0 / math.factorial(power)


def _roots(row: Sequence[Fraction]) -> np.ndarray:
    return np.roots(_falling(row)) if len(row) > 1 else np.array([])


def _falling(row: Sequence[Fraction]) -> list[float]:
    return [float(x) for x in reversed(row)]
