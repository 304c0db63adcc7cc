"""Training a neural ODE through a solver, with a step policy that watches it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from odebench.contract import Findings, Setting, Study, Workplace
from odebench.errors import IncompatibleError
from odebench.tasks.augmentation import AUGMENTATIONS
from odebench.tasks.optimisation import OPTIMISERS, SCHEDULES, TrainingError, falling
from odebench.tasks.recipes import RECIPES, resolved
from odebench.tasks.training_loop import TrainingLoop


class Train(Study):
    """Train the model through the cell's solver, and answer the whole training and test sets with the final weights.

    In each iteration: a batch, the solve with the gradient method on the policy's grid, loss, backward pass, the step policy, and
    the optimiser's step. Weights, data and the order of the batches follow from the seed. Batches are drawn without replacement
    and of equal size: what is left over at the end of an epoch is dropped, as the paper's code does for its images. Evaluations
    count every example once.

    A loss that is not finite ends the training as diverged. An interrupted one goes on from its last checkpoint, and ends with the
    same weights, bit for bit where the arithmetic is deterministic (a CPU, one thread).

    The defaults are those of the paper for concentric spheres.

    Args:
        iterations: optimiser steps; 0 where `epochs` says how many.
        epochs: passes over the training data, in place of `iterations`; 0 where those count.
        recipe: "none", or "anode", whose values take the place of the defaults, and which every other key overrides: 350 epochs of
            SGD with momentum 0.9, weight decay 5e-4, batches of 256, images shifted and mirrored, and a learning rate of 0.1 that is
            divided by ten after 150 and 250 epochs. The values are resolved when a suite is planned.
        optimizer: "adam", "adamw" or "sgd".
        learning_rate: of the first iteration.
        weight_decay: handed on to the optimiser.
        momentum: of "sgd".
        schedule: "constant", "cosine", which falls from the learning rate to 0 over all iterations, or "steps".
        milestones: of "steps": fractions of the training, from each of which on the learning rate is a tenth of what it was.
        batch: examples in an iteration.
        augment: "none", or "crop-flip" for images: shifted by up to four pixels and mirrored, anew in every iteration.
        evaluate_every: so many epochs lie between evaluations of the whole test data, which are columns of the series; 0 for none.

    Source: K. Ott, P. Katiyar, P. Hennig, M. Tiemann, "ResNet after all? Neural ODEs and their numerical solution", ICLR 2021,
    arXiv:2007.15386, section 4 and Algorithm 2. The recipe "anode": A. Gholami, K. Keutzer, G. Biros, IJCAI 2019, arXiv:1902.10298.
    """

    name = "train"
    needs_gradient = True
    learns = True
    takes_networks = True
    default_policy = "fixed"
    #: Seconds between two checkpoints: no parameter, since it changes no answer.
    checkpoint_every_s: ClassVar[float] = 20.0

    def __init__(
        self,
        *,
        iterations: int = 10_000,
        optimizer: str = "adam",
        learning_rate: float = 1e-4,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        schedule: str = "constant",
        milestones: str = "150/350, 250/350",
        batch: int = 128,
        epochs: int = 0,
        augment: str = "none",
        evaluate_every: int = 0,
        recipe: str = "none",
    ) -> None:
        _check_choice("optimizer", optimizer, OPTIMISERS)
        _check_choice("schedule", schedule, SCHEDULES)
        _check_choice("augment", augment, AUGMENTATIONS)
        _check_choice("recipe", recipe, RECIPES)
        falling(milestones)
        _check_count("epochs", epochs, 0)
        _check_count("evaluate_every", evaluate_every, 0)
        _check_count("iterations", iterations, 0 if epochs else 1)
        _check_count("batch", batch)
        for name, value in (("learning_rate", learning_rate), ("weight_decay", weight_decay), ("momentum", momentum)):
            if not (math.isfinite(value) and value >= 0):
                raise TrainingError(f"`{name}` is {value!r}; it must be finite and at least 0.")
        if momentum and optimizer != "sgd":
            raise TrainingError(f"`momentum` is {momentum!r}, and {optimizer!r} has none. Use 'sgd', or leave it out.")
        self.iterations, self.batch = iterations, batch
        self.optimizer, self.learning_rate, self.weight_decay = optimizer, learning_rate, weight_decay
        self.momentum, self.schedule, self.milestones = momentum, schedule, milestones
        self.epochs, self.augment, self.evaluate_every, self.recipe = epochs, augment, evaluate_every, recipe

    @classmethod
    def presets(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        """As `Task.presets` says: the recipe's values, and no iterations where epochs are counted."""
        return resolved(given)

    def run(self, setting: Setting, workplace: Workplace) -> Findings:
        """Train, or go on training, and evaluate."""
        learning = workplace.learning
        if learning is None or workplace.policy is None or setting.gradient is None:
            raise IncompatibleError("A training needs a model with data, a gradient method and a step policy.")
        if isinstance(setting.problem.y0, tuple) or learning.train.inputs.is_complex():
            raise IncompatibleError("A training needs a state that is one real tensor.")
        loop = TrainingLoop(self, setting, workplace, learning)
        diverged = loop.run()
        return loop.findings(diverged)


def _check_choice(name: str, value: Any, known: Iterable[str]) -> None:
    if value not in known:
        raise TrainingError(f"`{name}` is {value!r}; it must be one of {', '.join(map(repr, known))}.")


def _check_count(name: str, value: Any, least: int = 1) -> None:
    if not isinstance(value, int) or value < least:
        raise TrainingError(f"`{name}` is {value!r}; it must be a whole number of at least {least}.")
