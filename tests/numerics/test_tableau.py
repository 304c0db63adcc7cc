"""Butcher tableaux: what they refuse, what they derive, and whether others print the same coefficients."""

import dataclasses
from decimal import Decimal
from fractions import Fraction as F

import numpy as np
import pytest

from odebench.errors import TableauError
from odebench.numerics.tableau import ButcherTableau
from odebench.solvers.adaptive_heun import AdaptiveHeun
from odebench.solvers.bosh3 import Bosh3
from odebench.solvers.dopri5 import Dopri5
from odebench.solvers.dopri8 import Dopri8
from odebench.solvers.euler import Euler
from odebench.solvers.fehlberg21 import Fehlberg21
from odebench.solvers.heun import Heun
from odebench.solvers.heun3 import Heun3
from odebench.solvers.midpoint import Midpoint
from odebench.solvers.ralston import Ralston
from odebench.solvers.rk4 import Rk4
from odebench.solvers.rk38 import Rk38
from odebench.solvers.ssprk3 import SspRk3
from odebench.solvers.tsit5 import Tsit5
from tests.oracles import explicit_rk

SOLVERS = [
    Euler, Midpoint, Heun, AdaptiveHeun, Ralston, Heun3, SspRk3, Rk4, Rk38, Fehlberg21, Bosh3, Dopri5, Tsit5, Dopri8,
]  # fmt: skip
each_solver = pytest.mark.parametrize("solver", SOLVERS, ids=lambda solver: solver.name)
each_pair_of_torchdiffeq = pytest.mark.parametrize(
    ("solver", "module", "attribute"),
    [
        (AdaptiveHeun, "adaptive_heun", "AdaptiveHeunSolver"),
        (Fehlberg21, "fehlberg2", "Fehlberg2"),
        (Bosh3, "bosh3", "Bosh3Solver"),
        (Dopri5, "dopri5", "Dopri5Solver"),
        (Dopri8, "dopri8", "Dopri8Solver"),
    ],
)


def heun(**changes):
    """Heun's method of order 2 with Euler's embedded and its linear interpolant, with some fields changed."""
    fields = {
        "order": 2,
        "c": (0, 1),
        "a": ((), (1,)),
        "b": (F(1, 2), F(1, 2)),
        "b_error": (F(-1, 2), F(1, 2)),
        "dense": ((F(1, 2),), (F(1, 2),)),
        "dense_order": 1,
    }
    return ButcherTableau(**(fields | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"a": ((), (F(5, 6),))}, r"Row 1 of `a` sums to 5/6, but c\[1\] is 1. Each row must sum to its node"),
        ({"c": (F(1, 2), 1)}, r"Row 0 of `a` sums to 0, but c\[0\] is 1/2"),
        ({"b": (F(1, 2), F(1, 3))}, "`b` sums to 5/6, but a consistent method needs 1"),
        ({"b_error": (1, 0)}, "`b_error` sums to 1, but the difference of two methods sums to 0. It is b - b_hat"),
        ({"dense": ((F(1, 2),), (F(1, 3),))}, r"Row 1 of `dense` sums to 1/3, but b\[1\] is 1/2. At theta = 1"),
        ({"b": ()}, "`b` is empty"),
        ({"c": (0,)}, "`c` has 1 entries, but `b` has 2. Give one for each stage"),
        ({"a": ((),)}, "`a` has 1 entries, but `b` has 2"),
        ({"b_error": (0,)}, "`b_error` has 1 entries, but `b` has 2"),
        ({"dense": ((F(1, 2),),)}, "`dense` has 1 entries, but `b` has 2"),
        ({"a": ((), (F(1, 2), F(1, 2), 0))}, "Row 1 of `a` has 3 entries. It must have 1, or 2 with the diagonal"),
        ({"a": ((), ())}, "Row 1 of `a` has 0 entries"),
        ({"b": (0.5, F(1, 2))}, r"`b\[0\]` is 0.5, a float. Write a Fraction, an int, or a Decimal"),
        ({"a": ((), (True,))}, r"`a\[1\]\[0\]` is True, a bool"),
        ({"c": (0, Decimal("NaN"))}, r"`c\[1\]` is NaN. A coefficient must be finite"),
        ({"order": 0}, "`order` is 0. It must be a whole number, at least 1"),
        ({"order": 2.0}, "`order` is 2.0. It must be a whole number"),
        ({"b_error": None, "embedded_order": 1}, "`embedded_order` is 1 while `b_error` is missing. Give both"),
        ({"dense_order": None}, "`dense_order` is None while `dense` is given. Give both"),
    ],
)
def test_a_tableau_that_contradicts_itself_is_refused(changes, message):
    with pytest.raises(TableauError, match=message):
        heun(**changes)


def test_the_unchanged_tableau_of_those_refusals_is_accepted():
    tableau = heun()
    assert tableau.embedded_order == 1
    assert tableau.b_hat == (1, 0)
    assert tableau.weights_at(F(1, 2)) == (F(1, 4), F(1, 4))


def test_decimals_are_kept_to_the_last_digit_and_make_a_rounded_tableau():
    third = Decimal("0.33333333333333333333")
    tableau = ButcherTableau(order=1, c=(0, third), a=((), (third,)), b=(third, 1 - third))
    assert tableau.rounded
    assert tableau.b[0] == F(33333333333333333333, 10**20)
    assert ButcherTableau(order=1, c=(0, F(1, 3)), a=((), (third,)), b=(0, 1)).c[1] == F(1, 3)


def test_a_rounded_tableau_may_miss_a_sum_by_rounding_only():
    assert heun(b=(F(1, 2), F(1, 2) + F(1, 10**16)), dense=None, dense_order=None, rounded=True).rounded
    with pytest.raises(TableauError, match="`b` sums to"):
        heun(b=(F(1, 2), F(1, 2) + F(1, 10**16)), dense=None, dense_order=None)
    with pytest.raises(TableauError, match="`b` sums to"):
        heun(b=(F(1, 2), F(1, 2) + F(1, 10**13)), dense=None, dense_order=None, rounded=True)


def test_a_tableau_cannot_be_changed_and_equal_ones_are_equal():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Rk4.tableau.order = 5
    assert heun() == heun()
    assert hash(heun()) == hash(heun())
    assert heun() != heun(b_error=None)


def test_what_is_derived_follows_from_the_coefficients():
    assert {solver.name: solver.tableau.stages for solver in SOLVERS} == {
        "euler": 1, "midpoint": 2, "heun": 2, "adaptive-heun": 2, "ralston": 2, "heun3": 3, "ssprk3": 3, "rk4": 4,
        "rk38": 4, "fehlberg21": 3, "bosh3": 4, "dopri5": 7, "tsit5": 7, "dopri8": 14,
    }  # fmt: skip
    assert {solver.name for solver in SOLVERS if solver.tableau.fsal} == {"bosh3", "dopri5", "tsit5", "dopri8"}
    assert not any(solver.tableau.implicit for solver in SOLVERS)


def test_rows_have_the_same_length_whether_the_diagonal_is_written_or_not():
    explicit = ButcherTableau(order=2, c=(0, 1), a=((0,), (1, 0)), b=(F(1, 2), F(1, 2)))
    assert not explicit.implicit
    assert explicit.a_floats == ((), (1.0,))
    trapezoid = ButcherTableau(order=2, c=(0, 1), a=((), (F(1, 2), F(1, 2))), b=(F(1, 2), F(1, 2)))
    assert trapezoid.implicit
    assert trapezoid.stiffly_accurate
    assert not trapezoid.fsal
    assert trapezoid.a_floats == ((0.0,), (0.5, 0.5))


@each_solver
def test_floats_are_the_fractions_rounded_once(solver):
    tableau = solver.tableau
    assert tableau.b_floats == tuple(x.numerator / x.denominator for x in tableau.b)
    assert tableau.c_floats == tuple(float(x) for x in tableau.c)
    assert [len(row) for row in tableau.a_floats] == list(range(tableau.stages))
    assert (tableau.b_error_floats is None) == (tableau.b_error is None)
    assert (tableau.dense_floats is None) == (tableau.dense is None)


def test_a_tableau_without_continuous_extension_has_no_weights_in_between():
    with pytest.raises(TableauError, match="no `dense`"):
        Rk4.tableau.weights_at(F(1, 2))


@each_solver
def test_the_oracles_coefficients_are_the_same(solver):
    """They were typed from other sources: a slip of the pen on either side shows here."""
    c, a, b = explicit_rk.METHODS[solver.name]
    tableau = solver.tableau
    stages = len(b)  # the oracle leaves out a last stage that serves only the next step
    assert stages == tableau.stages - tableau.fsal
    assert tableau.c_floats[:stages] == pytest.approx(c, rel=1e-15, abs=0)
    assert tableau.b_floats[:stages] == pytest.approx(b, rel=1e-15, abs=0)
    for ours, theirs in zip(tableau.a_floats[:stages], a, strict=True):
        assert ours == pytest.approx(theirs, rel=3e-15, abs=0)


@pytest.mark.parametrize(("solver", "name"), [(Bosh3, "RK23"), (Dopri5, "RK45")])
def test_scipy_has_the_same_coefficients(solver, name):
    theirs = getattr(pytest.importorskip("scipy.integrate"), name)
    tableau = solver.tableau
    stages = theirs.n_stages
    for ours, row in zip(tableau.a_floats[:stages], theirs.A, strict=True):
        np.testing.assert_allclose(ours, row[: len(ours)], rtol=1e-15)
    np.testing.assert_allclose(tableau.c_floats[:stages], theirs.C, rtol=1e-15)
    np.testing.assert_allclose(tableau.b_floats, [*theirs.B, 0], rtol=1e-15)
    # SciPy's E is b_hat - b
    np.testing.assert_allclose(tableau.b_error_floats, -theirs.E, rtol=1e-14)


def test_scipy_has_the_same_dense_output_of_dopri5():
    theirs = pytest.importorskip("scipy.integrate").RK45.P
    np.testing.assert_allclose(Dopri5.tableau.dense_floats, theirs, rtol=1e-14)


@each_pair_of_torchdiffeq
def test_torchdiffeq_has_the_same_pairs(solver, module, attribute):
    implementation = pytest.importorskip(f"torchdiffeq._impl.{module}")
    theirs = getattr(implementation, attribute)
    tableau = solver.tableau
    assert tableau.order == theirs.order
    np.testing.assert_allclose(tableau.c_floats[1:], theirs.tableau.alpha, rtol=1e-15)
    for ours, row in zip(tableau.a_floats[1:], theirs.tableau.beta, strict=True):
        np.testing.assert_allclose(ours, row, rtol=1e-15)
    np.testing.assert_allclose(tableau.b_floats, theirs.tableau.c_sol, rtol=1e-15)
    b_error = solver.odeint_b_error or tableau.b_error
    # Only the norm of the error is ever used; that of adaptive_heun has the other sign there.
    sign = -1 if solver is AdaptiveHeun else 1
    np.testing.assert_allclose([sign * float(x) for x in b_error], theirs.tableau.c_error, rtol=1e-13, atol=1e-17)
    # The mid-point weights of dopri8 are sums in which digits cancel.
    np.testing.assert_allclose([float(x) for x in solver.odeint_midpoint], theirs.mid, rtol=1e-12, atol=1e-16)


def test_torchdiffeq_embeds_two_thirds_of_dormand_and_princes_error():
    """Thus `odeint` needs weights of its own: with the paper's it would choose other steps."""
    ratios = {theirs / ours for theirs, ours in zip(Dopri5.odeint_b_error, Dopri5.tableau.b_error, strict=True) if ours}
    assert ratios == {F(2, 3)}
    embedded = tuple(b - error for b, error in zip(Dopri5.tableau.b, Dopri5.odeint_b_error, strict=True))
    assert embedded[0] == F(1951, 21600)
    assert embedded[-1] == F(1, 60)


def test_the_midpoint_of_dopri8_is_its_dense_output_but_for_the_correction_at_the_end():
    ours = [float(x) for x in Dopri8.tableau.weights_at(F(1, 2))]
    assert ours == pytest.approx([float(x) for x in Dopri8.odeint_midpoint], rel=0, abs=2e-14)


def test_every_runge_kutta_method_of_torchdiffeq_has_a_counterpart():
    torchdiffeq = pytest.importorskip("torchdiffeq._impl.odeint")
    others = {"explicit_adams", "implicit_adams", "fixed_adams", "scipy_solver"}
    assert {solver.odeint_name for solver in SOLVERS} - {None} == set(torchdiffeq.SOLVERS) - others


def test_ssprk3_is_a_convex_combination_of_euler_steps():
    """The form of Shu and Osher's paper, on a field for which the stages differ in all digits."""

    def field(t, y):
        return y * y - F(2) * t + F(1, 3)

    t, dt, y = F(1, 7), F(1, 5), F(3, 4)
    first = y + dt * field(t, y)
    second = F(3, 4) * y + F(1, 4) * (first + dt * field(t + dt, first))
    expected = F(1, 3) * y + F(2, 3) * (second + dt * field(t + dt / 2, second))

    tableau = SspRk3.tableau
    slopes = []
    for node, row in zip(tableau.c, tableau.a, strict=True):
        slopes.append(field(t + node * dt, y + dt * sum(x * k for x, k in zip(row, slopes, strict=True))))
    assert y + dt * sum(x * k for x, k in zip(tableau.b, slopes, strict=True)) == expected
