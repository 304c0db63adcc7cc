"""A model as something whose solves can be done in any way."""

from __future__ import annotations

import contextlib
import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from odebench.contract import Field, Grid, GridRequest, Learning, Solver, State, Tolerance
from odebench.contract.known import relative_l2
from odebench.errors import GridError, IncompatibleError
from odebench.numerics.outputs import checked_times
from odebench.validation.calls import OWN, Call, Scheme, Solved, division_of
from odebench.validation.interception import listening

# A model's own outputs and those of the solver that it is said to have may differ by rounding: so many units in the last place.
_ROUNDINGS, _MOST = 1000.0, 0.05


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluated:
    """What a model gave for some inputs.

    Attributes:
        outputs: `(batch, …)`.
        calls: the solves that it asked for, in order.
        solved: what each gave.
    """

    outputs: Tensor
    calls: tuple[Call, ...]
    solved: tuple[Solved, ...]


class Subject(ABC):
    """A model under test."""

    @abstractmethod
    def evaluate(self, inputs: Tensor, scheme: Scheme) -> Evaluated:
        """The model's outputs where its solves are done by `scheme`.

        Raises:
            DivergedError: a solve cannot go on.
        """

    @abstractmethod
    def in_double(self) -> Subject:
        """A copy in float64; the model itself stays as it is."""

    @property
    @abstractmethod
    def modules(self) -> tuple[nn.Module, ...]:
        """All modules that take part."""

    def like(self) -> Tensor | None:
        """A floating parameter or buffer whose dtype and device the inputs must have; None where there is none."""
        for module in self.modules:
            for tensor in (*module.parameters(), *module.buffers()):
                if tensor.is_floating_point():
                    return tensor
        return None

    @contextlib.contextmanager
    def at_rest(self) -> Iterator[None]:
        """In evaluation mode and without gradients; random numbers, and the mode, are afterwards what they were."""
        training = [(part, part.training) for module in self.modules for part in module.modules()]
        try:
            for module in self.modules:
                module.eval()
            like = self.like()
            devices = [like.device] if like is not None and like.device.type == "cuda" else []
            with torch.random.fork_rng(devices), torch.no_grad():
                yield
        finally:
            for part, mode in training:
                part.training = mode


@dataclass(frozen=True, kw_only=True, eq=False)
class Exposed(Subject):
    """A model that shows its field and span, see `OdeModel`.

    Attributes:
        model: what owns the field; a module, or several.
        field, ts, encode, readout: as `OdeModel` says.
        solver: the model's own.
        request: how it divides time.
    """

    model: nn.Module
    field: Field
    ts: tuple[float, ...]
    encode: Callable[[Tensor], State]
    readout: Callable[[State], Tensor]
    solver: Solver
    request: Grid | Tolerance

    @classmethod
    def of(cls, model: nn.Module, solver: Solver, request: GridRequest) -> Exposed:
        """From a model that follows `OdeModel`.

        Raises:
            GridError: its span is no span.
        """
        ts = tuple(checked_times(model.span))
        if len(ts) != 2:
            raise GridError(f"The model's span is {model.span!r}; it must be an initial and a final time.")
        same = lambda x: x  # noqa: E731
        encode, readout = getattr(model, "encode", None) or same, getattr(model, "readout", None) or same
        division = division_of(request, ts)
        return cls(
            model=model, field=model.field, ts=ts, encode=encode, readout=readout, solver=solver, request=division
        )

    @classmethod
    def of_learning(cls, learning: Learning, solver: Solver, request: GridRequest) -> Exposed:
        """From what one of our own models learns."""
        return cls.of(_Parts(learning), solver, request)

    @property
    def modules(self) -> tuple[nn.Module, ...]:
        """As `Subject` says."""
        parts = (self.model, self.field, self.encode, self.readout)
        return tuple(dict.fromkeys(part for part in parts if isinstance(part, nn.Module)))

    def evaluate(self, inputs: Tensor, scheme: Scheme) -> Evaluated:
        """As `Subject` says."""
        call = Call(field=self.field, y0=self.encode(inputs), ts=self.ts, solver=self.solver, request=self.request)
        solved = scheme.solve(call)
        return Evaluated(outputs=_tensor(self.readout(solved.y1)), calls=(call,), solved=(solved,))

    def in_double(self) -> Exposed:
        """As `Subject` says."""
        return Exposed.of(copy.deepcopy(self.model).double(), self.solver, self.request)

    def check_forward(self, inputs: Tensor) -> None:
        """Compare the model's own outputs with those of the solver that it is said to have.

        Raises:
            IncompatibleError: they differ by more than rounding.
        """
        if getattr(type(self.model), "forward", nn.Module.forward) is nn.Module.forward:
            return
        own, ours = self.model(inputs), self.evaluate(inputs, OWN).outputs
        advice = (
            "Say which solver and how many steps it uses, mend `field`, `span`, `encode` (from the inputs to the first state) or "
            "`readout` (from the last state to the outputs), or pass check_forward=False (--no-check-forward) where its forward is not meant to be the same."
        )
        if not isinstance(own, Tensor) or own.shape != ours.shape:
            got = tuple(own.shape) if isinstance(own, Tensor) else f"a {type(own).__name__}"
            missing = [name for name in ("encode", "readout") if getattr(self.model, name, None) is None]
            without = f"It has no `{'` and no `'.join(missing)}`. " if missing else ""
            gives = "last state is" if "readout" in missing else "readout gives"
            raise IncompatibleError(f"The model returns {got}, but its {gives} {tuple(ours.shape)}. {without}{advice}")
        if not torch.isfinite(own).all() and not torch.isfinite(ours).all():
            return  # They cannot be compared; `refuse_not_finite` says why.
        difference = relative_l2(own, ours)
        if difference > min(_ROUNDINGS * torch.finfo(ours.dtype).eps, _MOST) or difference != difference:
            steps = f"{self.request.steps} steps" if isinstance(self.request, Grid) else "this tolerance"
            raise IncompatibleError(
                f"The model's own outputs are not those of {self.solver.name!r} with {steps} on its field: they differ by "
                f"{difference:.1e} of their size. {advice}"
            )


class _Parts(nn.Module):
    """A `Learning` in the form of `OdeModel`."""

    def __init__(self, learning: Learning) -> None:
        super().__init__()
        self.field, self.readout, self.span = learning.field, learning.readout, learning.ts


@dataclass(frozen=True, kw_only=True, eq=False)
class Intercepted(Subject):
    """A model that calls `odeint` or `solve` in its forward; to be used while functions are routed.

    Attributes:
        model: the module.
    """

    model: nn.Module

    @property
    def modules(self) -> tuple[nn.Module, ...]:
        """As `Subject` says."""
        return (self.model,)

    def evaluate(self, inputs: Tensor, scheme: Scheme) -> Evaluated:
        """As `Subject` says.

        Raises:
            IncompatibleError: no call was seen.
        """
        calls: list[Call] = []
        solved: list[Solved] = []

        def solve(call: Call) -> State:
            calls.append(call)
            solved.append(scheme.solve(call))
            return solved[-1].ys

        with listening(solve):
            outputs = self.model(inputs)
        if not calls:
            raise IncompatibleError(
                f"No solve was seen in the forward of {type(self.model).__name__}: it called none of torchdiffeq.odeint, "
                "torchdiffeq.odeint_adjoint, odebench.odeint and odebench.solve, or it holds one of them where it cannot be "
                "replaced, such as in a closure or a default argument. Let `odebench validate` import the module, before anything "
                "else does; or give the model the attributes `field` and `span` (see odebench.validation.OdeModel)."
            )
        return Evaluated(outputs=_tensor(outputs), calls=tuple(calls), solved=tuple(solved))

    def in_double(self) -> Intercepted:
        """As `Subject` says."""
        return replace(self, model=copy.deepcopy(self.model).double())


def exposes(model: Any) -> bool:
    """Whether a model follows `OdeModel`."""
    return callable(getattr(model, "field", None)) and hasattr(model, "span")


def moved(inputs: Tensor, like: Tensor | None) -> Tensor:
    """Inputs in the dtype, where they are floating, and on the device of a model."""
    if like is None:
        return inputs
    return inputs.to(device=like.device, dtype=like.dtype if inputs.is_floating_point() else None)


def _tensor(outputs: Any) -> Tensor:
    if not isinstance(outputs, Tensor):
        raise IncompatibleError(
            f"The model returns a {type(outputs).__name__}; it must return a tensor of outputs, a row for each input. Wrap it in a "
            "module that picks what is to be scored."
        )
    return outputs
