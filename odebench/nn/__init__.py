"""Building blocks for networks: blocks that are neural ODEs, and weights that evolve.

The public names are loaded when they are first used.
"""

from __future__ import annotations

import importlib
from typing import Any

_WHERE = {
    "CoupledField": "odebench.nn.coupled_field",
    "Evolution": "odebench.nn.evolution",
    "EvolvingField": "odebench.nn.evolving_field",
    "Kernel": "odebench.nn.kernel",
    "NoEvolution": "odebench.nn.no_evolution",
    "ODEBlock": "odebench.nn.block",
    "RateEvolution": "odebench.nn.rate_evolution",
    "ReactionDiffusionAdvection": "odebench.nn.reaction_diffusion_advection",
    "Residual": "odebench.nn.frozen",
    "freeze": "odebench.nn.frozen",
}

__all__ = sorted(_WHERE)


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'odebench.nn' has no attribute {name!r}")
    return getattr(importlib.import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return __all__
