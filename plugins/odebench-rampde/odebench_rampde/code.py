"""Which code this adapts."""

from __future__ import annotations

from odebench.research_code import ResearchCode

RAMPDE = ResearchCode(
    name="rampde",
    home="https://github.com/EmoryMLIP/rampde",
    variable="ODEBENCH_RAMPDE_SOURCE",
    package="rampde",
    modules=("__init__.py", "fixed_grid_base.py", "increment.py", "loss_scalers.py", "odeint.py"),
    functions=("odeint", "Euler", "RK4", "DynamicScaler"),
    commit="baecec70b8f5e46f1d3486580b47edc56fa6e8f7",
    digest="df56809429dc3985210139bd3cb80da6335dc039b129817a715ab6e03175f531",
)
SOURCE = "rampde: arXiv:2510.23498; https://github.com/EmoryMLIP/rampde at baecec7 (0.1.0.post1)"
