"""The checks of a gradient method."""

from __future__ import annotations

from collections.abc import Callable

from odebench.contract import GradientMethod


def gradient_checks(gradient: GradientMethod) -> list[Callable[[GradientMethod], str | None]]:
    """The checks that apply to a gradient method, by what it declares."""
    return []
