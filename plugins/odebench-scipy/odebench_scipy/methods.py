"""The methods of `solve_ivp`."""

from __future__ import annotations

from typing import ClassVar

from scipy import integrate

from odebench_scipy.solver import ScipySolver


class Rk23(ScipySolver):
    """Bogacki and Shampine's 3(2) pair, continued with order 3."""

    name: ClassVar[str] = "scipy/rk23"
    method: ClassVar[type[integrate.OdeSolver]] = integrate.RK23
    source: ClassVar[str] = (
        "P. Bogacki, L. F. Shampine, Appl. Math. Lett. 2(4), 1989; SciPy 1.17.1, scipy.integrate.RK23"
    )
    order = 3
    evaluations_of_attempt: ClassVar[int | None] = 3


class Rk45(ScipySolver):
    """Dormand and Prince's 5(4) pair, continued with order 5; inside a step Shampine's quartic."""

    name: ClassVar[str] = "scipy/rk45"
    method: ClassVar[type[integrate.OdeSolver]] = integrate.RK45
    source: ClassVar[str] = (
        "J. R. Dormand, P. J. Prince, J. Comput. Appl. Math. 6(1), 1980; SciPy 1.17.1, scipy.integrate.RK45"
    )
    order = 5
    evaluations_of_attempt: ClassVar[int | None] = 6


class Dop853(ScipySolver):
    """Hairer's DOP853, order 8 with error estimates of orders 5 and 3; each step with output times inside takes three further evaluations."""

    name: ClassVar[str] = "scipy/dop853"
    method: ClassVar[type[integrate.OdeSolver]] = integrate.DOP853
    source: ClassVar[str] = (
        "E. Hairer, S. P. Nørsett, G. Wanner, Solving ODEs I, 2nd ed., 1993, section II.10; SciPy 1.17.1, scipy.integrate.DOP853"
    )
    known_failures: ClassVar[dict[str, str]] = {
        "check_tolerance_proportionality": (
            "errors from 5.4e-3 at 1e-2 to 3.0e-10 at 1e-11 on a turning plane, a slope of 0.84: the estimate, of orders 5 and 3 at "
            "once, chooses steps too short at loose tolerances"
        )
    }
    order = 8
    evaluations_of_attempt: ClassVar[int | None] = 12


class Radau(ScipySolver):
    """The implicit method Radau IIA of order 5, for stiff problems; its estimate is of order 3."""

    name: ClassVar[str] = "scipy/radau"
    method: ClassVar[type[integrate.OdeSolver]] = integrate.Radau
    source: ClassVar[str] = (
        "E. Hairer, G. Wanner, Solving ODEs II, 2nd ed., 1996, section IV.8; SciPy 1.17.1, scipy.integrate.Radau"
    )
    known_failures: ClassVar[dict[str, str]] = {
        "check_tolerance_proportionality": (
            "errors from 3.2e-3 at 1e-2 to 4.3e-12 at 1e-10 on a turning plane, a slope of 1.15: the estimate is of order 3, and the "
            "result of order 5"
        )
    }
    order = 5
    implicit = True


class Bdf(ScipySolver):
    """Backward differences of orders 1 to 5 with quasi-constant steps, for stiff problems; `order` is the highest."""

    name: ClassVar[str] = "scipy/bdf"
    method: ClassVar[type[integrate.OdeSolver]] = integrate.BDF
    source: ClassVar[str] = (
        "L. F. Shampine, M. W. Reichelt, SIAM J. Sci. Comput. 18(1), 1997; SciPy 1.17.1, scipy.integrate.BDF"
    )
    known_failures: ClassVar[dict[str, str]] = {
        "check_tolerance_proportionality": (
            "SciPy's BDF changes its order with the tolerance: errors of 4.3e-3 at 1e-3 and of 2.7e-9 at 1e-11 on a turning plane, "
            "a slope of 0.80 with steps in it"
        )
    }
    order = 5
    implicit = True


class Lsoda(ScipySolver):
    """ODEPACK's LSODA: Adams' methods up to order 12 and backward differences up to order 5, whichever suits; `order` is the highest."""

    name: ClassVar[str] = "scipy/lsoda"
    method: ClassVar[type[integrate.OdeSolver]] = integrate.LSODA
    source: ClassVar[str] = (
        "L. Petzold, SIAM J. Sci. Stat. Comput. 4(1), 1983; ODEPACK; SciPy 1.17.1, scipy.integrate.LSODA"
    )
    order = 12
    implicit = True
    shortens_for_nan: ClassVar[bool] = False
