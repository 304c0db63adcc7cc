"""A field as another library gets it, for adapters whose library computes gradients in its own way."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from odebench.contract import Field, State, Stats, modules_of, parameters_of
from odebench.errors import IncompatibleError
from odebench.numerics.packing import Packing
from odebench.numerics.reach import refuse_hidden_dependence, refuse_undeclared
from odebench.numerics.timed_field import time_dtype


class LentField(nn.Module):
    """`field` on packed states, counted; its parameters are the tensors that the library's own backward gives gradients to.

    The library may call it with any shape that holds the state, and with a time that is a number or a tensor of one element.

    Where gradients are the library's work (`declared` is not None), two things are made sure of that libraries pass over in
    silence: a tensor that would lose its gradient is refused by name, in the first evaluation, and a field that draws random
    numbers is refused once the forward solve is over, because a backward would draw others. Buffers, such as running
    statistics, are left by the evaluations of the backward as they were.

    Args:
        field: the vector field.
        y0: a state, a tensor or a tuple of tensors.
        declared: tensors that get gradients, as `wanted_tensors` finds them; None where autograd finds all by itself.
        method: the name of the gradient method, for messages.

    Attributes:
        stats: evaluations before `end_forward()`, and after it.
        packing: how a state is packed.
        shape: of the packed state.
    """

    def __init__(self, field: Field, y0: State, *, declared: Sequence[Tensor] | None = None, method: str = "") -> None:
        super().__init__()
        self.packing = Packing(y0)
        first = y0[0] if isinstance(y0, tuple) else y0
        self.shape = first.shape if not self.packing.is_tuple else torch.Size([sum(self.packing.sizes)])
        self.stats = Stats()
        self.device, self.time_dtype = first.device, time_dtype(first.dtype)
        self.forward_is_over = False
        self._method = method
        # In a tuple, so that a field which is a module becomes no part of this one.
        self._lent = (field, self.packing.field(field))
        self._unchecked: tuple[Tensor, ...] | None = None
        self._random: list[Tensor] | None = None
        self._buffers_of_field: list[Tensor] = []
        if declared is not None:
            for number, tensor in enumerate(declared):
                self._parameters[f"declared_{number}"] = tensor  # an input need not be a Parameter
            self._unchecked = tuple(declared)
            self._random = self._random_state()
            self._buffers_of_field = [
                buffer for module in modules_of(field) if module.training for buffer in module.buffers(recurse=False)
            ]

    def forward(self, t: Tensor | float, y: Tensor) -> Tensor:
        """The derivative of a packed state, in the shape in which it came."""
        if not isinstance(t, Tensor):
            t = torch.scalar_tensor(t, dtype=self.time_dtype, device=self.device)
        elif t.dtype != self.time_dtype or t.dim():
            t = t.to(self.time_dtype).reshape(())
        return self.evaluate(t, y if y.shape == self.shape else y.reshape(self.shape)).reshape(y.shape)

    def evaluate(self, t: Tensor, y: Tensor) -> Tensor:
        """One evaluation, counted, at a time and a state as the field takes them."""
        if self.forward_is_over:
            self.stats.evaluations_backward += 1
            kept = [(buffer, buffer.data.clone()) for buffer in self._buffers_of_field]
            derivative = self._lent[1](t, y)
            for buffer, value in kept:
                # What nobody wrote to is left alone: under vmap it must be. Values are compared, because batch normalisation
                # writes to its statistics without counting up their versions.
                if not torch.equal(buffer, value):
                    buffer.data.copy_(value)
            return derivative
        self.stats.evaluations_forward += 1
        if self._unchecked is None:
            return self._lent[1](t, y)
        return self._checked_evaluation(t, y)

    def end_forward(self) -> None:
        """What is evaluated from now on belongs to the backward.

        Raises:
            IncompatibleError: the field drew random numbers, and a backward would draw others.
        """
        self.forward_is_over = True
        before, self._random = self._random, None
        if before is not None and not all(map(torch.equal, before, self._random_state())):
            raise IncompatibleError(
                f"The field draws random numbers, and gradient method {self._method!r} would meet other ones on the way back. "
                "Put dropout outside the field, set the field to eval(), or use a method that repeats the forward steps."
            )

    def _checked_evaluation(self, t: Tensor, y: Tensor) -> Tensor:
        """The first evaluation, whose graph shows each tensor that the field uses."""
        declared, self._unchecked = self._unchecked, None
        recorded = torch.is_grad_enabled()
        with torch.enable_grad():
            derivative = self._lent[1](t, y)
        refuse_undeclared(self._lent[0], (derivative,), (), (*declared, y, t), self._method)
        return derivative if recorded else derivative.detach()

    def _random_state(self) -> list[Tensor]:
        states = [torch.get_rng_state()]
        if self.device.type == "cuda":
            states.append(torch.cuda.get_rng_state(self.device))
        return states


def wanted_tensors(field: Field, inputs: Sequence[Tensor], method: str) -> tuple[Tensor, ...]:
    """The field's parameters and the inputs that require a gradient, each once.

    Raises:
        IncompatibleError: one of them was computed from another, whose gradient would be counted twice.
    """
    wanted = {id(tensor): tensor for tensor in (*parameters_of(field), *inputs) if tensor.requires_grad}
    refuse_hidden_dependence(tuple(wanted.values()), field, method)
    return tuple(wanted.values())
