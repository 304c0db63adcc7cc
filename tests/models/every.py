"""The built-in models, as their hook offers them."""

from __future__ import annotations

from odebench import models
from odebench.contract import Model

REGISTERED: list[type[Model]] = []
models.odebench_register_models(REGISTERED.append)

BY_NAME = {model.name: model for model in REGISTERED}
#: Those with one vector field, and networks of several.
MODELS = [model for model in REGISTERED if not model.has_blocks]
NETWORKS_OF_BLOCKS = [model for model in REGISTERED if model.has_blocks]


def leaves_of(state) -> tuple:
    """The tensors of a state."""
    return state if isinstance(state, tuple) else (state,)
