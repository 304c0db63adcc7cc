"""What a model promises: a problem to solve, with what is known about its solution."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from odebench.contract.field import State
from odebench.contract.jax_field import JaxField
from odebench.contract.learning import Learning
from odebench.contract.network import NetworkOfBlocks
from odebench.errors import IncompatibleError


def mean_square_of_final_state(ys: State) -> Tensor:
    """Half the mean over the batch of the squared l2 norm of the final state: a loss for problems that have none."""
    leaves = ys if isinstance(ys, tuple) else (ys,)
    return sum(0.5 * y[-1].square().sum() / max(y.shape[1], 1) for y in leaves)


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One seeded instance of a model.

    Attributes:
        field: the vector field; its parameters are those that gradients are asked for.
        y0: initial state, `(batch, *state)` or a tuple of such.
        ts: output times, in the problem's own unit; the first is the initial time.
        loss: takes ys `(times, batch, *state)` at `loss_ts` and returns a scalar; must follow the dtype and device of ys.
        loss_ts: the output times that the loss looks at; None means the first and the last of `ts`.
        exact: the closed form, if there is one: takes the problem itself (in float64) and a time, returns the state there.
        reversible_span: end of the span that a round trip uses; None means the whole of `ts`.
        stiff: an explicit method would need very many steps: the host computes its references with implicit ones.
        labels: the class of each row of y0, `(batch,)`, where rows belong to classes.
        network: a network of several ODE blocks, each solved over the whole of `ts`; `field` is then a `NetworkField`, which has its
            parameters and cannot be solved, y0 are its inputs, and the loss takes its outputs as `(1, batch, …)`.
    """

    field: nn.Module
    y0: State
    ts: tuple[float, ...]
    loss: Callable[[State], Tensor] = mean_square_of_final_state
    loss_ts: tuple[float, ...] | None = None
    exact: Callable[[Problem, float], State] | None = None
    reversible_span: float | None = None
    stiff: bool = False
    labels: Tensor | None = None
    network: NetworkOfBlocks | None = None

    def to(self, dtype: torch.dtype, device: torch.device | str) -> Problem:
        """The same problem with field and initial state rounded to `dtype` on `device` (the field is moved in place)."""
        move = lambda y: y.to(dtype=dtype, device=device)  # noqa: E731
        y0 = tuple(map(move, self.y0)) if isinstance(self.y0, tuple) else move(self.y0)
        loss = self.loss.to(dtype=dtype, device=device) if isinstance(self.loss, nn.Module) else self.loss
        return replace(self, field=self.field.to(dtype=dtype, device=device), y0=y0, loss=loss)

    @property
    def gradient_ts(self) -> tuple[float, ...]:
        """The output times at which a gradient is asked for."""
        return self.loss_ts or (self.ts[0], self.ts[-1])


class Model(ABC):
    """Builds problems. Its parameters are the keyword arguments of `__init__`.

    Attributes:
        name: kebab-case, stable for ever.
        source: where the problem comes from.
        has_blocks: whether it is a network of several ODE blocks: then only tasks that take networks can ask it anything.
        known_failures: conformance checks that are known to fail, and why.
    """

    name: str
    source: ClassVar[str] = ""
    has_blocks: ClassVar[bool] = False
    known_failures: ClassVar[dict[str, str]] = {}

    @abstractmethod
    def problem(self, seed: int) -> Problem:
        """The instance of this seed, in float64 on CPU: the same seed gives the same bits on one machine."""

    def jax_field(self) -> JaxField | None:
        """The field of `problem` as a function of JAX; None where the model has none, so that solvers in JAX cannot solve it."""
        return None

    @property
    def has_jax_field(self) -> bool:
        """Whether solvers in JAX can solve it."""
        return self.jax_field() is not None

    @property
    def can_learn(self) -> bool:
        """Whether there is something to learn: `learning` is written, and no data are built to see that."""
        return type(self).learning is not Model.learning

    def learning(self, seed: int) -> Learning:
        """What is trained: weights, data and score of this seed, in float32 on CPU; the same seed gives the same bits.

        Raises:
            IncompatibleError: the model has nothing to learn.
        """
        raise IncompatibleError(f"Model {self.name!r} has no data to learn from, so it cannot be trained.")
