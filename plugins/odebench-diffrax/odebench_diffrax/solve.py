"""One solve: what crosses to a compiled program, what comes back, and what is told of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

import odebench
from odebench.contract import Field, ProgramMemory, State, jax_field_of
from odebench.errors import DivergedError, IncompatibleError
from odebench.numerics.jax_arrays import lent, to_torch
from odebench.numerics.jax_start import start_jax
from odebench.numerics.lent_field import LentField
from odebench_diffrax.plan import BACKSOLVE, FORWARD_MODE, Plan


@dataclass(frozen=True, kw_only=True)
class Adjoint:
    """How a solve is differentiated.

    Attributes:
        method: name of the gradient method.
        kind: name of diffrax's class.
        wanted: tensors besides y0 that get gradients.
        options: further fields of the `Plan`.
    """

    method: str
    kind: str
    wanted: tuple[Tensor, ...]
    options: dict[str, Any] = dataclasses.field(default_factory=dict)


class Solve:
    """A solve of one field from one initial state.

    Args:
        solver: one of diffrax's.
        field, y0: as in `Solver.solve`.
        adjoint: how it is differentiated; None for no gradients.

    Attributes:
        twin: the field in JAX; None where the torch field is called back.
        autocast: dtype to which torch's autocast takes a field that is called back; None without.
        number: NumPy's dtype of states and times in diffrax.
        rows: of the batch.
        may_tell_steps: whether diffrax can keep the ends of steps beside the states.
    """

    def __init__(self, solver: Any, field: Field, y0: State, adjoint: Adjoint | None) -> None:
        self._solver, self._y0, self._adjoint = solver, y0, adjoint
        self.twin = jax_field_of(field)
        leaves = y0 if isinstance(y0, tuple) else (y0,)
        self._dtype = leaves[0].dtype
        self._half = str(self._dtype).removeprefix("torch.") if self._dtype.itemsize == 2 else None
        self.number = np.dtype(np.float64 if self._dtype == torch.float64 else np.float32)
        self.rows = leaves[0].shape[0] if leaves[0].dim() else 1
        self.may_tell_steps = adjoint is None or adjoint.kind != BACKSOLVE
        self._stats = odebench.Stats()
        if self.twin is None:
            declared = None if adjoint is None else adjoint.wanted
            self.autocast = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else None
            self._lent = LentField(field, y0, declared=declared, method="" if adjoint is None else adjoint.method)
            self._stats = self._lent.stats
            self._parameters = {} if adjoint is None else {str(n): one for n, one in enumerate(adjoint.wanted)}
            self._names, self._buffers = tuple(self._parameters), {}
            self._packing = self._lent.packing
        else:
            self._parameters = dict(zip(self.twin.names, field.parameters(), strict=True))
            self._names, self._buffers = self.twin.names, dict(self.twin.buffers)
            self._packing = None
            self._refuse_strangers()

    def plan(self, **chosen: Any) -> Plan:
        """The plan of this solve, with what is chosen of the step control."""
        given = {} if self._adjoint is None else {"adjoint": self._adjoint.kind, **self._adjoint.options}
        return Plan(
            solver=self._solver.diffrax_name,
            dtype=self.number.name,
            half=self._half if self.twin is not None else None,
            is_tuple=self.twin is not None and isinstance(self._y0, tuple),
            names=self._names,
            **given,
            **chosen,
        )

    def __call__(
        self, plan: Plan, ts: Sequence[float], control: dict[str, np.ndarray], grid: odebench.Grid | None
    ) -> odebench.Solution:
        """Run the program.

        Args:
            plan: from `plan`.
            ts: output times.
            control: numbers of the step control.
            grid: the steps, where they are given.

        Raises:
            DivergedError: diffrax gave up.
        """
        states = (self._packing.pack(self._y0),) if self._packing else self._y0
        leaves = states if isinstance(states, tuple) else (states,)
        sources = (*leaves, *self._parameters.values())
        if self._adjoint is not None and torch.is_grad_enabled():
            wanted = tuple(one.requires_grad for one in sources)
            if not any(one.requires_grad for one in self._adjoint.wanted) and not any(wanted[: len(leaves)]):
                wanted = ()
            plan = dataclasses.replace(plan, wanted=wanted)
        passage = _Passage(self, plan, np.asarray(ts, self.number), control, len(leaves))
        found = _Differentiable.apply(passage, *sources) if any(plan.wanted) else passage.forward(sources)
        ys = found if self._packing is None else (self._packing.unpack_outputs(found[0]),)
        told = self._told(passage, grid, ts)
        return odebench.Solution(
            ys=ys if self._packing is None and isinstance(self._y0, tuple) else ys[0], grid=told, stats=self._stats
        )

    def _refuse_strangers(self) -> None:
        """Raise for tensors that should get gradients and that the field in JAX does not know.

        Raises:
            IncompatibleError: with their number.
        """
        known = {id(one) for one in self._parameters.values()}
        strangers = [one for one in (self._adjoint.wanted if self._adjoint else ()) if id(one) not in known]
        if strangers:
            raise IncompatibleError(
                f"Gradient method {self._adjoint.method!r}: {len(strangers)} of the declared `inputs` are no parameters of the field, "
                "and its `jax_field` does not take them. Make them parameters of it."
            )

    def _told(self, passage: _Passage, grid: odebench.Grid | None, ts: Sequence[float]) -> odebench.Grid | None:
        told, plan, stats = passage.told, passage.plan, self._stats
        attempts, accepted = np.asarray(told["steps"]), np.asarray(told["accepted"])
        most = int(attempts.max(initial=0))
        if self.twin is not None:
            each = self._solver.evaluations_of_attempt
            stats.evaluations_forward = None if each is None else self._solver.evaluations_at_start + each * most
            stats.evaluations_backward = None
        stats.rejected = int((attempts - accepted).sum())
        if grid is not None:
            stats.accepted = grid.steps
            return grid
        stats.accepted = int(accepted.max(initial=0))
        if not plan.tells_steps:
            return None
        ends = np.asarray(told["ends"])
        if plan.per_sample:
            return _grid_of_rows(ends, accepted, np.asarray(ts, self.number), stats)
        points = np.concatenate([np.asarray(ts[:1], self.number), ends[: int(accepted)]])
        return odebench.Grid(
            t=torch.from_numpy(points[:-1].astype(np.float64)),
            dt=torch.from_numpy(np.diff(points).astype(np.float64)),
            end=float(points[-1]),
        )

    def _arrays(self, tensors: Sequence[Tensor], count: int) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Leaves of the state and parameters by name, as a program takes them."""
        leaves = tuple(lent(one) for one in tensors[:count])
        if self.twin is None:
            leaves = tuple(lent(one.float() if self._half else one) for one in tensors[:count])
            tensors = [one.float() if one.dtype.itemsize == 2 else one for one in tensors]
        parameters = dict(zip(self._names, map(lent, tensors[count:]), strict=True))
        return leaves, parameters | {name: lent(one) for name, one in self._buffers.items()}


class _Passage:
    """A program's run there and back, for autograd.

    Attributes:
        plan: of the program.
        told: what diffrax told.
    """

    def __init__(self, solve: Solve, plan: Plan, ts: np.ndarray, control: dict[str, np.ndarray], leaves: int) -> None:
        self.plan, self._solve, self._ts, self._control, self._count = plan, solve, ts, control, leaves
        self.told: dict[str, Any] = {}
        self._given: tuple[Any, ...] = ()
        self._program: Any = None
        self._kept: Any = None

    def forward(self, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The states, one tensor for each leaf."""
        start_jax()
        from odebench_diffrax.programs import program_for, reason_of

        function = self._function()
        given = (*self._solve._arrays(tensors, self._count), self._ts, self._control)
        with self._lending():
            self._program = program_for(self.plan, function, given)
            states, self.told, self._kept = self._program.forward(given)
        if any(self.plan.wanted) and self.plan.adjoint == FORWARD_MODE:
            self._given = given
        self._refuse_failure(reason_of)
        temporaries, outputs = self._program.forward_bytes
        self._solve._stats.memory = ProgramMemory(
            method="xla-analysis", forward_peak_bytes=temporaries + outputs, forward_bytes=outputs
        )
        found = tuple(to_torch(one).to(self._solve._dtype) for one in states)
        if self._solve.twin is None:
            self._solve._lent.end_forward()
        return found

    def backward(self, cotangents: Sequence[Tensor]) -> Any:
        """Gradients of what `plan.wanted` names, None elsewhere."""
        number = torch.float64 if self._solve.number == np.float64 else torch.float32
        given = tuple(lent(one if self._solve.twin is not None else one.to(number)) for one in cotangents)
        with self._lending():
            try:
                (chosen,) = self._program.backward(self._kept, self._given, given)
            except Exception as error:
                # Raised in a callback of the program, and wrapped by JAX into another one's text.
                _, found, said = f"{type(error).__name__}: {error}".partition("EquinoxRuntimeError: ")
                if not found:
                    raise
                reason = " ".join(said.partition("\n\n")[0].split())[:200]
                raise DivergedError(f"diffrax gave up on the way back, and says {reason!r}.") from None
        temporaries, outputs = self._program.backward_bytes
        self._solve._stats.memory.backward_peak_bytes = temporaries + outputs
        gradients = iter(chosen)
        return tuple(to_torch(next(gradients)) if is_wanted else None for is_wanted in self.plan.wanted)

    def _function(self) -> Callable[..., Any]:
        if self._solve.twin is not None:
            return self._solve.twin.function
        from odebench_diffrax.torch_field import call_back

        return call_back

    def _lending(self) -> Any:
        if self._solve.twin is not None:
            import contextlib

            return contextlib.nullcontext()
        from odebench_diffrax.torch_field import lending

        return lending(self._solve._lent, self._solve._dtype, self._solve.autocast)

    def _refuse_failure(self, reason_of: Callable[[int], str | None]) -> None:
        worst = int(np.asarray(self.told["result"]).max(initial=0))
        if (reason := reason_of(worst)) is not None:
            raise DivergedError(
                f"Solver {self._solve._solver.name!r} stopped between {self._ts[0]:g} and {self._ts[-1]:g}, after "
                f"{int(np.asarray(self.told['steps']).max())} of {self.plan.max_steps} steps: diffrax says {reason!r}."
            )


class _Differentiable(torch.autograd.Function):
    """A solve whose backward is the program's way back."""

    @staticmethod
    def forward(ctx: Any, passage: _Passage, *tensors: Tensor) -> tuple[Tensor, ...]:
        # Programs may compute in the tensors' own memory: that autograd sees who writes to it meanwhile, they are saved.
        ctx.save_for_backward(*tensors)
        ctx.passage, ctx.dtypes = passage, [one.dtype for one in tensors]
        return passage.forward(tensors)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Any, ...]:
        _ = ctx.saved_tensors
        found = ctx.passage.backward(cotangents)
        return (None, *(None if one is None else one.to(dtype) for one, dtype in zip(found, ctx.dtypes, strict=True)))


def _grid_of_rows(ends: np.ndarray, accepted: np.ndarray, ts: np.ndarray, stats: odebench.Stats) -> odebench.Grid:
    """Accepted steps of each row, `(steps, batch)`; a row that has arrived stands still."""
    steps = int(accepted.max(initial=0))
    start = np.full((len(ends), 1), ts[0], dtype=ts.dtype)
    points = np.concatenate([start, ends[:, :steps]], axis=1)
    points = np.where(np.isfinite(points), points, ts[-1])
    return odebench.Grid(
        t=torch.from_numpy(np.ascontiguousarray(points[:, :-1].T.astype(np.float64))),
        dt=torch.from_numpy(np.ascontiguousarray(np.diff(points, axis=1).T.astype(np.float64))),
        end=float(ts[-1]),
    )
