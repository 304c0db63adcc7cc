"""The compiled engine: a whole solve, and its gradient, as one loop in one graph each.

A field becomes a graph once (`field_graph`); programs are written around it: `adaptive` and `replay` go forward, `reverse` goes
back. `march` drives the forward ones, `solve` gives the gradient. The step is that of the solver itself, given tensors for times.
"""

from odebench.compiled.solve import solve_compiled as solve_compiled
