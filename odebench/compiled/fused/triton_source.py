"""A field and a Runge-Kutta step as a Triton kernel: each trajectory stays in registers through all of its steps.

P. Tillet, H. T. Kung, D. Cox, "Triton: an intermediate language and compiler for tiled neural network computations", MAPL 2019.
The text is a Python module with a function `run`; the numbers of a trajectory are variables of their own, `y_0`, `y_1`, …, of which
each holds those of a block of trajectories.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch

from odebench.compiled.fused.derivative import pulled_back
from odebench.compiled.fused.expressions import Expression, NotByRowError, ordered
from odebench.compiled.fused.rows import Rows
from odebench.compiled.fused.source import StepForm
from odebench.numerics.interpolation import Terms, nonzero_terms

MOST_WORDS = 4000
"""A step with more numbers than this, in one trajectory, is left to the loops: it takes a compiler of kernels minutes."""

_TYPES = {torch.float32: "tl.float32", torch.float64: "tl.float64"}

_INFIX = {"add": "+", "sub": "-", "mul": "*", "and": "&", "or": "|"}
_COMPARED = {"lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!="}
_OWN = {"abs": "tl.abs", "floor": "tl.floor", "ceil": "tl.ceil"}
# In double precision these are rounded as they are.
_ROUNDED = {
    torch.float32: ("tl.div_rn({}, {})", "tl.sqrt_rn({})"),
    torch.float64: ("({}) / ({})", "libdevice.sqrt({})"),
}

_HEAD = """\
import triton
import triton.language as tl
from triton.language.extra.cuda import libdevice

T = tl.constexpr({dtype})
INFINITY = tl.constexpr(float("inf"))
NAN = tl.constexpr(float("nan"))
"""


@dataclass(frozen=True, kw_only=True)
class Columns:
    """What a kernel reads of a step that is the same for all trajectories: products, which it does not compute anew in each.

    Attributes:
        lengths: c of each number c·dt, first in the row of a step.
        times: c of each number t + c·dt, after them.
    """

    lengths: list[float] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    def of(self, grid: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """These of a grid, `(steps, columns)`: multiplied and added in double precision, as in Python."""
        t, dt = grid[:, 0], grid[:, 1]
        numbers = [*(c * dt for c in self.lengths), *(t + c * dt for c in self.times)]
        return torch.stack(numbers, 1).to(dtype) if numbers else grid.new_empty((len(grid), 1), dtype=dtype)


@dataclass(frozen=True, kw_only=True)
class Printed:
    """The text of a kernel.

    Attributes:
        text: of the module.
        columns: of its steps, where these are the same for all trajectories.
        tensors: which of the field's tensors it is given, in order.
    """

    text: str
    columns: Columns
    tensors: tuple[int, ...]


def replay_text(rows: Rows, form: StepForm, dtype: torch.dtype, by_row: bool, keep: bool, outputs: bool) -> Printed:
    """The steps of a grid, forward.

    Args:
        keep: whether states at the starts of steps are stored.
        outputs: whether what `form.told` says is stored of steps with output times.
    """
    printer = _Printer(rows, form, dtype, by_row)
    return Printed(
        text="\n".join([_HEAD.format(dtype=_TYPES[dtype]), printer.field(), printer.replay(keep, outputs)]),
        columns=printer.columns,
        tensors=printer.tensors,
    )


def reverse_text(rows: Rows, form: StepForm, dtype: torch.dtype, by_row: bool, outputs: bool) -> Printed:
    """The gradient of steps, from the last to the first."""
    printer = _Printer(rows, form, dtype, by_row)
    return Printed(
        text="\n".join([_HEAD.format(dtype=_TYPES[dtype]), printer.field(), printer.pull(), printer.reverse(outputs)]),
        columns=printer.columns,
        tensors=printer.tensors,
    )


class _Printer:
    def __init__(self, rows: Rows, form: StepForm, dtype: torch.dtype, by_row: bool) -> None:
        self._rows, self._form, self._by_row = rows, form, by_row
        self._quotient, self._root = _ROUNDED[dtype]
        if rows.has_matrices:
            raise NotByRowError("the field multiplies by matrices, for which a GPU has kernels of its own")
        self._count = len(rows.derivative)
        self._uses_time = any(e.operation == "time" for e in ordered(rows.derivative))
        self.columns = Columns()
        self.tensors = tuple(sorted({tensor for tensor, _ in rows.tensors}))
        operations = sum(bool(e.arguments) for e in ordered(rows.derivative))
        words = (self._count + operations) * form.stages + len(rows.tensors)
        if words > MOST_WORDS:
            raise NotByRowError(f"a step has {words} numbers, more than {MOST_WORDS}")
        leaves = [rows.builder.leaf("state", n) for n in range(self._count)]
        leaves += [rows.builder.leaf("tensor", *place) for place in rows.tensors]
        self._leaves, self._pulled = leaves, None

    # The field, and its vector-Jacobian product.

    def field(self) -> str:
        """dy/dt = field(t, y…, p…)."""
        arguments = [*self._time("t"), *self._all("y"), *self._parameters()]
        return _function(f"field({', '.join(arguments)})", self._body(self._rows.derivative))

    def pull(self) -> str:
        """Jᵀ·g by the state, and by those of the tensors that it depends on."""
        arguments = [*self._time("t"), *self._all("y"), *self._parameters(), *self._all("g")]
        results = self._pullback()
        return _function(f"pull({', '.join(arguments)})", self._body([r for _, r in results]))

    def _pullback(self) -> list[tuple[int | None, Expression]]:
        """The results of `pull`: None and a number for the state, or of which tensor's number they are a part."""
        if self._pulled is None:
            results = pulled_back(self._rows.builder, self._rows.derivative, self._leaves)
            own = [(None, result) for result in results[: self._count]]
            others = enumerate(results[self._count :])
            self._pulled = own + [(n, r) for n, r in others if r.operation != "constant" or r.value]
        return self._pulled

    def _body(self, results: Sequence[Expression]) -> list[str]:
        every = ordered(results)
        lines = [f"    {self._name(e)} = {self._constant(e)}" for e in every if e.operation == "constant"]
        lines += [f"    {self._name(e)} = {self._computed(e)}" for e in every if e.arguments]
        return [*lines, f"    return {', '.join(map(self._name, results))}"]

    def _name(self, e: Expression) -> str:
        if e.operation == "time":
            return "t"
        if e.operation in ("state", "cotangent"):
            return f"{'y' if e.operation == 'state' else 'g'}_{e.place[0]}"
        if e.operation == "tensor":
            return f"p_{self._rows.tensors.index(e.place)}"
        return f"{'c' if e.operation == 'constant' else 'x'}{self._rows.builder.number_of(e)}"

    def _constant(self, e: Expression) -> str:
        return f"tl.full((), {_number(e.value)}, T)"

    def _computed(self, e: Expression) -> str:
        names, operation = [self._name(argument) for argument in e.arguments], e.operation
        if operation in _INFIX or operation in _COMPARED:
            return f"{names[0]} {_INFIX.get(operation) or _COMPARED[operation]} {names[1]}"
        if operation == "div":
            return self._quotient.format(*names)
        if operation == "sqrt":
            return self._root.format(*names)
        if operation in ("maximum", "minimum"):
            return f"tl.{operation}({names[0]}, {names[1]}, propagate_nan=tl.PropagateNan.ALL)"
        if operation == "where":
            return f"tl.where({', '.join(names)})"
        if operation == "neg":
            return f"-{names[0]}"
        if operation == "not":
            return f"{names[0]} == 0"
        if operation == "sign":
            return f"({names[0]} > 0).to(T) - ({names[0]} < 0).to(T)"
        if operation == "sigmoid":
            return self._quotient.format("tl.full((), 1.0, T)", f"1.0 + libdevice.exp(-{names[0]})")
        # Triton's own functions are less exact than those of CUDA.
        return f"{_OWN.get(operation, f'libdevice.{operation}')}({', '.join(names)})"

    # Names.

    def _all(self, name: str) -> list[str]:
        return [f"{name}_{n}" for n in range(self._count)]

    def _parameters(self) -> list[str]:
        return [f"p_{n}" for n in range(len(self._rows.tensors))]

    def _time(self, name: str) -> list[str]:
        return [name] if self._uses_time else []

    def _part(self, what: str) -> str:
        """A name of `StepForm.told` in this text."""
        return {"y": "y", "end": "end", "tail": "slope"}.get(what) or "k" + what[2:-1]

    # What is the same in both kernels.

    def _call(self, into: str, share: float, at: str) -> str:
        """The field at a share of the step."""
        arguments = [*self._time(self._at_time(share)), *self._all(at), *self._parameters()]
        return f"{', '.join(self._all(into))} = field({', '.join(arguments)})"

    def _at_time(self, share: float) -> str:
        if self._by_row:
            return f"t + tl.full((), {share!r}, T) * dt" if share else "t"
        if not self._uses_time:
            return ""
        if share not in self.columns.times:
            self.columns.times.append(share)
        return f"time{self.columns.times.index(share)}"

    def _length(self, coefficient: float) -> str:
        if self._by_row:
            return f"(tl.full((), {coefficient!r}, T) * dt)"
        if coefficient not in self.columns.lengths:
            self.columns.lengths.append(coefficient)
        return f"length{self.columns.lengths.index(coefficient)}"

    def _sum(self, into: str, start: str, of: str, terms: Terms) -> list[str]:
        """`into` = `start` + Σ length·`of`, as `weighted_sum` adds it up."""
        lines = [f"{into}_{n} = {start}_{n}" for n in range(self._count)] if into != start else []
        for index, coefficient in terms:
            length = self._length(coefficient)
            lines += [f"{into}_{n} = tl.fma({of}{index}_{n}, {length}, {into}_{n})" for n in range(self._count)]
        return lines

    def _begin(self, given: Iterable[str], more: Iterable[str]) -> list[str]:
        """The head of `run`, which trajectories a block has, and what the field's tensors hold."""
        whole = ["batch", "steps", "room", "none"]
        names = [*given, *(f"tensor{n}" for n in self.tensors), *whole, "BLOCK: tl.constexpr"]
        return [
            f"@triton.jit(do_not_specialize={whole!r})",
            f"def run({', '.join(names)}):",
            "    row = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)",
            "    real = row < batch",
            "    # Trajectories that only fill the block repeat the last one.",
            "    row = tl.minimum(row, batch - 1)",
            f"    own = row * {self._count}",
            f"    size = tl.full((), {self._count}, tl.int64) * batch",
            *(f"    p_{n} = tl.load(tensor{tensor} + {at})" for n, (tensor, at) in enumerate(self._rows.tensors)),
            *(f"    {line}" for line in more),
        ]

    def _here(self) -> list[str]:
        """What is read of step n: its start and length, or numbers made of them; called when it is known which of these."""
        if self._by_row:
            return [
                "t = tl.load(grid + 2 * n * size_of_grid + row)",
                "dt = tl.load(grid + (2 * n + 1) * size_of_grid + row)",
            ]
        lengths, times = len(self.columns.lengths), len(self.columns.times)
        width = max(1, lengths + times)
        return [
            *(f"length{m} = tl.load(grid + n * {width} + {m})" for m in range(lengths)),
            *(f"time{m} = tl.load(grid + n * {width} + {lengths + m})" for m in range(times)),
        ]

    # The kernels.

    def replay(self, keep: bool, outputs: bool) -> str:
        """`run` of a replay."""
        form, every = self._form, range(self._count)
        body = []
        if keep:
            body += ["kept = tl.load(rows + n)", "wanted = real & (kept < room)"]
            # One number of all trajectories after the other: stores next to each other.
            body += [f"tl.store(states + kept * size + {n} * batch + row, y_{n}, mask=wanted)" for n in every]
        if form.takes_over:
            body += [f"k0_{n} = slope_{n}" for n in every]
        else:
            body.append(self._call("k0", 0.0, "y"))
        for stage in range(1, form.stages):
            body += self._sum("x", "y", "k", nonzero_terms(form.tableau.a_floats[stage]))
            body.append(self._call(f"k{stage}", form.tableau.c_floats[stage], "x"))
        body += self._sum("end", "y", "k", nonzero_terms(form.tableau.b_floats))
        if form.takes_over:
            body.append(self._call("slope", 1.0, "end"))
        if outputs:
            body += ["slot = tl.load(slots + n)", "met = real & (slot < none)"]
            for m, what in enumerate(form.told()):
                body.append(f"told = stored + (slot * {form.stored} + {m}) * size + own")
                body += [f"tl.store(told + {n}, {self._part(what)}_{n}, mask=met)" for n in every]
        body += [f"y_{n} = end_{n}" for n in every]
        before = [f"y_{n} = tl.load(start + own + {n})" for n in every]
        if form.takes_over:
            first = self._call("slope", 0.0, "y")
            before += ["n = 0", *self._here(), first]
        given = ["start", "end", "grid"]
        given += ["rows", "states"] * keep + ["slots", "stored"] * outputs
        return _text(
            self._begin(given, [*self._grid_size(), *before]),
            "for n in range(steps):",
            [*self._here(), *body],
            [f"tl.store(end + own + {n}, y_{n}, mask=real)" for n in every],
        )

    def reverse(self, outputs: bool) -> str:
        """`run` of the gradient.

        Source: W. W. Hager, "Runge-Kutta methods in optimal control and the transformed adjoint system", Numer. Math. 87, 2000,
        section 3: the discrete adjoint of a Runge-Kutta step, stage by stage, from the last to the first.
        """
        form, every, told = self._form, range(self._count), self._form.told() if outputs else []
        tableau, stages = form.tableau, form.stages
        sums = [n for n, _ in self._pullback() if n is not None]
        # The state at the start of the step before is asked for a whole step before it is used.
        body = [f"y_{n} = ahead_{n}" for n in every]
        body += [f"ahead_{n} = tl.load(states + tl.maximum(n - 1, 0) * size + {n} * batch + row)" for n in every]
        if outputs:
            body += ["slot = tl.load(slots + n)", "met = real & (slot < none)"]
            for m in range(len(told)):
                body.append(f"told = weights + (slot * {form.stored} + {m}) * size + own")
                body += [f"told{m}_{n} = tl.load(told + {n}, mask=met, other=0.0)" for n in every]
        body += [f"x0_{n} = y_{n}" for n in every]
        for stage in range(stages):
            if stage:
                body += self._sum(f"x{stage}", "y", "k", nonzero_terms(tableau.a_floats[stage]))
            if stage < stages - 1 or "tail" in told:
                body.append(self._call(f"k{stage}", tableau.c_floats[stage], f"x{stage}"))
        if "end" in told:
            body += [f"bar_{n} = bar_{n} + told{told.index('end')}_{n}" for n in every]
        if "tail" in told:
            body += self._sum("end", "y", "k", nonzero_terms(tableau.b_floats))
            body += self._pulls("part", 1.0, "end", f"told{told.index('tail')}")
            body += [f"bar_{n} = bar_{n} + part_{n}" for n in every]
        for stage in reversed(range(stages)):
            own, g = f"k[{stage}]", f"g{stage}"
            begin = [f"told{told.index(own)}_{n}" if own in told else "zero" for n in every]
            body += [f"{g}_{n} = {begin[n]}" for n in every]
            if tableau.b_floats[stage]:
                length = self._length(tableau.b_floats[stage])
                body += [f"{g}_{n} = tl.fma(bar_{n}, {length}, {g}_{n})" for n in every]
            column = tuple((later, tableau.a_floats[later][stage]) for later in range(stage + 1, stages))
            body += self._sum(g, g, "m", tuple((later, a) for later, a in column if a))
            body += self._pulls(f"m{stage}", tableau.c_floats[stage], f"x{stage}", g)
        for stage in range(stages):
            body += [f"bar_{n} = bar_{n} + m{stage}_{n}" for n in every]
        if "y" in told:
            body += [f"bar_{n} = bar_{n} + told{told.index('y')}_{n}" for n in every]
        before = [
            "zero = tl.zeros((BLOCK,), T)",
            *(f"bar_{n} = tl.load(cotangent + own + {n})" for n in every),
            *(f"sum_{n} = zero" for n in sums),
            *(f"ahead_{n} = tl.load(states + (steps - 1) * size + {n} * batch + row)" for n in every),
        ]
        after = [f"tl.store(start + own + {n}, bar_{n}, mask=real)" for n in every]
        for n in sums:
            after.append(f"total = tl.sum(tl.where(real, sum_{n}, zero).to(tl.float64), 0)")
            after.append(f"tl.store(parts + tl.program_id(0) * {len(self._rows.tensors)} + {n}, total)")
        given = ["cotangent", "start", "grid", "states", "parts", *["slots", "weights"] * outputs]
        return _text(
            self._begin(given, [*self._grid_size(), *before]),
            "for back in range(steps):",
            ["n = steps - 1 - back", *self._here(), *body],
            after,
        )

    def _pulls(self, into: str, share: float, at: str, cotangent: str) -> list[str]:
        """Jᵀ·cotangent at a share of the step; what belongs to the tensors is added to the sums."""
        results = [f"{into}_{m}" if n is None else f"d_{n}" for m, (n, _) in enumerate(self._pullback())]
        arguments = [
            *self._time(self._at_time(share)),
            *self._all(at),
            *self._parameters(),
            *self._all(cotangent),
        ]
        sums = [f"sum_{n} = sum_{n} + d_{n}" for n, _ in self._pullback() if n is not None]
        return [f"{', '.join(results)} = pull({', '.join(arguments)})", *sums]

    def _grid_size(self) -> list[str]:
        return ["size_of_grid = tl.full((), 1, tl.int64) * batch"] if self._by_row else []


def _number(value: float) -> str:
    if value != value:
        return "NAN"
    if value in (float("inf"), float("-inf")):
        return "INFINITY" if value > 0 else "-INFINITY"
    return repr(value)


def _function(head: str, lines: Sequence[str]) -> str:
    return "\n".join(["", "@triton.jit", f"def {head}:", *lines, ""])


def _text(begin: Sequence[str], loop: str, body: Sequence[str], after: Sequence[str]) -> str:
    """The text of `run`."""
    lines = [*begin, f"    {loop}", *(f"        {line}" for line in body), *(f"    {line}" for line in after)]
    return "\n".join(["", *lines, ""])
