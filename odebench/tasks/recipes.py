"""Published trainings by name: values that take the place of a training's defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from odebench.tasks.optimisation import TrainingError

RECIPES: dict[str, dict[str, Any]] = {
    "none": {},
    # A. Gholami, K. Keutzer, G. Biros, IJCAI 2019, arXiv:1902.10298; as in https://github.com/amirgholami/anode, which divides the
    # learning rate by ten after epochs 150 and 250 of 350.
    "anode": {
        "epochs": 350,
        "optimizer": "sgd",
        "learning_rate": 0.1,
        "momentum": 0.9,
        "weight_decay": 5e-4,
        "schedule": "steps",
        "milestones": "150/350, 250/350",
        "batch": 256,
        "augment": "crop-flip",
        "evaluate_every": 1,
    },
}
"""What `recipe` may be."""


def resolved(given: Mapping[str, Any]) -> dict[str, Any]:
    """What follows from the parameters that a suite gives: the recipe's values where it says nothing else, and one way of counting.

    Raises:
        TrainingError: epochs and iterations are given both, or there is no such recipe.
    """
    recipe = given.get("recipe", "none")
    if recipe not in RECIPES:
        raise TrainingError(f"`recipe` is {recipe!r}; it must be one of {', '.join(map(repr, RECIPES))}.")
    if given.get("epochs") and given.get("iterations"):
        raise TrainingError(
            f"`epochs` is {given['epochs']!r} and `iterations` is {given['iterations']!r}. Give one of them."
        )
    found = RECIPES[recipe] | {key: value for key, value in given.items() if key != "recipe"}
    if given.get("iterations"):
        found["epochs"] = 0
    elif found.get("epochs"):
        found["iterations"] = 0
    return {key: value for key, value in found.items() if key not in given}
