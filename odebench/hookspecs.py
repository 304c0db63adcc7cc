"""Every extension point of odebench, and nothing else."""

from __future__ import annotations

from collections.abc import Callable

import pluggy

hookspec = pluggy.HookspecMarker("odebench")
hookimpl = pluggy.HookimplMarker("odebench")


@hookspec
def odebench_register_solvers(register: Callable[[object], None]) -> None:
    """Offer solvers: call `register(MySolver)` once for each.

    A class is built with the parameters of a suite's table; an instance is offered as it is.
    """


@hookspec
def odebench_register_gradients(register: Callable[[object], None]) -> None:
    """Offer gradient methods: call `register(MyGradientMethod)` once for each."""


@hookspec
def odebench_register_models(register: Callable[[object], None]) -> None:
    """Offer models: call `register(MyModel)` once for each."""


@hookspec
def odebench_register_tasks(register: Callable[[object], None]) -> None:
    """Offer tasks: call `register(MyTask)` once for each."""


@hookspec
def odebench_register_step_policies(register: Callable[[object], None]) -> None:
    """Offer step policies: call `register(MyStepPolicy)` once for each."""
