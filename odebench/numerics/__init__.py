"""The toolkit: tableaux, stepping, step control, loops. Usable in a notebook; knows nothing of suites or measuring."""

from odebench.numerics.diagonally_implicit import DiagonallyImplicitRungeKutta as DiagonallyImplicitRungeKutta
from odebench.numerics.interpolation import Hermite as Hermite
from odebench.numerics.one_step import OneStepSolver as OneStepSolver
from odebench.numerics.runge_kutta import ExplicitRungeKutta as ExplicitRungeKutta
from odebench.numerics.tableau import ButcherTableau as ButcherTableau
