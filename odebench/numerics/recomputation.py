"""Evaluating a field a second time exactly as the first: random numbers, autocast and buffers as they were then."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn


class Mark(NamedTuple):
    """A moment of a forward pass.

    Attributes:
        random: states of the generators of the CPU and of the accelerator, if one takes part.
        buffers: values of the buffers of modules in training mode (running statistics, power iterations).
    """

    random: tuple[Tensor, ...]
    buffers: tuple[Tensor, ...]

    def same_as(self, other: Mark) -> bool:
        """Whether nothing was drawn and no buffer changed between the two."""
        pairs = (*zip(self.random, other.random, strict=True), *zip(self.buffers, other.buffers, strict=True))
        return all(torch.equal(mine, theirs) for mine, theirs in pairs)


class Recomputation:
    """Remembers the circumstances of a forward pass, and brings them back.

    Made at the start of the forward pass. `mark()` notes a moment; inside `replay(mark)` the generators and buffers are as
    they were then, autocast as in the forward pass, and a graph is recorded; afterwards generators and buffers are as before,
    so that recomputing leaves no trace: batch statistics are not updated twice.

    Args:
        modules: the modules of the field.
        device: where the state lives.
    """

    def __init__(self, modules: Sequence[nn.Module], device: torch.device) -> None:
        self.device = device
        self._buffers = [b for module in modules if module.training for b in module.buffers(recurse=False)]
        kinds = {"cpu", device.type}
        self._autocast = {kind: (torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)) for kind in kinds}
        self._autocast_cache = torch.is_autocast_cache_enabled()

    def mark(self) -> Mark:
        """The present moment."""
        random = [torch.get_rng_state()]
        if self.device.type == "cuda":
            random.append(torch.cuda.get_rng_state(self.device))
        # `.data`: reading and writing buffers here is no part of any graph, and must not look like a change to autograd.
        return Mark(tuple(random), tuple(buffer.data.clone() for buffer in self._buffers))

    def replay(self, mark: Mark | None, *, taped: bool = True) -> AbstractContextManager[None]:
        """Compute in the circumstances of `mark`.

        Args:
            mark: a moment of the forward pass; None where the whole pass drew nothing and changed nothing, so that repeating
                it draws and changes nothing either.
            taped: whether a graph is recorded.
        """
        if mark is None and not self._autocast_takes_part():
            return torch.enable_grad() if taped else torch.no_grad()
        return self._replay(mark, taped)

    @contextmanager
    def _replay(self, mark: Mark | None, taped: bool) -> Iterator[None]:
        now = None if mark is None else self.mark()
        try:
            if mark is not None:
                self.restore(mark)
            with self._autocast_as_before(taped), torch.set_grad_enabled(taped):
                yield
        finally:
            if now is not None:
                self.restore(now)

    def restore(self, mark: Mark) -> None:
        """Set the generators and the buffers to what they were at `mark`."""
        torch.set_rng_state(mark.random[0])
        if len(mark.random) > 1:
            torch.cuda.set_rng_state(mark.random[1], self.device)
        for buffer, value in zip(self._buffers, mark.buffers, strict=True):
            buffer.data.copy_(value)

    def _autocast_takes_part(self) -> bool:
        return any(enabled or torch.is_autocast_enabled(kind) for kind, (enabled, _) in self._autocast.items())

    def _autocast_as_before(self, taped: bool) -> ExitStack:
        # A parameter that is converted without a graph must not be handed on to where there is one.
        cached = self._autocast_cache and taped
        stack = ExitStack()
        for kind, (enabled, dtype) in self._autocast.items():
            if enabled or torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=enabled, dtype=dtype, cache_enabled=cached))
        return stack
