"""The checks of a model."""

from __future__ import annotations

from collections.abc import Callable

from odebench.contract import Model


def model_checks(model: Model) -> list[Callable[[Model], str | None]]:
    """The checks that apply to a model, by what it declares."""
    return []
