"""Live bytes of tensors, to the byte: follows storages from the operation that makes them to their end."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

#: Operations that hand out a tensor made past the dispatcher, as `torch.tensor(…)` does: it is new, though it comes in.
_BIRTHS = {torch.ops.aten.lift_fresh.default, torch.ops.aten.lift.default}


class StorageTracker(TorchDispatchMode):
    """While active, counts the bytes of each storage that an operation makes or meets, until it is freed.

    What is met and was not made under the tracker counts too: tensors that are made past the dispatcher (a generator's state, an array
    of numpy), and what a plugin keeps from earlier. Operators' own workspaces are not seen, nor what other threads do.

    Args:
        existing: tensors that do not count, but for what they grow by: inputs and parameters.

    Attributes:
        live_bytes: of all counted storages that are alive.
        peak_bytes: the most that was alive at once.
    """

    def __init__(self, existing: Iterable[Tensor] = ()) -> None:
        super().__init__()
        self.live_bytes = 0
        self.peak_bytes = 0
        self._counted: dict[int, int] = {}
        self._before = {tensor.untyped_storage()._cdata: tensor.untyped_storage().nbytes() for tensor in existing}
        self._references: dict[int, weakref.ref[Any]] = {}
        self._met: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given: list[Tensor] = []
        _gather(args, given)
        if kwargs:
            _gather(kwargs.values(), given)
        for tensor in given:
            self._see(tensor, made=func in _BIRTHS)
        result = func(*args, **kwargs) if kwargs else func(*args)
        if isinstance(result, Tensor):
            self._see(result, made=True)
        elif result is not None:
            made: list[Tensor] = []
            _gather(result if isinstance(result, list | tuple) else (result,), made)
            for tensor in made:
                self._see(tensor, made=True)
        if "resize" in func.name():
            for tensor in given:
                self._see(tensor, made=False)
        return result

    def bytes_of(self, tensors: Iterable[Tensor]) -> int:
        """Counted bytes that these tensors keep alive, each storage once."""
        return sum(self._counted.get(key, 0) for key in {tensor.untyped_storage()._cdata for tensor in tensors})

    def left_bytes(self, tensors: Iterable[Tensor]) -> int:
        """Live bytes that were made under the tracker and that `tensors` do not keep alive: what was only met is no leak."""
        kept = {tensor.untyped_storage()._cdata for tensor in tensors} | self._met
        return sum(size for key, size in self._counted.items() if key not in kept)

    def _see(self, tensor: Tensor, *, made: bool) -> None:
        while torch._C._functorch.is_functorch_wrapped_tensor(
            tensor
        ):  # under vmap and vjp what holds the bytes lies inside
            tensor = torch._C._functorch.get_unwrapped(tensor)
        if tensor.layout is not torch.strided:
            return
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key not in self._references:
            # Torch keeps the Python object of a storage as long as the storage itself, so this tells its end.
            self._references[key] = weakref.ref(storage, lambda _, key=key: self._end(key))
            self._counted[key] = 0
            if not made:
                self._met.add(key)
        counted = storage.nbytes() - self._before.get(key, 0)
        if counted != self._counted[key]:
            self.live_bytes += counted - self._counted[key]
            self._counted[key] = counted
            self.peak_bytes = max(self.peak_bytes, self.live_bytes)

    def _end(self, key: int) -> None:
        self.live_bytes -= self._counted.pop(key)
        self._before.pop(key, None)
        self._met.discard(key)
        del self._references[key]


def _gather(values: Iterable[Any], found: list[Tensor]) -> None:
    """Append the tensors among `values` and in lists among them: operators take no deeper trees."""
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, list | tuple):
            _gather(value, found)
