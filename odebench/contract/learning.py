"""What a model promises that can be trained: its data, what is read from the final state, and how an answer is scored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from odebench.contract.field import Field
from odebench.contract.network import NetworkOfBlocks, Solve
from odebench.errors import IncompatibleError


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Inputs and what is to be answered.

    Attributes:
        inputs: `(examples, *state)`, floating: the initial states of the ODE.
        targets: `(examples,)` class indices (int64), or `(examples, *target)` values (floating).
    """

    inputs: Tensor
    targets: Tensor

    def __post_init__(self) -> None:
        if len(self.inputs) != len(self.targets):
            raise IncompatibleError(f"There are {len(self.inputs)} inputs and {len(self.targets)} targets.")

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, rows: Tensor | slice) -> Examples:
        """The examples of these rows."""
        return Examples(inputs=self.inputs[rows], targets=self.targets[rows])

    def to(self, dtype: torch.dtype, device: torch.device | str) -> Examples:
        """The same examples with what is floating in `dtype`, on `device`."""
        targets = self.targets.to(device=device, dtype=dtype if self.targets.is_floating_point() else None)
        return Examples(inputs=self.inputs.to(dtype=dtype, device=device), targets=targets)


@dataclass(frozen=True, kw_only=True)
class Learning:
    """One seeded instance of a model to be trained: answer = readout(state at ts[-1]), the state starting from the input.

    Or a network of several ODE blocks, each solved over `ts`: answer = network(inputs, solve). Its `field` is a `NetworkField`, which
    has the weights and cannot be solved, and its `readout` does nothing.

    Attributes:
        field: the vector field, initialised from the seed.
        readout: takes final states `(batch, *state)`, returns outputs `(batch, …)`; initialised from the seed.
        ts: initial and final time.
        train, test: the data.
        loss: takes outputs and targets, returns the mean over the batch.
        score: takes outputs and targets, returns a score for each example `(batch,)`, higher is better: 1 where a class is
            right and 0 where not, minus a squared error for values.
        metric: what the mean of the scores is called: "accuracy" for classes.
        chance: the mean score of an answer that does not look at its input; None where that says nothing.
        network: the network of several blocks; None for one flow.
    """

    field: nn.Module
    readout: nn.Module
    ts: tuple[float, float]
    train: Examples
    test: Examples
    loss: Callable[[Tensor, Tensor], Tensor]
    score: Callable[[Tensor, Tensor], Tensor]
    metric: str = "accuracy"
    chance: float | None = None
    network: NetworkOfBlocks | None = None

    def answer(self, inputs: Tensor, solve: Solve, field: Field | None = None) -> Tensor:
        """Outputs `(batch, …)`.

        Args:
            inputs: `(batch, *shape)`.
            solve: how a field is solved over `ts`; called once for each block.
            field: stands for the one field, such as its opaque form; means nothing for a network, which brings its own.
        """
        if self.network is not None:
            return self.network(inputs, solve)
        return self.readout(solve(self.field if field is None else field, inputs))

    def to(self, dtype: torch.dtype, device: torch.device | str) -> Learning:
        """The same in `dtype` on `device`; field and readout are moved in place, and a network with its field."""
        return replace(
            self,
            field=self.field.to(dtype=dtype, device=device),
            readout=self.readout.to(dtype=dtype, device=device),
            train=self.train.to(dtype, device),
            test=self.test.to(dtype, device),
        )


def right_class(outputs: Tensor, targets: Tensor) -> Tensor:
    """1 for each row of logits `(batch, classes)` whose largest is that of its target `(batch,)`, else 0; in outputs' dtype.

    A row that is not finite is wrong.
    """
    right = (outputs.argmax(-1) == targets) & torch.isfinite(outputs).all(-1)
    return right.to(outputs.dtype)
