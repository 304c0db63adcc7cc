"""The cost of a step, against counting by hand."""

from __future__ import annotations

import pytest

import odebench
from odebench.plugins import build_registry
from odebench.run.step_cost import cost_of_step

REGISTRY = build_registry(prefixes=())


def built(kind: str, name: str):
    return REGISTRY.get(kind, name).build()


@pytest.mark.parametrize(("name", "stages"), [("euler", 1), ("rk4", 4), ("dopri5", 6)])
def test_a_step_costs_its_stages(name: str, stages: int):
    cost = cost_of_step(built("solver", name))
    assert (cost.forward, cost.backward, cost.vjps) == (stages, None, None)


@pytest.mark.parametrize(
    ("name", "backward"), [("direct", 0), ("anode", 3), ("step-checkpoint", 3), ("continuous-adjoint", 3)]
)
def test_a_gradient_costs_a_product_a_stage_and_what_it_computes_again(name: str, backward: int):
    cost = cost_of_step(built("solver", "heun3"), built("gradient", name))
    assert (cost.forward, cost.backward, cost.vjps) == (3, backward, 3)


def test_a_pair_that_does_not_work_is_an_error():
    class Refuses(odebench.OpaqueSolver):
        name, order = "refuses", 1

        def solve(self, field, y0, ts, grid, inputs=()):
            raise odebench.OdebenchError("Give a tolerance.")

    with pytest.raises(odebench.OdebenchError, match="Give a tolerance"):
        cost_of_step(Refuses())
