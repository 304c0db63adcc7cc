"""What a step policy promises: which step, or which tolerance, the next iteration of a training takes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from odebench.contract.field import Field, State
from odebench.contract.grid import GridRequest
from odebench.contract.solver import Solver


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What one evaluation of the model on a batch gave.

    Attributes:
        metric: any figure of the batch, such as its accuracy; not finite where the solve went astray.
        evaluations: calls of the field that the solve took; None where nobody counted.
    """

    metric: float
    evaluations: int | None = None


Try = Callable[[Solver, GridRequest], Trial]
"""Called as `attempt(solver, grid)`: the model, with the weights as they are, on the same batch, without gradients."""


class StepPolicy(ABC):
    """Watches a training and decides how time is divided. Its parameters are the keyword arguments of `__init__`.

    The life of one: `begin` once, before the first iteration; then `after` in each iteration, after the backward pass and
    before the optimiser's step, with what the iteration's own solve gave. Each returns the grid of the next iteration.
    Everything that is remembered is in `state_dict`, so that a training can be interrupted between any two iterations.

    Attributes:
        name: kebab-case, stable for ever.
        chooses_first: whether `begin` finds the first grid by itself; otherwise it must be given one.
        source: where the rule is published.
        known_failures: conformance checks that are known to fail, and why.
    """

    name: str
    chooses_first: ClassVar[bool] = False
    source: ClassVar[str] = ""
    known_failures: ClassVar[dict[str, str]] = {}

    def supports(self, solver: Solver) -> str | None:
        """None where the policy works with `solver`, else the reason why not, as a sentence."""
        return None

    @abstractmethod
    def begin(
        self,
        solver: Solver,
        build_solver: Callable[[str | dict[str, Any]], Solver],
        field: Field,
        y0: State,
        ts: Sequence[float],
        grid: GridRequest | None,
    ) -> GridRequest:
        """The grid of the first iteration.

        Args:
            solver: the one that the training uses.
            build_solver: gives the solver of a name, for a policy that compares with another one.
            field: the field with its initial weights; what is evaluated here is counted like everything else.
            y0: a first batch.
            ts: initial and final time.
            grid: what the user asked for; None where nothing.

        Raises:
            IncompatibleError: the policy needs a grid and has none, or cannot work with this solver.
        """

    @property
    def due(self) -> bool:
        """Whether the next `after` looks at `own.metric` and may call `attempt`: where not, neither has to be there.

        True where the policy does not know. `own.evaluations` is always looked at.
        """
        return True

    @abstractmethod
    def after(self, own: Trial, attempt: Try) -> GridRequest:
        """The grid of the next iteration, from what this one gave.

        Args:
            own: what the iteration's own solve gave on its batch, with the grid that was last returned.
            attempt: evaluates the batch again with another solver or grid.
        """

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """All that is remembered: numbers, strings, booleans, None, and lists and tables of them."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Remember again what `state_dict` returned, in place of all that `begin` found.

        `begin` has been called before with the same solver and times; its field may have learnt since, its batch may be
        another, and its grid may be the one that the first `begin` returned.
        """
