"""The built-in step policies, one rule a file, offered through the same hooks as anyone's."""

from __future__ import annotations

from collections.abc import Callable

from odebench.hookspecs import hookimpl
from odebench.policies.fixed import Fixed
from odebench.policies.step_adaptation import StepAdaptation
from odebench.policies.tolerance_adaptation import ToleranceAdaptation


@hookimpl
def odebench_register_step_policies(register: Callable[[object], None]) -> None:
    """Offer every built-in step policy."""
    register(Fixed)
    register(StepAdaptation)
    register(ToleranceAdaptation)
