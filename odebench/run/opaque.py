"""The field as plugins see it: something that can be called, tells its parameters and the buffers that a call may change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor, nn

from odebench.contract import Field, NetworkOfBlocks, Solve


def opaque(module: nn.Module, call: Callable[[Tensor, Any], Any] | None = None) -> Callable[[Tensor, Any], Any]:
    """A field that calls `module`, without an attribute that leads to it.

    Args:
        module: the field itself.
        call: what is called in its place, such as one that counts; None calls the module. What the module offers as
            `prepared_for_solve` is offered on where there is None, and where it has a method `around(function)`, which
            does to a function what it does to the module. A `jax_field` is offered on as it is, or as `call` has it.
    """
    inner = module if call is None else call
    parameters = tuple(module.parameters())
    shells = _shells(module)

    class OpaqueField:
        """dy/dt = f(t, y)."""

        __slots__ = ("__weakref__",)

        def __call__(self, t: Tensor, y: Any) -> Any:
            return inner(t, y)

        def parameters(self) -> Iterator[Tensor]:
            """The tensors that gradients must reach, frozen ones too."""
            return iter(parameters)

        def modules(self) -> Iterator[nn.Module]:
            """Empty modules that hold the field's buffers: a method that evaluates twice must put them back."""
            return iter(shells)

    if getattr(module, "accepts_batched_time", False):
        OpaqueField.accepts_batched_time = True
    offer = getattr(module, "prepared_for_solve", None)
    around = getattr(call, "around", None)
    if callable(offer) and (call is None or around is not None):

        def prepared_for_solve(self: OpaqueField) -> Callable[[Tensor, Any], Any]:
            """The field for the length of one solve."""
            return offer() if around is None else around(offer())

        OpaqueField.prepared_for_solve = prepared_for_solve
    twin = getattr(call, "jax_field", None) or getattr(module, "jax_field", None)
    if twin is not None:
        OpaqueField.jax_field = staticmethod(twin)
    return OpaqueField()


def opaque_network(network: nn.Module, wrap: Callable[[nn.Module], Field]) -> NetworkOfBlocks:
    """A network whose blocks hand `wrap(field)` to `solve` in the place of their fields, each wrapped once."""
    # The modules are kept beside what stands for them, so that no other can have the identity of one.
    wrapped: dict[int, tuple[nn.Module, Field]] = {}

    def handed(field: nn.Module) -> Field:
        if id(field) not in wrapped:
            wrapped[id(field)] = (field, wrap(field))
        return wrapped[id(field)][1]

    class OpaqueNetwork:
        """Outputs of inputs."""

        __slots__ = ("__weakref__",)

        def __call__(self, inputs: Tensor, solve: Solve) -> Tensor:
            return network(inputs, lambda field, z: solve(handed(field), z))

    return OpaqueNetwork()


def _shells(module: nn.Module) -> tuple[nn.Module, ...]:
    """For each part of `module` that has buffers, a module with the same buffers and training mode, and nothing to call."""
    shells = []
    for part in module.modules():
        if part._buffers:
            shell = nn.Module()
            shell._buffers = part._buffers
            shell.training = part.training
            shells.append(shell)
    return tuple(shells)
