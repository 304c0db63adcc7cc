"""What can be trained: data, readout, loss and score fit together, and chance is what it is said to be."""

from __future__ import annotations

import torch
from torch import Tensor

from odebench.conformance.failure import Failure
from odebench.contract import Examples, Learning, Model

_ROWS = 8


def check_learning_fits_together(model: Model) -> str:
    """Field, readout, loss and score take the data's shapes, the loss is differentiable, and a score belongs to each example."""
    learning = model.learning(0)
    for part, examples in (("train", learning.train), ("test", learning.test)):
        if len(examples) < 2 or not examples.inputs.isfinite().all():
            raise Failure(
                expected=f"at least two finite examples in `{part}`",
                measured=f"{len(examples)}, finite: {bool(examples.inputs.isfinite().all())}",
                cause="a split that leaves one side empty, or a normalisation by 0",
                look="how the data are loaded and divided",
            )
    rows = learning.train[slice(0, _ROWS)]
    outputs = _outputs(learning, rows)
    loss, scores = learning.loss(outputs, rows.targets), learning.score(outputs, rows.targets)
    if loss.dim() or not loss.isfinite() or not loss.requires_grad:
        raise Failure(
            expected="a finite scalar loss that can be differentiated",
            measured=f"shape {tuple(loss.shape)}, value {loss.detach().reshape(-1)[:1].tolist()}, requires_grad={loss.requires_grad}",
            cause="outputs and targets of different shapes, or a readout without parameters that require a gradient",
            look="`loss`, `readout` and the targets' shape and dtype",
        )
    if tuple(scores.shape) != (len(rows),):
        raise Failure(
            expected=f"one score for each of {len(rows)} examples",
            measured=f"scores of shape {tuple(scores.shape)}",
            cause="the mean is taken already, or a dimension is left over",
            look="`score`: higher is better, one number a row",
        )
    return f"{len(learning.train)} examples to learn from, {len(learning.test)} to test; loss {loss.item():.3g}"


def check_chance(model: Model) -> str:
    """The declared chance is what the best answer that does not look at its input scores on the test data."""
    learning = model.learning(0)
    if learning.chance is None:
        return "none declared"
    train, test = learning.train.targets, learning.test.targets
    if train.is_floating_point():
        constant = train.double().mean(0, keepdim=True).expand(test.shape)
        expected = learning.score(constant, test.double()).mean().item()
    else:
        constant = torch.nn.functional.one_hot(train.bincount().argmax(), int(train.max()) + 1).double()
        expected = learning.score(constant.expand(len(test), -1), test).double().mean().item()
    if not abs(expected - learning.chance) < 1e-4 + 1e-3 * abs(expected):
        raise Failure(
            expected=f"a chance of {expected:.4g}: what the best constant answer scores on the test data",
            measured=f"{learning.chance!r} declared",
            cause="one over the number of classes, although they are not equally frequent, or a figure of other data",
            look="`chance` of the `Learning`",
        )
    return f"{expected:.4g} ({learning.metric})"


def check_learning_seeds(model: Model) -> str:
    """The same seed gives the same weights and data, bit for bit, and another seed something else."""
    first, again, other = (_tensors(model.learning(seed)) for seed in (1, 1, 2))
    if not all(map(torch.equal, first, again)):
        raise Failure(
            expected="the same weights and data from the same seed",
            measured=f"{sum(not torch.equal(a, b) for a, b in zip(first, again, strict=True))} tensors that differ",
            cause="draws from the global generator, or from one that goes on from call to call",
            look="every random draw in `learning`",
        )
    if len(first) == len(other) and all(map(torch.equal, first, other)):
        raise Failure(
            expected="other weights or other data from another seed",
            measured="the same bits from seeds 1 and 2",
            cause="the seed does not reach the generator",
            look="what `learning` does with its argument",
        )
    return f"{len(first)} tensors"


def _outputs(learning: Learning, rows: Examples) -> Tensor:
    """What is answered after one short step, which is enough to see whether shapes fit."""

    def step(field: torch.nn.Module, z: Tensor) -> Tensor:
        return z + 0.01 * field(torch.zeros((), dtype=z.dtype), z)

    network = getattr(learning, "network", None)
    return learning.readout(step(learning.field, rows.inputs)) if network is None else network(rows.inputs, step)


def _tensors(learning: Learning) -> list[Tensor]:
    weights = [*learning.field.state_dict().values(), *learning.readout.state_dict().values()]
    data = [x for part in (learning.train, learning.test) for x in (part.inputs, part.targets)]
    return weights + data
