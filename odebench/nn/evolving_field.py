"""A vector field whose weights depend on the time: the coupled neural ODE."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn
from torch.func import functional_call

from odebench.errors import FieldError, IncompatibleError
from odebench.nn.coupled_field import CoupledField
from odebench.nn.evolution import Evolution, Weights
from odebench.nn.kernel import Kernel

_EXACT = torch.finfo(torch.float64).eps


class EvolvingField(nn.Module):
    """f(z, θ(t)), with θ(t) = ∫₀ᵗ K(t - τ) w(τ) dτ and dw/dt = q(w; p): `module`, some of whose parameters evolve.

    The weights do not see the activations z, so the coupled system is a vector field like any other: solved by any solver, on any
    grid, and differentiated by any gradient method, in one `odebench.solve` or inside a block. Its trained unknowns are the
    module's own parameters, those that evolve being w(0), and the coefficients p of the evolution. An evaluation computes its weights
    from w(0), with a graph of its own, so that a gradient method that repeats single steps is exact too; a whole solve computes
    them once.

    *Configuration 1*: z and θ are stepped together. An Euler step of z uses θ at its start. *Configuration 2*: θ evolves over the
    whole span first, and z then takes its steps, often a single one, with the final θ; `freeze` gives that as a plain module.

    Weights at t are reached in `weight_steps` steps of equal length over the span, as many as t is away from its start, and one
    shorter one to a time between them. Where the evolution is a flow and K = δ that number does not matter; None takes one step,
    whose length may be a tensor, so that an accelerator never waits for the time. With a number the time is read by the host, and an
    evaluation that is repeated alone costs as many steps of the weights as come before it.

    Args:
        module: called as `module(t, z)`, or as `module(z)`: a layer, or several.
        evolution: the operator.
        evolving: patterns of parameter names such as "*.weight"; None takes all parameters with at least two axes, which are
            matrices and kernels.
        kernel: K; None is δ, and θ = w.
        configuration: 1 or 2.
        weight_steps: steps of the weights over the span; None for as few as possible.
        span: from where to where the weights evolve.
        takes_time: whether the module is called with t; None asks the signature of its `forward`.

    Attributes:
        names: the parameters that evolve.

    Source: T. Zhang et al., "ANODEV2: a coupled neural ODE framework", NeurIPS 2019, arXiv:1906.04596.
    """

    # A time for each row is taken apart: every row has weights of its own then.
    accepts_batched_time = True

    def __init__(
        self,
        module: nn.Module,
        evolution: Evolution,
        *,
        evolving: Sequence[str] | None = None,
        kernel: Kernel | None = None,
        configuration: int = 1,
        weight_steps: int | None = None,
        span: tuple[float, float] = (0.0, 1.0),
        takes_time: bool | None = None,
    ) -> None:
        super().__init__()
        if configuration not in (1, 2):
            raise IncompatibleError(f"`configuration` is {configuration!r}; it must be 1 or 2.")
        if weight_steps is not None and (not isinstance(weight_steps, int) or weight_steps < 1):
            raise IncompatibleError(
                f"`weight_steps` is {weight_steps!r}; it must be a whole number of at least 1, or None."
            )
        if weight_steps is None and not (evolution.is_flow and kernel is None):
            raise IncompatibleError(
                "`weight_steps` is None, and the weights depend on the number of steps: the evolution is no flow, or a kernel "
                "looks at their past. Give a number."
            )
        if not span[1] > span[0]:
            raise IncompatibleError(f"`span` is {span!r}; the weights must evolve forward over some time.")
        self.names = _chosen(module, evolving)
        self.module, self.evolution, self.kernel = module, evolution, kernel
        self.configuration, self.weight_steps, self.span = configuration, weight_steps, span
        self.takes_time = _takes_time(module) if takes_time is None else takes_time
        evolution.attach(dict(zip(self.names, self.initial_weights, strict=True)))

    @property
    def initial_weights(self) -> Weights:
        """w(0): the module's own parameters."""
        parameters = dict(self.module.named_parameters())
        return tuple(parameters[name] for name in self.names)

    @property
    def other_parameters(self) -> tuple[Tensor, ...]:
        """The module's parameters that do not evolve."""
        return tuple(p for name, p in self.module.named_parameters() if name not in self.names)

    def forward(self, t: Tensor, z: Tensor) -> Tensor:
        """dz/dt = f(z, θ(t)).

        Raises:
            FieldError: t lies before the span, where there are no weights.
        """
        return self._value(t, z, self.theta)

    def prepared_for_solve(self) -> Callable[[Tensor, Tensor], Tensor]:
        """The field with what can be known of its weights before a solve: in configuration 2 all, else those after each step."""
        if self.configuration == 2:
            theta = self.final_theta()
            return lambda t, z: self.applied(t, z, theta)
        if self.weight_steps is None:
            return self
        known = self.history(self.span[1], _EXACT)
        return lambda t, z: self._value(
            t, z, lambda s: self._combined(*self.history(_as_float(s), _precision(s), known))
        )

    def _value(self, t: Tensor, z: Tensor, theta: Callable[[Tensor], Weights]) -> Tensor:
        if isinstance(t, Tensor) and t.dim() and self.configuration == 1:
            pairs = zip(t.reshape(-1).unbind(), z.unbind(), strict=True)
            rows = [self.applied(s, y.unsqueeze(0), theta(s)) for s, y in pairs]
            return torch.cat(rows) if rows else torch.zeros_like(z)
        return self.applied(t, z, theta(t))

    def applied(self, t: Tensor | float, z: Tensor, theta: Weights) -> Tensor:
        """f(z, θ) with any θ."""
        arguments = (t, z) if self.takes_time else (z,)
        return functional_call(self.module, dict(zip(self.names, theta, strict=True)), arguments)

    def theta(self, t: Tensor | float) -> Weights:
        """θ(t); in configuration 2 that of the end of the span, whatever t is."""
        if self.configuration == 2:
            return self.final_theta()
        if self.weight_steps is None:
            return self.evolution.step(self.initial_weights, t - self.span[0])
        return self._combined(*self.history(_as_float(t), _precision(t)))

    def final_theta(self) -> Weights:
        """θ at the end of the span."""
        start, end = self.span
        if self.weight_steps is None:
            return self.evolution.step(self.initial_weights, end - start)
        return self._combined(*self.history(end, _EXACT))

    def _combined(self, times: list[float], history: list[Weights]) -> Weights:
        return history[-1] if self.kernel is None else self.kernel.applied(times, history)

    def history(
        self, t: float, precision: float, known: tuple[list[float], list[Weights]] | None = None
    ) -> tuple[list[float], list[Weights]]:
        """The times from the start of the span to t at which the weights are computed, and w there.

        Args:
            t: not before the start of the span.
            precision: relative, of the dtype in which t came; so close to a step's end it is that.
            known: what an earlier call gave: what it holds is not computed again.
        """
        start, end = self.span
        length = (end - start) / self.weight_steps
        count = (t - start) / length
        slack = 8.0 * precision * (1.0 + max(abs(t), abs(start)) / length)
        whole = round(count) if abs(count - round(count)) <= slack else int(count // 1)
        if whole < 0:
            raise FieldError(
                f"The weights begin at t = {start!r}, and the field is asked at t = {t!r}. Let `span` begin there."
            )
        begun = ([start], [self.initial_weights]) if known is None else known
        times, history = (list(part[: whole + 1]) for part in begun)
        for n in range(len(times), whole + 1):
            times.append(start + n * length)
            history.append(self.evolution.step(history[-1], length))
        if count - whole > slack:
            history.append(self.evolution.step(history[-1], t - times[-1]))
            times.append(t)
        return times, history

    def coupled(self) -> CoupledField:
        """The field of (z, *w): activations and weights stepped by one solver, K = δ.

        Start it from `(z0, *field.initial_weights)`. It needs no `weight_steps`, and takes any grid, but it evaluates q, so the
        weights have the solver's error too.

        Raises:
            IncompatibleError: configuration 2, or a kernel.
        """
        if self.configuration == 2 or self.kernel is not None:
            raise IncompatibleError("Only configuration 1 without a kernel is an equation of activations and weights.")
        return CoupledField(self)

    def freeze(self) -> nn.Module:
        """A copy of the module whose weights are the final θ: as large and as fast as the module itself.

        Raises:
            IncompatibleError: configuration 1, whose weights differ from time to time.
        """
        # Imported here: it looks for fields of this class.
        from odebench.nn.frozen import frozen_module

        return frozen_module(self)

    def extra_repr(self) -> str:
        """What a printed network shows of it."""
        kernel = "" if self.kernel is None else ", kernel"
        return (
            f"configuration={self.configuration}, weight_steps={self.weight_steps}{kernel}, evolving={list(self.names)}"
        )


def _chosen(module: nn.Module, patterns: Sequence[str] | None) -> tuple[str, ...]:
    parameters = dict(module.named_parameters())
    if isinstance(patterns, str):
        patterns = (patterns,)
    if patterns is None:
        names = tuple(name for name, p in parameters.items() if p.dim() >= 2)
    else:
        for pattern in patterns:
            if not any(fnmatchcase(name, pattern) for name in parameters):
                raise IncompatibleError(
                    f"`evolving`: {pattern!r} is the name of no parameter of the module. It has: {', '.join(parameters) or 'none'}."
                )
        names = tuple(name for name in parameters if any(fnmatchcase(name, pattern) for pattern in patterns))
    if not names:
        raise IncompatibleError(
            f"No parameter of the module would evolve. It has: {', '.join(parameters) or 'none'}. Name some in `evolving`."
        )
    return names


def _takes_time(module: nn.Module) -> bool:
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    required = [
        p
        for p in inspect.signature(module.forward).parameters.values()
        if p.kind in kinds and p.default is inspect.Parameter.empty
    ]
    if len(required) not in (1, 2):
        raise IncompatibleError(
            f"{type(module).__name__}.forward takes {len(required)} arguments; a field takes (t, z), a layer (z). "
            "Say `takes_time`, or wrap it."
        )
    return len(required) == 2


def _as_float(t: Tensor | float) -> float:
    return t.item() if isinstance(t, Tensor) else float(t)


def _precision(t: Tensor | float) -> float:
    return torch.finfo(t.dtype if isinstance(t, Tensor) and t.is_floating_point() else torch.float64).eps
