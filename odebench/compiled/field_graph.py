"""A field as one graph of tensor operations, with every tensor that it uses as an input."""

from __future__ import annotations

import contextlib
import copy
import re
import warnings
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from odebench.compiled.fresh import fresh, numbers_are_constant
from odebench.compiled.quick import differentiable_tanh, rewritten, tanh
from odebench.compiled.watch import Watch
from odebench.contract import Field
from odebench.errors import CompileError, FieldError
from odebench.numerics.timed_field import check_derivative

MOST_GRAPHS = 16
"""A field whose graph has to be made more often than this is not compiled: something in it changes with every solve."""

MOST_FIELDS = 256
"""So many different fields are remembered; the one that was used longest ago goes first."""


class FieldGraph:
    """The operations of a field, as `graph(t, leaves, tensors)`.

    Attributes:
        uses_time: whether the field depends on the time; known when its tensors have been found.
        programs: what was compiled from it, by what it was compiled for.
        settings: what solves with it have in common, by solver and state.
        translate: what makes a program of a function of tensors; None takes the compiler.
    """

    def __init__(self, module: torch.fx.GraphModule | None) -> None:
        self.module = module
        self.uses_time = True
        self.programs: dict[Any, Callable[..., Any]] = {}
        self.settings: dict[Any, Any] = {}
        self.translate: Callable[[Callable[..., Any]], Callable[..., Any]] | None = None
        self._sizes = {} if module is None else _sizes(module)
        self._forms = {"plain": module}
        if module is not None:
            self._forms["quick"] = rewritten(module, tanh)
            self._forms["differentiable"] = rewritten(module, differentiable_tanh)
        self._places: tuple[tuple[str, Any], ...] | None = None

    def translated_by(self, translate: Callable[[Callable[..., Any]], Callable[..., Any]]) -> FieldGraph:
        """The same operations, with programs of their own that `translate` makes."""
        other = copy.copy(self)
        other.programs, other.settings, other.translate = {}, {}, translate
        return other

    @property
    def is_new(self) -> bool:
        """Whether its arguments have not been placed yet."""
        return self._places is None

    def forget(self) -> None:
        """Be new again, so that what was wrong is said again."""
        self._places = None

    def tensors_of(self, arguments: Sequence[Any], t: Tensor, leaves: Sequence[Tensor]) -> tuple[Any, ...]:
        """What among the graph's arguments is neither the time, nor the state, nor the size of a tensor."""
        if self._places is None:
            self._places = tuple(self._place(n, argument, t, leaves) for n, argument in enumerate(arguments))
            self.uses_time = ("time", 0) in self._places
        return tuple(a for a, place in zip(arguments, self._places, strict=True) if place[0] == "tensor")

    def __call__(
        self, t: Tensor, leaves: Sequence[Tensor], tensors: Sequence[Any], form: str = "plain"
    ) -> tuple[Tensor, ...]:
        """The derivatives of the state's tensors; in a program, `form` is "quick", or "differentiable" where it is pulled back."""
        others = iter(tensors)
        arguments: list[Any] = []
        for kind, index in self._places:
            if kind == "time":
                arguments.append(t)
            elif kind == "state":
                arguments.append(leaves[index])
            else:
                arguments.append(next(others) if kind == "tensor" else None)
        for position, (kind, place) in enumerate(self._places):
            if kind == "size":
                arguments[position] = arguments[place[0]].shape[place[1]]
        return self._forms[form](*arguments)

    def _place(self, position: int, argument: Any, t: Tensor, leaves: Sequence[Tensor]) -> tuple[str, Any]:
        if position in self._sizes:
            return "size", self._sizes[position]
        if argument is t:
            return "time", 0
        return next((("state", index) for index, leaf in enumerate(leaves) if argument is leaf), ("tensor", 0))


def _sizes(module: torch.fx.GraphModule) -> dict[int, tuple[int, int]]:
    """Which arguments of a graph are sizes: of which other argument, and in which dimension."""
    values = [node.meta.get("example_value") for node in module.graph.find_nodes(op="placeholder")]
    tensors = [(position, value) for position, value in enumerate(values) if isinstance(value, Tensor)]
    found = {}
    for position, value in enumerate(values):
        if isinstance(value, torch.SymInt):
            for other, tensor in tensors:
                for dimension, size in enumerate(tensor.shape):
                    if isinstance(size, torch.SymInt) and size.node.expr == value.node.expr:
                        found[position] = (other, dimension)
    return found


class _Capture:
    """Makes graphs of fields of one kind, and finds the one that fits each call.

    The guards of TorchDynamo are checked at each call: a field that changed since (a number that it holds, its training mode,
    the dtype of a parameter) gets a new graph.
    """

    def __init__(self) -> None:
        self._found: tuple[FieldGraph, tuple[Any, ...]] | None = None
        self._making, self._made_one = False, False
        self._call = torch.compile(
            fresh(_called), fullgraph=True, backend=self._receive, recompile_limit=MOST_GRAPHS, isolate_recompiles=True
        )

    def __call__(self, field: Field, t: Tensor, leaves: tuple[Tensor, ...], is_tuple: bool) -> tuple[FieldGraph, tuple]:
        self._found = None
        if not (self._made_one and self._finds(field, t, leaves, is_tuple)):
            self._make(field, t, leaves, is_tuple)
        if self._found is None:
            raise CompileError("The field computes nothing from its arguments that a graph could hold.")
        graph, arguments = self._found
        self._found = None
        return graph, arguments

    def _finds(self, *arguments: Any) -> bool:
        """Look for a graph that fits, without what making one takes; most calls of small solves end here."""
        try:
            with torch.no_grad():
                self._call(*arguments)
        except Exception:  # noqa: BLE001 - there is none, and whatever else is wrong is said when one is made
            return False
        return True

    def _make(self, field: Field, t: Tensor, leaves: tuple[Tensor, ...], is_tuple: bool) -> None:
        for tensor in (*leaves, t):
            if tensor.dim() and tensor.shape[0] > 1:
                torch._dynamo.maybe_mark_dynamic(tensor, 0)
        self._making = True
        try:
            with torch.no_grad(), numbers_are_constant(), warnings.catch_warnings(), Watch():
                warnings.simplefilter("ignore")  # TorchDynamo looks at attributes that nobody asked for, and is warned
                self._call(field, t, leaves, is_tuple)
        finally:
            self._making = False
        self._made_one = True

    def _receive(self, module: torch.fx.GraphModule, examples: list[Any]) -> Callable[..., tuple[Any, ...]]:
        if not self._making:
            raise CompileError("There is no graph that fits.")
        _refuse_numbers(module)
        _write_out_transposes(module)
        _refuse_effects(module)
        graph = FieldGraph(module)
        outputs = len(next(iter(module.graph.find_nodes(op="output"))).args[0])

        def receive(*arguments: Any) -> tuple[Any, ...]:
            self._found = (graph, arguments)
            # What is returned goes nowhere; it only has to be as many tensors as the graph gives.
            return tuple(next(a for a in arguments if isinstance(a, Tensor)) for _ in range(outputs))

        return receive


def _called(field: Field, t: Tensor, leaves: tuple[Tensor, ...], is_tuple: bool) -> tuple[Tensor, ...]:
    derivative = field(t, leaves if is_tuple else leaves[0])
    return tuple(derivative) if is_tuple else (derivative,)


def capture(
    field: Field, t: Tensor, leaves: tuple[Tensor, ...], is_tuple: bool
) -> tuple[FieldGraph, tuple[Tensor, ...]]:
    """The graph of `field`, and the tensors that it uses besides its arguments: parameters, buffers, what it closes over.

    Raises:
        CompileError: the field is not one graph, is random, or changes what it holds.
    """
    import torch._dynamo

    try:
        graph, arguments = _capture_of(field)(field, t, leaves, is_tuple)
    except CompileError:
        raise
    except torch._dynamo.exc.FailOnRecompileLimitHit as cause:
        raise CompileError(
            f"The field needs more than {MOST_GRAPHS} graphs: something that it holds, and that is no tensor, changes with every "
            "solve. Make it a tensor."
        ) from cause
    except Exception as cause:
        inner = getattr(cause, "inner_exception", cause)
        raise (
            inner if isinstance(inner, CompileError) else CompileError(f"The field is not one graph: {told(inner)}")
        ) from cause
    is_new = graph.is_new
    tensors = graph.tensors_of(arguments, t, leaves)
    if is_new:
        _check_derivatives(graph, t, leaves, tensors)
    return graph, tensors


def _check_derivatives(graph: FieldGraph, t: Tensor, leaves: Sequence[Tensor], tensors: Sequence[Any]) -> None:
    """Evaluate a new graph once: what a program would broadcast in silence is refused."""
    with torch.no_grad():
        derivatives = graph(t, leaves, tensors)
    if len(derivatives) != len(leaves):
        graph.forget()
        raise FieldError(
            f"The field gives {len(derivatives)} tensor(s) for a state of {len(leaves)}. Return the derivative of each."
        )
    try:
        for derivative, leaf in zip(derivatives, leaves, strict=True):
            check_derivative(derivative, leaf)
    except FieldError:
        graph.forget()
        raise


_captures: OrderedDict[Any, _Capture] = OrderedDict()
_structures: WeakKeyDictionary[torch.nn.Module, tuple[Any, ...]] = WeakKeyDictionary()


def _capture_of(field: Field) -> _Capture:
    """What makes the graphs of fields whose code is the same: they often differ in the tensors alone."""
    owner = getattr(field, "__self__", field)
    key = (getattr(field, "__code__", None) or type(owner), getattr(field, "__func__", None), _structure(owner))
    if key not in _captures:
        _captures[key] = _Capture()
        if len(_captures) > MOST_FIELDS:
            _captures.popitem(last=False)
    _captures.move_to_end(key)
    return _captures[key]


def _structure(owner: Any) -> Any:
    """What keeps fields of one class apart that are built differently: they would use up each other's graphs."""
    if not isinstance(owner, torch.nn.Module):
        return None
    try:
        # As it was when the field was first seen: what changes in it later gets a new graph, as any other change does.
        return _structures[owner]
    except (KeyError, TypeError):  # or it has an equality of its own, and no hash
        written = tuple((name, type(module)) for name, module in owner.named_modules())
    with contextlib.suppress(TypeError):
        _structures[owner] = written
    return written


def _write_out_transposes(module: torch.fx.GraphModule) -> None:
    """Make operations of the attributes that are views, such as `weight.T`.

    An attribute of what a loop only reads is taken before the loop, and may then not enter it beside the tensor itself.
    """
    for node in module.graph.find_nodes(op="call_function", target=getattr):
        tensor, name = node.args
        value = tensor.meta.get("example_value")
        if not isinstance(value, Tensor) or name not in ("T", "mT"):
            continue
        dimensions = list(range(value.dim()))
        dimensions = dimensions[::-1] if name == "T" else [*dimensions[:-2], *dimensions[:-3:-1]]
        with module.graph.inserting_before(node):
            written = module.graph.call_function(torch.permute, (tensor, dimensions))
        written.meta = dict(node.meta)
        node.replace_all_uses_with(written)
        module.graph.erase_node(node)
    module.recompile()


class _Operations(TorchDispatchMode):
    """Which operations draw random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.random: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if torch.Tag.nondeterministic_seeded in function.tags:
            self.random.append(str(function.overloadpacket))
        return function(*args, **(kwargs or {}))


def _refuse_numbers(module: torch.fx.GraphModule) -> None:
    """Raise where the field makes a Python number of a tensor: compiled, it would be rounded to another precision than in eager."""
    for node in module.graph.find_nodes(op="call_method", target="item"):
        raise CompileError(
            f"The field makes a number of a tensor, which depends on its data: {told(RuntimeError(node.stack_trace or ''))} "
            "Compute with the tensor instead, or solve without compile."
        )


def _refuse_effects(module: torch.fx.GraphModule) -> None:
    """Raise where the graph is random, or writes into what it is given."""
    from torch._subclasses.fake_tensor import FakeTensor

    nodes = module.graph.find_nodes(op="placeholder")
    values = [node.meta.get("example_value") for node in nodes]
    versions = [value._version if isinstance(value, Tensor) else 0 for value in values]
    # The mode of the values themselves, for what the field makes on its own.
    fake = next((value.fake_mode for value in values if isinstance(value, FakeTensor)), nullcontext())
    with torch.no_grad(), fake, _Operations() as operations:
        module(*values)
    if operations.random:
        raise CompileError(
            f"The field draws random numbers ({operations.random[0]}), and a compiled solve cannot draw the same ones again. Put "
            "it into evaluation mode, or solve without compile."
        )
    for node, value, version in zip(nodes, values, versions, strict=True):
        if isinstance(value, Tensor) and value._version != version:
            raise CompileError(
                f"The field writes into {_plain(node.name)}, as normalisation does in training mode. Put it into evaluation mode, "
                "let it compute a new tensor, or solve without compile."
            )


def _plain(name: str) -> str:
    """A name as it stands in the field, from that of a graph's input."""
    name = re.sub(r"^[Ll]_|_$", "", name)
    if name.startswith("arguments_2"):  # those of `_called`: the field, the time, the state
        return "the state that it is given"
    return repr(name.replace("_modules_", ".").replace("_parameters_", ".").replace("_buffers_", "."))


def told(cause: BaseException) -> str:
    """The reason in one sentence, with the line of the user's code."""
    text = str(cause)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    reason = next(
        (line for line in lines if line.startswith("Explanation:")), lines[0] if lines else type(cause).__name__
    )
    reason = reason.removeprefix("Explanation:").strip()
    places = re.findall(r'File "([^"]+)", line (\d+), in (\S+)\n\s*(.+)', text)
    if places:
        file, line, function, code = places[-1]
        return f"{reason} At {file}, line {line}, in {function}: {code.strip()}"
    return reason
