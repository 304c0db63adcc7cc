"""Whether evolving weights that do not evolve are what they should be: an ordinary neural ODE, and with one step a ResNet."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from odebench.contract import Findings, Setting, StepSize, Study, Unknown, Workplace, relative_l2
from odebench.errors import IncompatibleError
from odebench.numerics.uniform import uniform_grid
from odebench.tasks.evolving import at_rest, differentiated, evolving_field, spread_rows


class Reduction(Study):
    """Solve the coupled system, and the ordinary neural ODE of the same module with its weights held; compare states and gradients.

    Both by the cell's solver and gradient method, from the weights of the seed. `held_states` and `held_gradients` are relative
    differences, the second in the initial states and in all parameters of the module; `held_bits` is 1 where both agree to the last
    bit, else 0. `resnet_states` and `resnet_gradients` compare with the residual block z + f(z), where the cell asks for one step.
    Without evolution all are 0; with operators whose coefficients are 0 they are at rounding; else they say how much evolves.

    Args:
        examples: so many of the test data, spread evenly.

    Source: T. Zhang et al., "ANODEV2: a coupled neural ODE framework", NeurIPS 2019, arXiv:1906.04596.
    """

    name = "reduction"
    needs_gradient = True

    def __init__(self, *, examples: int = 64) -> None:
        if not isinstance(examples, int) or examples < 1:
            raise IncompatibleError(f"`examples` is {examples!r}; it must be a whole number of at least 1.")
        self.examples = examples

    def run(self, setting: Setting, workplace: Workplace) -> Findings:
        """Both solves and, for one step, the block."""
        learning, field = evolving_field(workplace, self.name)
        if setting.gradient is None or not isinstance(setting.grid, StepSize):
            raise IncompatibleError(f"Task {self.name!r} needs a gradient method, and `steps` or `step_size`.")
        grid = uniform_grid(setting.grid, *learning.ts)
        rows = spread_rows(learning.test, self.examples)
        parameters = tuple(field.module.parameters())
        with at_rest(learning.field, learning.readout):
            coupled = differentiated(setting, learning, setting.field, parameters, rows.inputs, rows, grid)
            held = differentiated(
                setting, learning, _Held(field.module, field.takes_time), parameters, rows.inputs, rows, grid
            )
            mine, theirs = _flat(coupled), _flat(held)
            same = all(torch.equal(a, b) for a, b in zip(mine, theirs, strict=True))
            values: dict[str, Any] = {
                "held_states": relative_l2(coupled[0], held[0]),
                "held_gradients": relative_l2(mine[1:], theirs[1:]),
                "held_bits": int(same),
                "steps_accepted": grid.steps,
            }
            if grid.steps == 1 and not field.takes_time:
                start = rows.inputs.detach().requires_grad_()
                with torch.enable_grad():
                    end = start + (grid.end - learning.ts[0]) * field.module(start)
                    loss = learning.loss(learning.readout(end), rows.targets)
                    block = torch.autograd.grad(loss, (start, *parameters))
                values["resnet_states"] = relative_l2(coupled[0][-1], end)
                values["resnet_gradients"] = relative_l2(mine[1:], block)
            else:
                nothing = Unknown("Only one step of a module that takes no time is a residual block.")
                values |= {"resnet_states": nothing, "resnet_gradients": nothing}
        return Findings(values=values)


class _Held(nn.Module):
    """A module as a field, its weights those of w(0) at all times."""

    def __init__(self, module: nn.Module, takes_time: bool) -> None:
        super().__init__()
        self.module, self.takes_time = module, takes_time

    def forward(self, t: Tensor, z: Tensor) -> Tensor:
        return self.module(t, z) if self.takes_time else self.module(z)


def _flat(found: tuple[Tensor, Tensor, tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    states, to_start, to_parameters = found
    return (states, to_start, *to_parameters)
