"""What all compiled programs of one solve share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from odebench.compiled.field_graph import FieldGraph, capture
from odebench.compiled.lanes import Lanes
from odebench.compiled.program import form, free, program_of
from odebench.compiled.traced_field import Shape
from odebench.contract import Field, GridRequest, Solver, State
from odebench.errors import CompileError
from odebench.numerics import ExplicitRungeKutta
from odebench.numerics.march import wants_rows
from odebench.numerics.march_rows import refuse_rows
from odebench.numerics.packing import Packing
from odebench.numerics.timed_field import time_dtype

MOST_SETTINGS = 64
"""So many solvers, and shapes of states, are remembered for a graph."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What all programs of one solve share.

    Attributes:
        solver, graph, shape, lanes: the method, the field, its state, and whose steps they are.
        tensors: what the field uses, in the order of its graph, as its caller has them.
        packing: how states become one tensor.
        dtype, device: of the state.
        programs: those that were made, by what they do.
    """

    solver: ExplicitRungeKutta
    graph: FieldGraph
    shape: Shape
    lanes: Lanes
    tensors: tuple[Any, ...]
    packing: Packing
    dtype: torch.dtype
    device: torch.device
    programs: dict[Any, Callable[..., Any]] = field(default_factory=dict, compare=False)

    def program(self, kind: tuple[Any, ...], make: Callable[[], Callable[..., Any]]) -> Callable[..., Any]:
        """The program that does this, made at the first call."""
        name = (form(), kind)
        program = self.programs.get(name)
        if program is None:
            program = self.programs[name] = program_of(self.graph, (*kind, *self.key), make)
        return program

    def with_tensors(self, tensors: tuple[Any, ...]) -> Setting:
        """The same for other values of the field's tensors; without the checks of `replace`, which take longer than all else."""
        other = object.__new__(Setting)
        vars(other).update(vars(self), tensors=tensors)
        return other

    @property
    def key(self) -> tuple[Any, ...]:
        """What their programs depend on besides the graph."""
        return _identity(self.solver), self.shape, self.lanes, self.dtype, self.device

    @property
    def plain_tensors(self) -> tuple[Any, ...]:
        """The field's tensors without their graph."""
        return tuple(tensor.detach() if isinstance(tensor, Tensor) else tensor for tensor in self.tensors)

    def free(self, tensor: Tensor, before: int = 0) -> Tensor:
        """Leave open the batch of a packed state that has `before` dimensions in front, and the sizes of these."""
        flat = self.packing.is_tuple and not self.packing.by_row
        return free(tensor, *range(before), *(() if flat else (before,)))

    def for_state(self, leaves: Sequence[Tensor], is_tuple: bool) -> Setting:
        """The same for a state of another batch.

        Raises:
            CompileError: it differs in more than the batch.
        """
        shape = self.shape
        flat = shape.is_tuple and not shape.by_row
        rows = tuple(tuple(leaf.shape if flat else leaf.shape[1:]) for leaf in leaves)
        kinds = {(leaf.dtype, leaf.device) for leaf in leaves}
        if (is_tuple, rows, kinds) != (shape.is_tuple, shape.rows, {(self.dtype, self.device)}):
            asked = " and ".join(f"{tuple(leaf.shape)}, {leaf.dtype} on {leaf.device}" for leaf in leaves)
            raise CompileError(
                f"The solver was compiled for {'a tuple of ' if shape.is_tuple else ''}states of shape "
                f"{', '.join(str(row if flat else ('batch', *row)) for row in shape.rows)}, {self.dtype} on {self.device}; this one "
                f"is {'a tuple: ' if is_tuple else ''}{asked}. Compile one for it."
            )
        if not flat and leaves[0].shape[0] < 2:
            raise CompileError("A compiled solver takes batches of at least two rows; this one has fewer.")
        state = tuple(leaves) if is_tuple else leaves[0]
        return replace(self, packing=Packing(state, by_row=shape.by_row or (self.lanes.by_row and is_tuple)))


def setting_of(solver: Solver, field: Field, y0: State, ts: Sequence[float], request: GridRequest) -> Setting:
    """The graph of the field, and how its state is packed.

    Raises:
        CompileError: the solver or the field has no compiled form.
    """
    if not isinstance(solver, ExplicitRungeKutta):
        raise CompileError(
            f"Solver {solver.name!r} has no compiled form: it is no explicit Runge-Kutta method that is given by its tableau."
        )
    by_row = wants_rows(request)
    leaves = y0 if isinstance(y0, tuple) else (y0,)
    form, packing, start = _begun(y0, leaves, ts[0], by_row)
    if by_row:
        start = start.repeat(leaves[0].shape[0]).reshape(-1, *(1,) * (leaves[0].dim() - 1))
    graph, tensors = capture(field, start, tuple(leaf.detach() for leaf in leaves), packing.is_tuple)
    if by_row and graph.uses_time:
        refuse_rows(solver, field, y0, ts[0])
    elements = getattr(request, "norm_elements", None)
    key = (_identity(solver), elements, form)
    known = graph.settings.get(key)
    if known is None:
        lanes = Lanes(by_row=by_row, dtype=start.dtype, elements=elements)
        known = Setting(
            solver=solver,
            graph=graph,
            shape=_shape(leaves, packing, start.dtype),
            lanes=lanes,
            tensors=(),
            packing=packing,
            dtype=leaves[0].dtype,
            device=leaves[0].device,
        )
        remember(graph.settings, key, known)
    return known.with_tensors(tensors)


def remember(known: dict[Any, Any], key: Any, value: Any) -> None:
    """Keep a value, and forget the oldest of too many."""
    if len(known) >= MOST_SETTINGS:
        known.pop(next(iter(known)))
    known[key] = value


class _Begun(NamedTuple):
    """What is known of a solve from the form of its state: to check it takes longer than a small solve.

    Attributes:
        form: that, and whether each row has steps of its own.
        packing: how the state becomes one tensor.
        start: the first time, in the dtype that the field takes.
    """

    form: tuple[Any, ...]
    packing: Packing
    start: Tensor


_known: dict[Any, _Begun] = {}


def _begun(y0: State, leaves: tuple[Tensor, ...], first: float, by_row: bool) -> _Begun:
    is_tuple = isinstance(y0, tuple)
    if not all(isinstance(leaf, Tensor) for leaf in leaves):
        Packing(y0)  # says what is wrong
    form = (is_tuple, by_row, *((leaf.shape, leaf.dtype, leaf.device) for leaf in leaves))
    known = _known.get((form, first))
    if known is not None:
        return known
    rows_apart = is_tuple and all(leaf.dim() and leaf.shape[0] == leaves[0].shape[0] for leaf in leaves)
    packing = Packing(y0, by_row=by_row or rows_apart)
    if leaves[0].is_complex():
        raise CompileError(
            "A complex state has no compiled form. Solve without compile, or in real and imaginary parts."
        )
    if not all(leaf.numel() for leaf in leaves):
        raise CompileError("The state has no elements, so that there is nothing to compile. Solve without compile.")
    with torch.inference_mode(False):  # kept for solves with a gradient too
        start = torch.full((), first, dtype=time_dtype(leaves[0].dtype), device=leaves[0].device)
    begun = _Begun(form, packing, start)
    remember(_known, (form, first), begun)
    return begun


def _shape(leaves: Sequence[Tensor], packing: Packing, dtype: torch.dtype) -> Shape:
    flat = packing.is_tuple and not packing.by_row
    return Shape(
        rows=tuple(tuple(leaf.shape if flat else leaf.shape[1:]) for leaf in leaves),
        is_tuple=packing.is_tuple,
        by_row=packing.by_row,
        time_dtype=dtype,
    )


def _identity(solver: ExplicitRungeKutta) -> tuple[Any, ...]:
    """What makes two solvers the same to a program: their class, and what they hold."""
    # As they are pickled: without what is made of the tableau.
    return type(solver), tuple(solver.__getstate__().items())
