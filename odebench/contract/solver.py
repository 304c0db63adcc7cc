"""What a solver promises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, Literal, NamedTuple

from torch import Tensor

from odebench.contract.field import Field, State
from odebench.contract.grid import GridRequest
from odebench.contract.solution import Solution


class Step(NamedTuple):
    """One step.

    Attributes:
        y1: state at the end of the step.
        error: signed estimate of the local error in y's unit, not yet scaled by a tolerance; None where not asked for.
        carry: what the next step can use: a cache or a state, as the solver's `carry_is` says; None where nothing.
        dense: whatever `interpolate` needs; None where not asked for.
    """

    y1: Tensor
    error: Tensor | None = None
    carry: Any = None
    dense: Any = None


class Solver(ABC):
    """Turns a field, an initial state and times into states.

    Subclass `odebench.OneStepSolver` and write `step`, or `odebench.ExplicitRungeKutta` and write a tableau: both give
    `solve`. Subclass `odebench.OpaqueSolver` to wrap a library that has loops of its own.

    Attributes:
        name: kebab-case, stable for ever; an adapter's carries its library as prefix, `library/method`.
        order: of convergence of the solution at the end of the span.
        adaptive: whether it chooses its steps from a `Tolerance`; otherwise it takes a `StepSize`.
        implicit: whether a step solves equations.
        stages: evaluations of the field in a step, where that is fixed; None otherwise.
        carry_is: `none`: steps share nothing; `cache`: the carry can be dropped and computed again from (t, y), at the
            cost of an evaluation; `state`: it belongs to the state, and is stored and differentiated together with y.
        differentiable: whether autograd can pass through `solve`.
        takes_grids: whether it takes the steps that it is given, a `StepSize` or a `Grid`; False for a library that can follow
            a tolerance only.
        fields_in: where the field is evaluated: "torch", or "jax" for a library that takes the model's `jax_field` and compiles the
            solve. Such a solver is measured on models that have one, with gradient methods that say the same of themselves.
        has_compiled_form: whether the compiled engine can solve with it.
        source: where the method is published.
        known_failures: conformance checks that are known to fail, and why.
        code_parameters: parameters that say where code lies which the solver runs: a suite that gives one is run only where the
            user allows it.
        unavailable: why it cannot be used on this machine, as a sentence; None where it can. Cells end as `unsupported` with
            this reason.
        used_code: the state, such as a commit, of code that it runs and no distribution installed, by name. It is recorded with
            the versions, and a record of another state is measured again.
    """

    name: str
    order: int
    adaptive: bool = False
    implicit: bool = False
    stages: int | None = None
    carry_is: Literal["none", "cache", "state"] = "none"
    differentiable: bool = True
    takes_grids: bool = True
    fields_in: Literal["torch", "jax"] = "torch"
    has_compiled_form: ClassVar[bool] = False
    source: ClassVar[str] = ""
    known_failures: ClassVar[dict[str, str]] = {}
    code_parameters: ClassVar[tuple[str, ...]] = ()
    unavailable: str | None = None
    used_code: Mapping[str, str] = MappingProxyType({})

    @abstractmethod
    def solve(
        self, field: Field, y0: State, ts: Sequence[float], grid: GridRequest, inputs: tuple[Tensor, ...] = ()
    ) -> Solution:
        """Solve from `y0` at ts[0], and give the states at all of `ts`.

        Autograd records the solve where gradients are enabled; step sizes count as constants.

        Args:
            field: dy/dt, called as `field(t, y)`.
            y0: state at ts[0].
            ts: output times, strictly increasing or strictly decreasing, at least two.
            grid: a `StepSize`, a `Tolerance` (adaptive solvers), or a `Grid` to be repeated.
            inputs: tensors that the field uses and does not own, to which gradients must flow.

        Raises:
            IncompatibleError: the solver cannot take this kind of grid.
            GridError: an output time cannot be met on this grid.
            DivergedError: no step is small enough, or too many were needed.
        """


class OpaqueSolver(Solver):
    """Somebody else's library: only `solve`, perhaps without a grid.

    `solve` returns `Solution(ys=…, grid=None)` where the library does not tell its steps; what needs them is then null,
    with that reason.
    """
