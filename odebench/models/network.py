"""What the models have in common that can be trained: data, a network as vector field, and a linear readout."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss

from odebench.contract import Examples, Learning, Model, NetworkField, Problem, right_class
from odebench.data import Dataset, load
from odebench.data import check as check_data
from odebench.models.seeded import ModelError, check_batch, generator_of, normal, output_times


class Network(Model):
    """A model whose field is a network and whose final state is read by a linear layer.

    The seed is that of everything: of data that are drawn, of the weights, and of the rows of `problem`. Weights are
    Kaiming normal by the number of inputs, biases 0, of field and readout alike. Classes are learned by cross-entropy,
    values by the mean squared error.

    Args:
        data: a name or a table that `odebench.data.load` knows.
        batch: rows of the test data that `problem` starts from.
        span: the end of time, from 0.
        outputs: equal output intervals of `problem`.
    """

    def __init__(self, *, data: str | Mapping[str, Any], batch: int, span: float, outputs: int) -> None:
        check_data(data)
        self.data, self.batch, self.span, self.outputs = data, check_batch(batch), span, outputs

    @abstractmethod
    def build_field(self, shape: tuple[int, ...], generator: torch.Generator) -> nn.Module:
        """The field for states of this shape, in float64 with weights from `generator`.

        Raises:
            ModelError: the model has no field for such states.
        """

    def state_of(self, inputs: Tensor) -> Tensor:
        """The initial states of inputs `(examples, *shape)`: the inputs themselves, where a model says nothing else."""
        return inputs

    def learning(self, seed: int) -> Learning:
        """As `Model.learning` says."""
        loaded = load(self.data, seed)
        train, test = (self._examples(part) for part in (loaded.train, loaded.test))
        field, readout = self._networks(loaded, generator_of(seed))
        values = loaded.classes is None
        return Learning(
            field=field.float(),
            readout=readout.float(),
            ts=(0.0, float(self.span)),
            train=train.to(torch.float32, "cpu"),
            test=test.to(torch.float32, "cpu"),
            loss=mse_loss if values else cross_entropy,
            score=minus_squared_error if values else right_class,
            metric="negative squared error" if values else "accuracy",
            chance=_chance(train, test, loaded.classes),
            network=_network_of(field),
        )

    def problem(self, seed: int) -> Problem:
        """The field with the weights from which `learning` starts, and `batch` rows of the test data."""
        loaded = load(self.data, seed)
        generator = generator_of(seed)
        field, readout = self._networks(loaded, generator)
        test = self._examples(loaded.test)
        if self.batch > len(test):
            raise ModelError(f"`batch` is {self.batch}, and there are {len(test)} test examples of {self.data!r}.")
        rows = test[torch.randperm(len(test), generator=generator)[: self.batch]].to(torch.float64, "cpu")
        return Problem(
            field=field,
            y0=rows.inputs,
            ts=output_times(self.span, self.outputs),
            loss=ReadoutLoss(readout, rows.targets, mse_loss if loaded.classes is None else cross_entropy),
            labels=None if loaded.classes is None else rows.targets,
            network=_network_of(field),
        )

    def _examples(self, part: Examples) -> Examples:
        return Examples(inputs=self.state_of(part.inputs), targets=part.targets)

    def _networks(self, loaded: Dataset, generator: torch.Generator) -> tuple[nn.Module, nn.Module]:
        outputs = 1 if loaded.classes is None else loaded.classes
        field = self.build_field(loaded.shape, generator)
        return field, nn.Sequential(nn.Flatten(), kaiming_linear(math.prod(loaded.shape), outputs, generator))


class ReadoutLoss(nn.Module):
    """The loss of what is read from the last state of `(times, batch, *state)`.

    Args:
        readout: takes states, returns outputs.
        targets: one for each row.
        loss: takes outputs and targets, returns the mean.
    """

    def __init__(self, readout: nn.Module, targets: Tensor, loss: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.readout, self.loss = readout, loss
        self.register_buffer("targets", targets)

    def forward(self, ys: Tensor) -> Tensor:
        outputs = self.readout(ys[-1])
        # The mean over no rows is 0 / 0; a sum is 0 there.
        return self.loss(outputs, self.targets) if len(outputs) else outputs.sum()


def minus_squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """-(output - target)², summed over all but the rows: `(batch,)`."""
    return -(outputs - targets).square().flatten(1).sum(1)


def kaiming(layer: nn.Module, inputs: int, generator: torch.Generator) -> nn.Module:
    """The layer in float64, with weights from a normal distribution of variance 2/inputs, and biases 0.

    Args:
        layer: has a `weight`, and perhaps a `bias`; built on the device "meta", so that torch draws nothing for it.
        inputs: how many numbers each of its outputs is computed from.
        generator: where the weights come from.

    Source: K. He, X. Zhang, S. Ren, J. Sun, "Delving deep into rectifiers", ICCV 2015, arXiv:1502.01852, equation 10.
    """
    layer = layer.double().to_empty(device="cpu")
    with torch.no_grad():
        layer.weight.copy_(normal(generator, *layer.weight.shape) * math.sqrt(2.0 / inputs))
        if layer.bias is not None:
            layer.bias.zero_()
    return layer


def kaiming_linear(inputs: int, outputs: int, generator: torch.Generator) -> nn.Module:
    """A linear layer as `kaiming` fills it."""
    return kaiming(nn.Linear(inputs, outputs, device="meta"), inputs, generator)


def check_width(width: int) -> int:
    """`width`, where there is at least 1.

    Raises:
        ModelError: there is none.
    """
    if width < 1:
        raise ModelError(f"`width` is {width!r}; it must be at least 1.")
    return width


def _network_of(field: nn.Module) -> nn.Module | None:
    return field.network if isinstance(field, NetworkField) else None


def _chance(train: Examples, test: Examples, classes: int | None) -> float:
    """The score of the best constant answer that the training data know."""
    if classes is None:
        return (
            minus_squared_error(train.targets.mean(0, keepdim=True).expand_as(test.targets), test.targets).mean().item()
        )
    return (test.targets == train.targets.bincount().argmax()).double().mean().item()
