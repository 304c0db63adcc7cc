"""What is asked of diffrax, as far as a program is compiled for it. Nothing here imports JAX."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

RECURSIVE_CHECKPOINT = "RecursiveCheckpointAdjoint"
DIRECT = "DirectAdjoint"
BACKSOLVE = "BacksolveAdjoint"
FORWARD_MODE = "ForwardMode"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Choices that a program is compiled for; numbers that may change without that are given to it.

    Attributes:
        solver: name of diffrax's class.
        control: `points`: `StepTo`; `given`: `GivenSteps`; `adaptive`: `PIDController`.
        max_steps: more attempts than this end the solve; arrays of this length are allocated.
        dtype: of states and times in diffrax.
        half: dtype in which the field gets its states, where that is a half type.
        is_tuple: whether the field takes a tuple.
        per_sample: whether rows have steps of their own.
        tells_steps: whether the end of each accepted step is kept.
        coefficients: `pcoeff`, `icoeff`, `dcoeff` of the controller.
        newton: tolerance of the equations of an implicit step where steps are given.
        names: of the field's parameters, in their order.
        wanted: for each leaf of the state, then for each parameter, whether its gradient is asked for; empty without gradients.
        adjoint: name of diffrax's class.
        checkpoints: of `RecursiveCheckpointAdjoint`.
        seminorm: whether only the state and its adjoint count in the error norm of the way back.
        chunk: tangents that are carried at once by `ForwardMode`.
    """

    solver: str
    control: Literal["points", "given", "adaptive"]
    max_steps: int
    dtype: str
    half: str | None = None
    is_tuple: bool = False
    per_sample: bool = False
    tells_steps: bool = False
    coefficients: tuple[float, float, float] = (0.0, 1.0, 0.0)
    newton: float | None = None
    names: tuple[str, ...] = ()
    wanted: tuple[bool, ...] = ()
    adjoint: str = RECURSIVE_CHECKPOINT
    checkpoints: int | None = None
    seminorm: bool = False
    chunk: int = 64

    def parted(self, y0: Sequence[Any], parameters: Mapping[str, Any]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """What gradients are asked of, and all the rest."""
        wanted = (*y0, *(parameters[name] for name in self.names))
        chosen = tuple(one for one, is_wanted in zip(wanted, self.wanted, strict=True) if is_wanted)
        others = tuple(None if is_wanted else one for one, is_wanted in zip(wanted, self.wanted, strict=True))
        rest = {name: one for name, one in parameters.items() if name not in self.names}
        return chosen, (others, rest)

    def joined(self, chosen: Sequence[Any], others: tuple[Any, ...]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The initial state and the parameters again."""
        gaps, rest = others
        taken = iter(chosen)
        whole = [next(taken) if is_wanted else one for one, is_wanted in zip(gaps, self.wanted, strict=True)]
        leaves = len(whole) - len(self.names)
        return tuple(whole[:leaves]), dict(zip(self.names, whole[leaves:], strict=True)) | rest

    def by_gradient(self, parameters: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """The parameters whose gradients are asked for, and those without."""
        of_parameters = self.wanted[len(self.wanted) - len(self.names) :]
        wanted = {name for name, is_wanted in zip(self.names, of_parameters, strict=False) if is_wanted}
        return (
            {name: one for name, one in parameters.items() if name in wanted},
            {name: one for name, one in parameters.items() if name not in wanted},
        )
