"""The built-in solvers, one method a file, offered through the same hooks as anyone's."""

from __future__ import annotations

from collections.abc import Callable

from odebench.hookspecs import hookimpl
from odebench.solvers.adaptive_heun import AdaptiveHeun
from odebench.solvers.bosh3 import Bosh3
from odebench.solvers.dopri5 import Dopri5
from odebench.solvers.dopri8 import Dopri8
from odebench.solvers.euler import Euler
from odebench.solvers.fehlberg21 import Fehlberg21
from odebench.solvers.heun import Heun
from odebench.solvers.heun3 import Heun3
from odebench.solvers.kvaerno3 import Kvaerno3
from odebench.solvers.midpoint import Midpoint
from odebench.solvers.ralston import Ralston
from odebench.solvers.rk4 import Rk4
from odebench.solvers.rk38 import Rk38
from odebench.solvers.ssprk3 import SspRk3
from odebench.solvers.tsit5 import Tsit5


@hookimpl
def odebench_register_solvers(register: Callable[[object], None]) -> None:
    """Offer every built-in solver."""
    for solver in (
        Euler,
        Midpoint,
        Heun,
        Ralston,
        SspRk3,
        Heun3,
        Rk4,
        Rk38,
        AdaptiveHeun,
        Fehlberg21,
        Bosh3,
        Dopri5,
        Tsit5,
        Dopri8,
        Kvaerno3,
    ):
        register(solver)
