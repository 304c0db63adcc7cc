"""Butcher tableaux: the coefficients that make a Runge-Kutta method, kept as exact fractions."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cached_property

from odebench.errors import TableauError

Coefficient = Fraction | int | Decimal
"""What a tableau may be written in. A Decimal stands where the source prints decimals, and keeps all their digits."""

ROUNDING = Fraction(1, 10**15)
"""Relative tolerance of the identities of a rounded tableau: 15 digits are what sources print and float64 keeps."""


@dataclass(frozen=True, kw_only=True)
class ButcherTableau:
    """One explicit or diagonally implicit Runge-Kutta method.

    A step of length dt from (t, y) is

        k_i = f(t + c_i dt, y + dt sum_j a_ij k_j)
        y1  = y + dt sum_i b_i k_i

    Args:
        order: the order p of y1.
        c: nodes, one a stage.
        a: one row a stage. Row i holds i coefficients (explicit) or i + 1 (with the diagonal).
        b: weights of y1, one a stage.
        b_error: b - b_hat, so that `dt * sum(b_error * k)` is the estimate of the local error; None without one.
        embedded_order: order of the method b_hat; `order - 1` when `b_error` is given and this is not.
        dense: the continuous extension, one row a stage: row i holds the coefficients of b_i(theta) in
            theta, theta**2, ..., so that y(t + theta dt) = y + dt sum_i b_i(theta) k_i; None without one.
        dense_order: order of that extension, for every theta in [0, 1].
        rounded: True where the source prints rational approximations of other numbers. Identities then hold to
            `ROUNDING` instead of exactly. A Decimal anywhere sets it.

    Whatever is given, the attributes hold tuples of Fraction; rows of `a` have i entries when the method is explicit
    and i + 1 when it is not.

    Raises:
        TableauError: a size is wrong, a coefficient is a float, a row of `a` does not sum to its node, `b` does not
            sum to 1 or `b_error` to 0, or b_i(1) is not b_i.

    Source: E. Hairer, S. P. Nørsett, G. Wanner, "Solving Ordinary Differential Equations I", 2nd ed., Definition
    II.1.1, sections II.4 (embedded methods) and II.6 (dense output).
    """

    order: int
    c: tuple[Coefficient, ...]
    a: tuple[tuple[Coefficient, ...], ...]
    b: tuple[Coefficient, ...]
    b_error: tuple[Coefficient, ...] | None = None
    embedded_order: int | None = None
    dense: tuple[tuple[Coefficient, ...], ...] | None = None
    dense_order: int | None = None
    rounded: bool = False

    def __post_init__(self) -> None:
        given = [*self.c, *self.b, *(self.b_error or ()), *_flat(self.a), *_flat(self.dense or ())]
        self._set("rounded", self.rounded or any(isinstance(x, Decimal) for x in given))
        for name in ("c", "b", "b_error"):
            if getattr(self, name) is not None:
                self._set(name, _exact_row(getattr(self, name), name))
        for name in ("a", "dense"):
            if getattr(self, name) is not None:
                rows = enumerate(getattr(self, name))
                self._set(name, tuple(_exact_row(row, f"{name}[{i}]") for i, row in rows))
        self._check_sizes()
        self._set("a", tuple(_resized(row, i + self.implicit) for i, row in enumerate(self.a)))
        self._check_orders()
        self._check_sums()

    @property
    def stages(self) -> int:
        """Number of stages, the last one included where it is the first of the next step."""
        return len(self.b)

    @cached_property
    def implicit(self) -> bool:
        """Whether a stage depends on itself: a coefficient on the diagonal of `a` is not zero."""
        return any(len(row) > i and row[i] != 0 for i, row in enumerate(self.a))

    @cached_property
    def stiffly_accurate(self) -> bool:
        """Whether y1 is the argument of the last stage: the last row of `a` is `b`."""
        return _resized(self.a[-1], self.stages) == self.b

    @cached_property
    def fsal(self) -> bool:
        """Whether an explicit method's last stage is f(t + dt, y1), thus the first stage of the next step."""
        # That b[-1] is 0 and c[-1] is 1 follows: the last row of an explicit method ends with 0, and sums to 1 as `b` does.
        return not self.implicit and self.stiffly_accurate

    @cached_property
    def b_hat(self) -> tuple[Fraction, ...] | None:
        """Weights of the embedded method, or None without one."""
        if self.b_error is None:
            return None
        return tuple(b - error for b, error in zip(self.b, self.b_error, strict=True))

    @cached_property
    def c_floats(self) -> tuple[float, ...]:
        """`c`, each rounded once to float64; likewise for those below."""
        return _floats(self.c)

    @cached_property
    def a_floats(self) -> tuple[tuple[float, ...], ...]:
        return tuple(_floats(row) for row in self.a)

    @cached_property
    def b_floats(self) -> tuple[float, ...]:
        return _floats(self.b)

    @cached_property
    def b_error_floats(self) -> tuple[float, ...] | None:
        return None if self.b_error is None else _floats(self.b_error)

    @cached_property
    def dense_floats(self) -> tuple[tuple[float, ...], ...] | None:
        return None if self.dense is None else tuple(_floats(row) for row in self.dense)

    def weights_at(self, theta: Fraction | int) -> tuple[Fraction, ...]:
        """The weights b_i(theta) of the continuous extension, exactly.

        Raises:
            TableauError: the tableau has no continuous extension.
        """
        if self.dense is None:
            raise TableauError("`weights_at` needs a continuous extension; this tableau has no `dense`. Give its rows.")
        return tuple(sum((x * theta ** (n + 1) for n, x in enumerate(row)), Fraction(0)) for row in self.dense)

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)  # the one way to normalise a field of a frozen dataclass

    def _check_sizes(self) -> None:
        if not self.b:
            raise TableauError("`b` is empty, so the method has no stage. Give one weight for each stage.")
        for name in ("c", "a", "b_error", "dense"):
            rows = getattr(self, name)
            if rows is not None and len(rows) != self.stages:
                raise TableauError(
                    f"`{name}` has {len(rows)} entries, but `b` has {self.stages}. Give one for each stage."
                )
        for i, row in enumerate(self.a):
            if len(row) not in (i, i + 1):
                raise TableauError(
                    f"Row {i} of `a` has {len(row)} entries. It must have {i}, or {i + 1} with the diagonal: only "
                    "explicit and diagonally implicit methods can be written as a tableau."
                )

    def _check_orders(self) -> None:
        if self.b_error is not None and self.embedded_order is None:
            self._set("embedded_order", self.order - 1)
        for name, owner, least in (("order", "b", 1), ("embedded_order", "b_error", 0), ("dense_order", "dense", 1)):
            value = getattr(self, name)
            if (value is None) != (getattr(self, owner) is None):
                raise TableauError(
                    f"`{name}` is {value} while `{owner}` is {_presence(getattr(self, owner))}. Give both."
                )
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
                raise TableauError(f"`{name}` is {value!r}. It must be a whole number, at least {least}.")

    def _check_sums(self) -> None:
        for i, (row, node) in enumerate(zip(self.a, self.c, strict=True)):
            self._check_sum(f"Row {i} of `a`", row, node, f"c[{i}] is", "Each row must sum to its node")
        self._check_sum("`b`", self.b, Fraction(1), "a consistent method needs", "Each weight counts")
        if self.b_error is not None:
            self._check_sum(
                "`b_error`", self.b_error, Fraction(0), "the difference of two methods sums to",
                "It is b - b_hat, not b_hat",
            )  # fmt: skip
        for i, row in enumerate(self.dense or ()):
            self._check_sum(f"Row {i} of `dense`", row, self.b[i], f"b[{i}] is", "At theta = 1 it must give `b`")

    def _check_sum(self, what: str, terms: Sequence[Fraction], expected: Fraction, named: str, rule: str) -> None:
        found = sum(terms, Fraction(0))
        tolerance = ROUNDING * max(1, sum(map(abs, terms))) if self.rounded else 0
        if abs(found - expected) > tolerance:
            shown = (float(found), float(expected)) if self.rounded else (found, expected)
            raise TableauError(
                f"{what} sums to {shown[0]}, but {named} {shown[1]}. {rule}: check it against its source."
            )


def _exact_row(row: Iterable[Coefficient], where: str) -> tuple[Fraction, ...]:
    return tuple(_exact(x, f"{where}[{i}]") for i, x in enumerate(row))


def _exact(value: Coefficient, where: str) -> Fraction:
    if isinstance(value, bool) or not isinstance(value, Fraction | int | Decimal):
        raise TableauError(
            f"`{where}` is {value!r}, a {type(value).__name__}. Write a Fraction, an int, or a Decimal made from the "
            "printed digits: a float has lost the digits that the order conditions are checked with."
        )
    if isinstance(value, Decimal) and not value.is_finite():
        raise TableauError(f"`{where}` is {value}. A coefficient must be finite.")
    return Fraction(value)


def _resized(row: tuple[Fraction, ...], length: int) -> tuple[Fraction, ...]:
    return row[:length] + (Fraction(0),) * (length - len(row))


def _flat(rows: Iterable[Iterable[Coefficient]]) -> list[Coefficient]:
    return [x for row in rows for x in row]


def _floats(row: tuple[Fraction, ...]) -> tuple[float, ...]:
    return tuple(float(x) for x in row)


def _presence(value: object) -> str:
    return "missing" if value is None else "given"
