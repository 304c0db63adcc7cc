"""A field and a Runge-Kutta step as C++."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files

import torch

from odebench.compiled.fused.derivative import Outer, pulled_back
from odebench.compiled.fused.expressions import Expression, ordered
from odebench.compiled.fused.rows import Rows
from odebench.numerics.interpolation import Terms, nonzero_terms
from odebench.numerics.outputs import CLOSE
from odebench.numerics.tableau import ButcherTableau

_TYPES = {torch.float32: "float", torch.float64: "double"}

_INFIX = {"add": "+", "sub": "-", "mul": "*", "div": "/", "and": "&", "or": "|"}
_COMPARED = {"lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!="}
_CALLED = {"maximum", "minimum"}


@dataclass(frozen=True, kw_only=True)
class StepForm:
    """A Runge-Kutta step as a kernel takes it.

    Attributes:
        tableau: the method.
        inside: whether what interpolates the step is stored, rather than its end.
        takes_over: whether the derivative at its end is evaluated, and is the first of the next step.
    """

    tableau: ButcherTableau
    inside: bool
    takes_over: bool

    @property
    def stages(self) -> int:
        """Stages, without one at the end of the step."""
        return self.tableau.stages - self.tableau.fsal

    @property
    def kept(self) -> tuple[int, ...] | None:
        """Which stages the interpolant uses; None where it is that of Hermite."""
        dense = self.tableau.dense_floats
        return None if dense is None else tuple(index for index, row in enumerate(dense) if any(row))

    @property
    def stored(self) -> int:
        """How many states and derivatives are stored of a step."""
        if not self.inside:
            return 1
        return 4 if self.kept is None else 1 + len(self.kept)

    def told(self) -> list[str]:
        """What these are, in the names of `tell` and `back`."""
        if not self.inside:
            return ["end"]
        if self.kept is None:
            return ["y", "end", "k[0]", "tail"]
        return ["y", *(self._stage(index) for index in self.kept)]

    def _stage(self, index: int) -> str:
        return "tail" if index >= self.stages else f"k[{index}]"


def source_of(kernel: str, rows: Rows, form: StepForm, dtype: torch.dtype, by_row: bool) -> str:
    """The text of a kernel: "replay", "adaptive" or "reverse"."""
    numbers = len(rows.derivative)
    parts = [
        _constants(dtype, numbers, rows, form, by_row),
        _kernel("common"),
        _read(rows),
        _field(rows),
        _stages(form),
        _ahead(form),
    ]
    if kernel == "adaptive":
        parts.append(_estimated(form))
    parts.append(_tell(form) if kernel != "reverse" else _pull(rows) + _back(form))
    return "\n".join([*parts, _kernel(kernel)])


def _kernel(name: str) -> str:
    return (files("odebench.compiled.fused") / "kernels" / f"{name}.h").read_text(encoding="utf-8")


def _constants(dtype: torch.dtype, numbers: int, rows: Rows, form: StepForm, by_row: bool) -> str:
    # Several vectors of a small state at once: one alone waits for its own results.
    unroll = 4 if numbers <= 2 else 2 if numbers <= 8 else 1
    matrices = sum(matrix.rows * matrix.columns for matrix in rows.matrices)
    arrays = 1 + max((e.place[0] for e in ordered(rows.derivative) if e.operation in ("tensor", "dense")), default=-1)
    if rows.has_matrices:
        unroll = 2  # sums of eight columns stay in registers
    return "\n".join(
        [
            f"using T = {_TYPES[dtype]};",
            f"constexpr int NUMBERS = {numbers}, TENSORS = {len(rows.tensors)}, STAGES = {form.stages}, STORED = {form.stored};",
            f"constexpr int UNROLL = {unroll}, ARRAYS = {arrays}, MATRICES = {matrices};",
            f"constexpr bool BY_ROW = {str(by_row).lower()}, TAKES_OVER = {str(form.takes_over).lower()};",
            f"constexpr double CLOSE = {CLOSE!r};",
        ]
    )


FEW = 24
"""So many numbers of tensors are held as vectors; more are spread where they are used."""


def _read(rows: Rows) -> str:
    lines = ["  for (int n = 0; n < ARRAYS; ++n) p.array[n] = pointer<const T*>(tensors[n]);"]
    if len(rows.tensors) <= FEW:
        lines += [
            f"  p.number[{n}] = V(p.array[{tensor}][{element}]);" for n, (tensor, element) in enumerate(rows.tensors)
        ]
    return _function("void read(const int64_t* tensors, Given& p)", lines)


def _field(rows: Rows) -> str:
    lines = [
        *_statements(rows, rows.derivative),
        *(f"  k[{n}] = {_name(rows, e)};" for n, e in enumerate(rows.derivative)),
    ]
    return _function("void field(const V& t, const Numbers& y, const Given& p, Numbers& k)", lines)


def _pull(rows: Rows) -> str:
    """`forward` is the field, and keeps what `pull` needs of it: that is computed once only where there are matrices, as other fields
    cost less than to keep it. `pull` is bar = Jᵀ·g; what belongs to the tensors is added to the sums, and what belongs to matrices to
    theirs."""
    leaves = [
        *(rows.builder.leaf("state", n) for n in range(len(rows.derivative))),
        *(rows.builder.leaf("tensor", *place) for place in rows.tensors),
    ]
    outers: list[Outer] = []
    results = pulled_back(rows.builder, rows.derivative, leaves, outers)
    needed = [*results, *(e for outer in outers for e in (*outer.given, *outer.bars))]
    kept = _kept(rows, needed) if outers else []
    before = _statements(rows, rows.derivative)
    before += [f"  k[{n}] = {_name(rows, e)};" for n, e in enumerate(rows.derivative)]
    before += [f"  s[{n}] = {_name(rows, e)};" for n, e in enumerate(kept)]
    lines = [f"  const V& {_name(rows, e)} = s[{n}];" for n, e in enumerate(kept)]
    lines += _statements(rows, needed, done=ordered(rows.derivative) if kept else ())
    for n, result in enumerate(results):
        own = n < len(rows.derivative)
        if own:
            lines.append(f"  bar[{n}] = {_name(rows, result)};")
        elif result.operation != "constant" or result.value:
            sum_ = f"sums[{n - len(rows.derivative)}]"
            lines.append(f"  {sum_} = {sum_} + {_name(rows, result)};")
    begins = {matrix[:6]: matrix.begin for matrix in rows.matrices}
    for outer in outers:
        left, right = (", ".join(_name(rows, e) for e in vector) for vector in (outer.given, outer.bars))
        shape = f"{len(outer.given)}, {len(outer.bars)}"
        lines += [
            "  {",
            f"    const V left[] = {{{left}}}, right[] = {{{right}}};",
            f"    outer<{shape}>(left, right, products + {begins[outer.place]});",
            "  }",
        ]
    return "\n".join(
        [
            f"constexpr int KEPT = {len(kept)};",
            _function("void forward(const V& t, const Numbers& y, const Given& p, Numbers& k, V* s)", before),
            _function(
                "void pull(const V& t, const Numbers& y, const Given& p, const V* s, const Numbers& g, Numbers& bar, V* sums, "
                "Part* products)",
                lines,
            ),
        ]
    )


def _kept(rows: Rows, needed: Sequence[Expression]) -> list[Expression]:
    """What the way back uses of what the field computes."""
    computed = {id(e): e for e in ordered(rows.derivative) if e.arguments}
    used = {id(e) for e in needed}
    used |= {id(a) for e in ordered(needed) if id(e) not in computed for a in e.arguments}
    return [e for key, e in computed.items() if key in used]


def _statements(rows: Rows, results: Iterable[Expression], done: Iterable[Expression] = ()) -> list[str]:
    """What computes the results, but for what is done."""
    lines, products, known = [], {}, {id(e) for e in done}
    for e in ordered(results):
        if id(e) in known:
            continue
        if e.operation == "dense":
            lines += _product(rows, e, products)
        elif e.arguments:
            lines.append(f"  const V {_name(rows, e)} = {_computed(rows, e)};")
    return lines


def _product(rows: Rows, e: Expression, products: dict[tuple, int]) -> list[str]:
    """One element of a vector times a matrix; the first that is met computes all."""
    tensor, start, down, along, column, columns = e.place
    key = (e.arguments, tensor, start, down, along, columns)
    lines = []
    if key not in products:
        products[key] = n = len(products)
        given = ", ".join(_name(rows, argument) for argument in e.arguments)
        lines = [
            f"  const V given{n}[] = {{{given}}};",
            f"  V found{n}[{columns}];",
            f"  times<{len(e.arguments)}, {columns}, {down}, {along}>(given{n}, p.array[{tensor}] + {start}, found{n});",
        ]
    return [*lines, f"  const V& {_name(rows, e)} = found{products[key]}[{column}];"]


def _name(rows: Rows, e: Expression) -> str:
    if e.operation == "constant":
        return f"V(T({_number(e.value)}))"
    if e.operation == "time":
        return "t"
    if e.operation in ("state", "cotangent"):
        return f"{'y' if e.operation == 'state' else 'g'}[{e.place[0]}]"
    if e.operation == "tensor":
        tensor, element = e.place
        if len(rows.tensors) > FEW:
            return f"V(p.array[{tensor}][{element}])"
        return f"p.number[{rows.tensors.index(e.place)}]"
    return f"x{rows.builder.number_of(e)}"


def _number(value: float) -> str:
    if value != value:
        return "NAN"
    if value in (float("inf"), float("-inf")):
        return "INFINITY" if value > 0 else "-INFINITY"
    return value.hex()


def _computed(rows: Rows, e: Expression) -> str:
    names = [_name(rows, argument) for argument in e.arguments]
    operation = e.operation
    if operation in _INFIX:
        return f"{names[0]} {_INFIX[operation]} {names[1]}"
    if operation in _COMPARED:
        return f"({names[0]}) {_COMPARED[operation]} ({names[1]})"
    if operation in _CALLED:
        return f"{operation}({', '.join(names)})"
    if operation == "where":
        return f"choose({', '.join(names)})"
    if operation == "not":
        return f"~{names[0]}"
    if operation == "pow":
        return f"{names[0]}.pow({names[1]})"
    if operation == "sigmoid":
        return f"V(T(1)) / (V(T(1)) + {names[0]}.neg().exp())"
    if operation == "tanh":
        return f"hyperbolic_tangent({names[0]})"
    method = {"sign": "sgn"}.get(operation, operation)
    return f"{names[0]}.{method}()"


def _stages(form: StepForm) -> str:
    """The stages after the first."""
    lines = ["  Numbers x;"]
    for stage in range(1, form.stages):
        row = nonzero_terms(form.tableau.a_floats[stage])
        lines += _sum("x", "y", "k", row)
        lines.append(f"  field(at.time({_number(form.tableau.c_floats[stage])}), x, p, k[{stage}]);")
    return _function("void stages(const Place& at, const Numbers& y, const Given& p, Numbers (&k)[STAGES])", lines)


def _ahead(form: StepForm) -> str:
    """The state at the end."""
    terms = nonzero_terms(form.tableau.b_floats)
    return _function(
        "void ahead(const Place& at, const Numbers& y, const Numbers (&k)[STAGES], Numbers& end)",
        _sum("end", "y", "k", terms),
    )


def _estimated(form: StepForm) -> str:
    """The error estimate."""
    (index, coefficient), *others = nonzero_terms(form.tableau.b_error_floats)
    lines = [
        "  {",
        f"    const V c = at.length({_number(coefficient)});",
        f"    for (int i = 0; i < NUMBERS; ++i) estimate[i] = c * {form._stage(index)}[i];",
        "  }",
        *_sum("estimate", "estimate", "k", tuple(others), form),
    ]
    head = "void estimated(const Place& at, const Numbers (&k)[STAGES], const Numbers& tail, Numbers& estimate)"
    return _function(head, lines)


def _sum(into: str, start: str, of: str, terms: Terms, form: StepForm | None = None) -> list[str]:
    """`into` = `start` + Σ length·`of`, as `weighted_sum` adds it up."""
    lines = [] if into == start else [f"  for (int i = 0; i < NUMBERS; ++i) {into}[i] = {start}[i];"]
    for index, coefficient in terms:
        stage = form._stage(index) if form is not None else f"{of}[{index}]"
        lines += [
            "  {",
            f"    const V c = at.length({_number(coefficient)});",
            f"    for (int i = 0; i < NUMBERS; ++i) {into}[i] = fmadd({stage}[i], c, {into}[i]);",
            "  }",
        ]
    return lines


def _tell(form: StepForm) -> str:
    lines = [f"  for (int i = 0; i < NUMBERS; ++i) told[{m}][i] = {what}[i];" for m, what in enumerate(form.told())]
    head = (
        "void tell(const Numbers& y, const Numbers& end, const Numbers (&k)[STAGES], const Numbers& tail, "
        "Numbers (&told)[STORED])"
    )
    return _function(head, lines)


def _back(form: StepForm) -> str:
    """The cotangent `bar` of the end of a step becomes that of its start.

    Source: W. W. Hager, "Runge-Kutta methods in optimal control and the transformed adjoint system", Numer. Math. 87, 2000,
    section 3: the discrete adjoint of a Runge-Kutta step, stage by stage, from the last to the first.
    """
    tableau, stages, told = form.tableau, form.stages, form.told()
    lines = ["  Numbers x[STAGES], k[STAGES], g[STAGES], m[STAGES], end, tail, part;", "  V s[STAGES][KEPT + 1];"]
    lines.append("  for (int i = 0; i < NUMBERS; ++i) x[0][i] = y[i];")
    for stage in range(stages):
        if stage:
            lines += _sum(f"x[{stage}]", "y", "k", nonzero_terms(tableau.a_floats[stage]))
        if stage == stages - 1 and "tail" not in told:
            lines.append("  if (KEPT)")  # nobody asks for its derivative
        lines.append(f"  forward(at.time({_number(tableau.c_floats[stage])}), x[{stage}], p, k[{stage}], s[{stage}]);")
    if "end" in told:
        lines.append(_each(f"bar[i] = bar[i] + told[{told.index('end')}][i];"))
    if "tail" in told:
        lines += _sum("end", "y", "k", nonzero_terms(tableau.b_floats))
        lines += ["  V after[KEPT + 1];", "  if (KEPT) forward(at.time(1.0), end, p, tail, after);"]
        lines.append(f"  pull(at.time(1.0), end, p, after, told[{told.index('tail')}], part, sums, products);")
        lines.append(_each("bar[i] = bar[i] + part[i];"))
    for stage in reversed(range(stages)):
        own = f"k[{stage}]"
        begin = f"told[{told.index(own)}][i]" if own in told else "V(T(0))"
        lines.append(_each(f"g[{stage}][i] = {begin};"))
        weight = tableau.b_floats[stage]
        if weight:
            lines += ["  {", f"    const V c = at.length({_number(weight)});"]
            lines += [f"  {_each(f'g[{stage}][i] = fmadd(bar[i], c, g[{stage}][i]);')}", "  }"]
        column = tuple((later, tableau.a_floats[later][stage]) for later in range(stage + 1, stages))
        lines += _sum(f"g[{stage}]", f"g[{stage}]", "m", tuple((n, a) for n, a in column if a))
        lines.append(
            f"  pull(at.time({_number(tableau.c_floats[stage])}), x[{stage}], p, s[{stage}], g[{stage}], m[{stage}], sums, products);"
        )
    for stage in range(stages):
        lines.append(_each(f"bar[i] = bar[i] + m[{stage}][i];"))
    if "y" in told:
        lines.append(_each(f"bar[i] = bar[i] + told[{told.index('y')}][i];"))
    head = (
        "void back(const Place& at, const Numbers& y, const Given& p, const Numbers (&told)[STORED], Numbers& bar, V* sums, "
        "Part* products)"
    )
    return _function(head, lines)


def _each(statement: str) -> str:
    return f"  for (int i = 0; i < NUMBERS; ++i) {statement}"


def _function(head: str, lines: Sequence[str]) -> str:
    return "\n".join([f"inline {head} {{", *lines, "}", ""])
