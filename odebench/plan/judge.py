"""Why a combination is not run: what a plugin, the machine, the experiment or an earlier cell says against it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from odebench.errors import kind_in_words
from odebench.outcome import Outcome
from odebench.plan.registry import Place
from odebench.plan.resolve import Resolved

#: Why a cell is not run: its outcome and a sentence; None where it is.
Verdict = tuple[Outcome, str] | None


class Judge:
    """Settles combinations. A plugin's fault comes first, then plugins that live in different interpreters, then what a solver needs
    and this machine lacks, then a training that is not to be had, then what the machine or the experiment lacks, then what the plugins say to each other.

    Args:
        device_reason: None where this machine has a device ("cuda:0"), else the reason why it cannot be used.
    """

    def __init__(self, device_reason: Callable[[str], str | None]) -> None:
        self._device_reason = device_reason
        self._devices: dict[str, str | None] = {}
        self._pairs: dict[tuple[int, int], Verdict] = {}

    def __call__(
        self,
        *,
        used: Sequence[Resolved],
        solver: Resolved,
        partners: Sequence[tuple[str, Resolved]],
        device: str,
        missing: str | None,
        training: Verdict = None,
        learner: Resolved | None = None,
        asked: tuple[Resolved, Resolved] | None = None,
        compiled: bool | str = False,
    ) -> Verdict:
        """What is against a combination.

        Args:
            used: all plugins that take part.
            solver: the one among them.
            partners: those that may refuse the solver, each after its word: "gradient", "step policy".
            device: where it would run.
            missing: why it has no grid, if it has none.
            training: the verdict on the training that it needs.
            learner: the model, where the task trains it.
            asked: the task, and the model that it asks, its own or that of the training.
            compiled: True where solves must run in the compiled engine; "auto" is never refused.
        """
        for one in used:
            if one.failure is not None:
                return Outcome.ERROR, one.failure
        if reason := _apart([*used, *(asked or ())]) or _unavailable(solver.instance):
            return Outcome.UNSUPPORTED, reason
        if training is not None:
            outcome, reason = training
            return Outcome.BLOCKED, f"The training that it needs is settled as {outcome.word}: {reason}"
        if device not in self._devices:
            self._devices[device] = self._device_reason(device)
        if reason := self._devices[device] or missing:
            return Outcome.UNSUPPORTED, reason
        if learner is not None and not attribute(learner.instance, "can_learn", True):
            return (
                Outcome.UNSUPPORTED,
                f"The model {learner.choice.name!r} has no data to learn from, so it cannot be trained.",
            )
        if asked is not None and _wants_one_field(*asked):
            task, model = asked
            return (
                Outcome.UNSUPPORTED,
                f"The model {model.choice.name!r} is a network of several ODE blocks, and the task {task.choice.name!r} needs a model "
                "with one vector field.",
            )
        if reason := _of_another_world(solver, partners, asked):
            return Outcome.UNSUPPORTED, reason
        if compiled is True and (reason := _not_compiled(solver, partners, asked)):
            return Outcome.UNSUPPORTED, reason
        verdicts = (self._pair(word, partner, solver) for word, partner in partners)
        return next((verdict for verdict in verdicts if verdict is not None), None)

    def _pair(self, word: str, partner: Resolved, solver: Resolved) -> Verdict:
        key = (id(partner), id(solver))
        if key not in self._pairs:
            self._pairs[key] = _supports(word, partner, solver)
        return self._pairs[key]


def _apart(used: Sequence[Resolved]) -> str | None:
    """Why plugins cannot come together; None where one interpreter has them all."""
    lives = [(one, place) for one in used for place in sorted(one.places, key=str)]
    first = lives[0][1] if lives else None
    other = next((found for found in lives if found[1] != first), None)
    if other is None:
        return None
    (one, there), (two, elsewhere) = lives[0], other
    if one is two:
        said = f"The {kind_in_words(one.kind)} {one.choice.name!r} takes plugins of {there} and of {elsewhere}"
    else:
        said = (
            f"The {kind_in_words(one.kind)} {one.choice.name!r} lives in {there}, and the {kind_in_words(two.kind)} "
            f"{two.choice.name!r} in {elsewhere}"
        )
    return f"{said}: a cell is measured in one interpreter. Install both plugins in one environment, or drop the combination."


def _supports(word: str, partner: Resolved, solver: Resolved) -> Verdict:
    name = partner.choice.name
    try:
        place = next(iter(partner.places | solver.places), None)
        reason = _at(place, partner).supports(_at(place, solver))
    except Exception as error:  # noqa: BLE001 - a plugin's code: whatever it raises costs its own cells only
        return (
            Outcome.ERROR,
            f"The {word} {name!r} could not say whether it supports {solver.choice.name!r}: {error!r}",
        )
    if reason is None:
        return None
    if not isinstance(reason, str):
        return Outcome.ERROR, (
            f"`supports` of the {word} {name!r} returned {reason!r}. It must return None, or the reason as a string."
        )
    return Outcome.UNSUPPORTED, reason


def _at(place: Place | None, one: Resolved) -> Any:
    """What was built, or its counterpart in the interpreter where the other one lives: plugins look at each other closely."""
    if place is None:
        return one.instance
    return place.instance_of(one.kind, one.choice.name, one.choice.parameters, one.instance)


def _of_another_world(
    solver: Resolved, partners: Sequence[tuple[str, Resolved]], asked: tuple[Resolved, Resolved] | None
) -> str | None:
    """Why a solver that takes fields in JAX cannot be asked this; None where it can."""
    if getattr(solver.instance, "fields_in", "torch") != "jax":
        return None
    name = solver.choice.name
    if asked is not None:
        task, model = asked
        if attribute(task.instance, "learns", False) or attribute(task.instance, "needs_training", False):
            return f"The solver {name!r} takes fields in JAX, and the task {task.choice.name!r} trains fields of torch."
        if not attribute(model.instance, "has_jax_field", False):
            return f"The solver {name!r} takes fields in JAX, and the model {model.choice.name!r} has no `jax_field`."
    for word, partner in partners:
        if getattr(partner.instance, "fields_in", "torch") != "jax":
            return (
                f"The solver {name!r} compiles a field in JAX, and the {word} {partner.choice.name!r} works on fields of torch. Use one of the "
                "solver's own library."
            )
    return None


def _not_compiled(
    solver: Resolved, partners: Sequence[tuple[str, Resolved]], asked: tuple[Resolved, Resolved] | None
) -> str | None:
    """Why the compiled engine cannot be used, as far as that is known before anything runs; None where nothing is known."""
    if asked is not None:
        task = asked[0]
        if attribute(task.instance, "learns", False) or attribute(task.instance, "needs_training", False):
            return (
                f"The task {task.choice.name!r} trains or asks what was trained, and that is not compiled. Leave `compile` out, or "
                'say "auto".'
            )
    if not attribute(solver.instance, "has_compiled_form", False):
        return (
            f"The solver {solver.choice.name!r} has no compiled form: it is no explicit Runge-Kutta method that is given by its "
            "tableau. `odebench list solvers` tells which have one."
        )
    for word, partner in partners:
        if word == "gradient" and not attribute(partner.instance, "compiled_memory", False):
            return f"The gradient method {partner.choice.name!r} has no compiled form. `odebench list gradients` tells which have one."
    return None


def _wants_one_field(task: Resolved, model: Resolved) -> bool:
    return attribute(model.instance, "has_blocks", False) and not attribute(task.instance, "takes_networks", False)


def _unavailable(solver: Any) -> str | None:
    """Why a solver cannot be used on this machine; what is no reason in words, or cannot be asked, is none."""
    try:
        reason = getattr(solver, "unavailable", None)
    except Exception:  # noqa: BLE001 - a plugin's property may raise anything
        return None
    return reason if isinstance(reason, str) else None


def attribute(instance: Any, name: str, default: bool) -> bool:
    """A plugin's declared attribute; one that raises counts as not declared, and conformance says so."""
    try:
        return bool(getattr(instance, name, default))
    except Exception:  # noqa: BLE001 - a plugin's property may raise anything
        return default
