"""The optimality system of the coupled neural ODE, written down equation by equation.

The problem is min J(z(1)) + R(w0, p) subject to z' = f(z, θ), θ = ∫K(t - τ) w(τ) dτ and w' = q(w; p). Its Lagrangian gives the
state equations, the adjoint equations of their multipliers a and b, and the gradients in w0 and p, which are zero at a solution.
Here each adjoint step is one vector-Jacobian product of one evaluation. Nothing is shared with the solvers, the gradient methods
or the evolving fields of `odebench.nn`, so that it can be held against autograd through a coupled solve.

Source: T. Zhang et al., "ANODEV2: a coupled neural ODE framework", NeurIPS 2019, arXiv:1906.04596, section 3; signs a = -α, b = -β.
"""

from odebench.numerics.kkt.conditions import residuals as residuals
from odebench.numerics.kkt.continuous import continuous_optimality as continuous_optimality
from odebench.numerics.kkt.discrete import discrete_optimality as discrete_optimality
from odebench.numerics.kkt.system import CoupledSystem as CoupledSystem
from odebench.numerics.kkt.system import Mesh as Mesh
from odebench.numerics.kkt.system import Optimality as Optimality
