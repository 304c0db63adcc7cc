"""The exact gradient of a network of blocks: each block's steps written out in float64 under plain autograd, one after the other.

Shares no code with `odebench.numerics`, the solvers or the gradient methods, lest a fault of theirs hide here.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from odebench.contract import Grid, Problem, Reference, Solver, parameters_of, relative_l2
from odebench.errors import NotKnownError
from odebench.run.flat_problem import gradient_or_zeros
from odebench.run.oracle_tableau import coefficients_of, is_implicit, take_step


def exact_network_gradient(problem: Problem, solver: Solver, grid: Grid | None) -> Reference:
    """Gradient of the loss of the network's outputs in its inputs and parameters, in float64, by the names of `Known.gradient`.

    Args:
        problem: of a network, rounded to the cell's dtype; lifted to float64 in place.
        solver: the solver of every block.
        grid: the steps that it took in every block.

    Returns:
        The gradients. Their uncertainty is their relative change when the inputs change by one unit in the last place of the cell's
        dtype.

    Raises:
        NotKnownError: blocks with different steps, a solver that is no explicit tableau, or a gradient that is not finite.
    """
    if grid is None or grid.per_sample:
        raise NotKnownError(
            f"The blocks have no steps in common, or solver {solver.name!r} does not tell them, so they cannot be replayed."
        )
    coefficients = coefficients_of(solver)
    if coefficients is None or is_implicit(coefficients):
        raise NotKnownError(
            f"Solver {solver.name!r} is no explicit tableau, so the blocks of a network cannot be replayed."
        )
    unit = torch.finfo(problem.y0.dtype).eps
    problem = problem.to(torch.float64, "cpu")
    steps = tuple(zip(grid.t.tolist(), grid.dt.tolist(), strict=True))
    parameters = parameters_of(problem.field)

    def solve(field: nn.Module, z: Tensor) -> Tensor:
        for t, dt in steps:
            z = take_step(coefficients, lambda t, y: field(torch.tensor(t, dtype=torch.float64), y), t, dt, z).y1
        return z

    def gradients_from(inputs: Tensor) -> dict[str, Tensor]:
        start = inputs.detach().clone().requires_grad_()
        with torch.enable_grad():
            loss = problem.loss(problem.network(start, solve).unsqueeze(0))
            to_inputs, *found = gradient_or_zeros(loss, (start, *parameters), torch.ones_like(loss))
        named = {"grad_y0": to_inputs.reshape(-1)}
        return named | ({"grad_params": torch.cat([one.reshape(-1) for one in found])} if found else {})

    gradients = gradients_from(problem.y0)
    if not all(torch.isfinite(value).all() for value in gradients.values()):
        raise NotKnownError("The replayed gradient is not finite.")
    signs = 1.0 - 2.0 * (torch.arange(problem.y0.numel(), dtype=torch.float64) % 2).reshape(problem.y0.shape)
    nearby = gradients_from(problem.y0 * (1.0 + unit * signs))
    change = relative_l2(tuple(nearby.values()), tuple(gradients.values()))
    return Reference(
        value=gradients, uncertainty=change, method="the blocks' steps written out from the tableau, float64"
    )
