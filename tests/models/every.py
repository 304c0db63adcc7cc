"""The built-in models, as their hook offers them."""

from __future__ import annotations

from odebench import models
from odebench.contract import Model

MODELS: list[type[Model]] = []
models.odebench_register_models(MODELS.append)

BY_NAME = {model.name: model for model in MODELS}


def leaves_of(state) -> tuple:
    """The tensors of a state."""
    return state if isinstance(state, tuple) else (state,)
