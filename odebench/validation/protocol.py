"""What a model shows of itself so that its differential equation can be solved in another way."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from odebench.contract import Field, State


class OdeModel(Protocol):
    """A module whose answer is `readout(y1)`, y1 the state at the end of `span` of dy/dt = field(t, y) from `encode(inputs)`.

    Two attributes are all that is needed; a model with a loop of its own gets them in two lines:

        class Net(nn.Module):
            span = (0.0, 1.0)

            def __init__(self):
                super().__init__()
                self.layers = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 2))
                self.readout = nn.Linear(2, 2)

            def field(self, t, y):
                return self.layers(y)

            def forward(self, x):
                for step in range(8):
                    x = x + self.field(step / 8, x) / 8
                return self.readout(x)

        odebench.validate(Net(), (inputs, targets), solver="euler", steps=8)

    `encode` and `readout` may be left out where the inputs are the initial state and the last state is the output. A state may be
    a tuple: then `encode` returns one, and `readout` takes one. What a field needs besides its state, such as a context that the
    encoder made, `encode` may leave on the model: it is called before each solve. A model of several solves in a row does not fit;
    write its solves as calls of `odebench.odeint`, `odebench.solve` or `torchdiffeq.odeint`, which are seen by themselves.

    Where the model can also be called, its outputs are compared with those of the solver that it is said to have.

    Attributes:
        field: dy/dt, called as `field(t, y)`: a module or a method.
        span: initial and final time.
    """

    field: Field
    span: tuple[float, float]

    def encode(self, inputs: Tensor) -> State:
        """The initial state, `(batch, *state)` or a tuple of such. Optional."""

    def readout(self, y1: State) -> Tensor:
        """The outputs `(batch, …)` that are scored, from the final state. Optional."""
