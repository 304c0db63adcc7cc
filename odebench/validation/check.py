"""The check: a model's metric under its own solver, under finer steps of it and under others."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from odebench.api import Named, build, grid_request
from odebench.contract import Examples, GridRequest, Learning, Solver
from odebench.errors import DivergedError, GridError, IncompatibleError, OdebenchError
from odebench.validation.calls import OWN, Call, Scheme
from odebench.validation.data import examples_of
from odebench.validation.description import described, refuse_another
from odebench.validation.finite import refuse_not_finite
from odebench.validation.interception import routed
from odebench.validation.intervals import paired_change, samples_needed
from odebench.validation.metrics import Score, metric_of
from odebench.validation.options import Options, Tell
from odebench.validation.phase import crossings_of
from odebench.validation.reference import Reference, equal_within, reference_for
from odebench.validation.result import Tried, Validation, Verdict
from odebench.validation.solvers_to_test import schemes_for
from odebench.validation.subject import Evaluated, Exposed, Intercepted, Subject, exposes, moved
from odebench.validation.verdict import sentence_of, verdict_of


def validate(
    model: nn.Module | Learning,
    data: Any = None,
    *,
    solver: Named | Solver | None = None,
    steps: int | None = None,
    step_size: float | None = None,
    tolerance: float | None = None,
    grid: GridRequest | None = None,
    metric: str | Score | None = None,
    against: Sequence[Named | Solver] | None = None,
    finer: Sequence[int] = (2, 4),
    threshold: float = 0.02,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    batch_size: int = 512,
    error_rows: int = 256,
    check_forward: bool = True,
    tell: Tell | None = None,
) -> Validation:
    """Whether a trained model is a flow of its differential equation, or works with the solver it was trained with only.

    The model answers all of the data with its own solver, with finer steps of it, and with solvers of higher order at the same
    and at finer steps. It is *a flow* where under each of these whose measured error is that of its own solver or smaller the
    score changes by less than `threshold`, with the whole interval of the change; *tied to its solver* where one interval lies
    wholly outside; and *undecided* where neither is so. How several intervals are taken together is said at
    `odebench.validation.verdict.verdict_of`, the intervals themselves at `odebench.validation.intervals.paired_change`.

    Errors are measured, not assumed: relative l2 differences of the final states from a tight solve in float64, on `error_rows` of
    the rows, with the difference of a second tight solve as its uncertainty. Errors that differ by less than that are equal. Where
    no tight solve is possible, because the solution ends before the span does, all solvers count.

    The model is one of these:

    * a module that shows its field and its span: see `odebench.validation.OdeModel`. Its solver is given here, and its own outputs
      are compared with those of that solver;
    * a module that calls `torchdiffeq.odeint`, `torchdiffeq.odeint_adjoint`, `odebench.odeint` or `odebench.solve` in its forward,
      once or several times. Its solver is read from the calls; what is given here must be the same. In names of ours:
      torchdiffeq's "rk4" is "rk38";
    * the `Learning` of one of our own models.

    It is evaluated as it stands, in evaluation mode, without gradients, in its own dtype and on its own device.

    Args:
        model: see above.
        data: inputs and targets: a pair of tensors or arrays, a table with these keys, a `torch.utils.data.Dataset`, batches of
            pairs such as a DataLoader's, or `Examples`. Data that were not trained on. None takes the test data of a `Learning`.
        solver: the model's own: a name (`odebench list solvers`), a table, or an instance.
        steps, step_size, tolerance, grid: how it divides time: the number of steps over the span, the length of a step, the
            relative and absolute tolerance, or a request with more options.
        metric: "accuracy" (from logits and classes), "r2" (from values), or a function of outputs and targets that returns a
            score for each sample, higher is better. None takes accuracy where targets are whole numbers, else r2.
        against: solvers to try instead of those of higher order that are chosen by themselves.
        finer: into how many each step is divided besides; a tolerance is divided by ten for each doubling.
        threshold: the largest change that counts as none, in the metric's unit: 0.02 are 2 points of accuracy.
        level: of the intervals.
        resamples, seed: of the bootstrap; random numbers that the model itself draws are the same under all solvers.
        batch_size: rows that are solved together; an adaptive solver chooses its steps for them together.
        error_rows: on how many rows numerical errors are measured, chosen by the seed.
        check_forward: whether to compare the outputs of a model that shows its field with those of its solver.
        tell: is told in words what is being done.

    Raises:
        IncompatibleError: model, solver and data do not fit; no solve was seen; or the model's own solve is not what was said.
        GridError: steps, tolerances or a span that describe no solve.
        DivergedError: the model's own solve cannot go on, or its outputs are not finite.
    """
    options = Options(
        metric=metric, against=against, finer=tuple(finer), threshold=threshold, level=level, resamples=resamples, seed=seed,
        batch_size=batch_size, error_rows=error_rows, tell=tell or (lambda words: None),
    )  # fmt: skip
    divided = {"steps": steps, "step_size": step_size, "rtol": tolerance, "atol": tolerance, "grid": grid}
    chosen = solver if isinstance(solver, Solver) or solver is None else build("solver", solver)
    said = None if chosen is None else (chosen, grid_request(chosen, **divided))
    if chosen is None and any(value is not None for value in divided.values()):
        raise GridError("Steps or a tolerance are given, but no solver. Say whose they are.")
    if isinstance(model, Learning):
        data, options = model.test if data is None else data, options.of_learning(model)
    if data is None:
        raise IncompatibleError("No data are given. Give inputs and targets that the model was not trained on.")
    examples = examples_of(data)
    with routed(model if isinstance(model, nn.Module) else None):
        subject = _subject(model, said)
        with subject.at_rest():
            rows = moved(examples.inputs, subject.like())
            with _told_what_was_given(rows):
                if isinstance(subject, Exposed) and check_forward:
                    subject.check_forward(rows[: options.batch_size])
                return _Check(subject, replace(examples, inputs=rows), options, said).run(_name(model))


class _Check:
    """One validation, from the model's own answers to the verdict."""

    def __init__(
        self, subject: Subject, examples: Examples, options: Options, said: tuple[Solver, GridRequest] | None
    ) -> None:
        self.subject, self.examples, self.options, self.said = subject, examples, options, said
        self.metric = metric_of(options.metric, examples.targets)
        self.targets = examples.targets.to(examples.inputs.device)
        chosen = torch.randperm(len(examples), generator=torch.Generator().manual_seed(options.seed))
        self.rows = chosen[: options.error_rows].sort().values.to(examples.inputs.device)

    def run(self, name: str) -> Validation:
        """Everything, in order."""
        options = self.options
        options.tell("the model's own solver")
        own_outputs, calls, evaluations = self._answers(OWN)
        refuse_not_finite(own_outputs, self.examples.inputs, self.subject.modules)
        if isinstance(self.subject, Intercepted):
            refuse_another(self.said, calls[0])
        own_scores = self.metric.scores(own_outputs, self.targets)
        schemes = schemes_for(calls, options.against, options.finer)
        own_rows = self._on_rows(OWN)
        options.tell("a tight solve to measure errors against")
        reference = reference_for(self.subject, self.examples.inputs[self.rows], own_rows, options.seed)
        slack = equal_within(reference, own_rows.outputs.dtype)
        own = replace(
            described(OWN, calls),
            metric=own_scores.mean().item(),
            evaluations=evaluations,
            error=_error(reference, own_rows),
        )
        tried = []
        for scheme in schemes:
            options.tell(described(scheme, calls).label)
            tried.append(self._try(scheme, calls, own, own_outputs, own_scores, reference, slack))
        judged = [one for one in tried if one.judged]
        verdict, needed = verdict_of(judged, options.threshold)
        sentence = sentence_of(
            verdict, own, judged, self.metric.name, self.metric.percent, options.threshold, options.level, len(own_scores), needed
        )  # fmt: skip
        crossings, remark = crossings_of(self.subject, self.examples.inputs[self.rows], self.targets[self.rows])
        return Validation(
            verdict=verdict,
            sentence=sentence,
            model=name,
            metric=self.metric.name,
            percent=self.metric.percent,
            samples=len(own_scores),
            threshold=options.threshold,
            level=options.level,
            own=own,
            tried=tuple(tried),
            samples_needed=needed,
            error_rows=len(self.rows),
            reference=_words(reference),
            uncertainty=reference.uncertainty if isinstance(reference, Reference) else None,
            crossings=crossings,
            notes=tuple(self._notes(own, tried, calls, reference, verdict)) + ((remark,) if remark else ()),
        )

    def _answers(self, scheme: Scheme) -> tuple[Tensor, tuple[Call, ...], int]:
        """Outputs for all rows; the calls, and the evaluations, of the first batch."""
        torch.manual_seed(self.options.seed)
        outputs, calls, evaluations = [], (), 0
        for batch in self.examples.inputs.split(self.options.batch_size):
            evaluated = self.subject.evaluate(batch, scheme)
            if len(evaluated.outputs) != len(batch):
                raise IncompatibleError(
                    f"The model returns {tuple(evaluated.outputs.shape)} for {len(batch)} inputs; it must return a row for each."
                )
            if not outputs:
                calls, evaluations = evaluated.calls, sum(solved.evaluations for solved in evaluated.solved)
            outputs.append(evaluated.outputs)
        return torch.cat(outputs), calls, evaluations

    def _on_rows(self, scheme: Scheme) -> Evaluated:
        torch.manual_seed(self.options.seed)
        return self.subject.evaluate(self.examples.inputs[self.rows], scheme)

    def _try(
        self, scheme: Scheme, calls: Sequence[Call], own: Tried, own_outputs: Tensor, own_scores: Tensor,
        reference: Reference | str, slack: float,
    ) -> Tried:  # fmt: skip
        """The model under another solver."""
        options, one = self.options, described(scheme, calls)
        try:
            outputs, _, evaluations = self._answers(scheme)
            error = _error(reference, self._on_rows(scheme))
        except DivergedError as failure:
            return replace(one, failure=str(failure))
        scores = self.metric.scores(outputs, self.targets)
        before, after = own_scores.numpy(), scores.numpy()
        change = paired_change(before, after, level=options.level, resamples=options.resamples, seed=options.seed)
        judged = not isinstance(reference, Reference) or error <= own.error + slack
        place = (
            "inside"
            if change.inside(options.threshold)
            else "outside"
            if change.outside(options.threshold)
            else "across"
        )
        across = judged and place == "across"
        answers = self.metric.answers
        return replace(
            one,
            metric=scores.mean().item(),
            change=change.mean,
            low=change.low,
            high=change.high,
            changed_answers=None if answers is None else int((answers(outputs) != answers(own_outputs)).sum()),
            error=error,
            judged=judged,
            place=place if judged else None,
            samples_needed=samples_needed(before, after, options.threshold, level=options.level) if across else None,
            evaluations=evaluations,
        )

    def _notes(
        self, own: Tried, tried: Sequence[Tried], calls: Sequence[Call], reference: Reference | str, verdict: Verdict
    ) -> list[str]:
        notes = []
        if not isinstance(reference, Reference):
            notes.append(f"Errors could not be measured: {reference} All solvers that were tried are judged.")
        elif reference.uncertainty > own.error:
            notes.append(
                "The error of the model's own solver is below the uncertainty of the reference: it cannot be told from 0."
            )
        targets = self.targets
        if self.metric.name == "accuracy" and not targets.is_floating_point() and verdict is not Verdict.TIED:
            most = torch.unique(targets, return_counts=True)[1].max().item() / len(targets)
            if own.metric <= most + self.options.threshold:
                notes.append(
                    f"The model is hardly better than always answering the most frequent class, which is right for {most:.1%}: "
                    "that its answers do not change says little."
                )
        for said, name in dict.fromkeys((call.said, call.solver.name) for call in calls if call.said):
            notes.append(f"What the model's odeint calls {said!r} is {name!r} here.")
        if len(calls) > 1:
            notes.append(
                f"The model solves {len(calls)} times in a forward; each solve was replaced, and errors are those of the worst."
            )
        if failed := [one.label for one in tried if one.failure]:
            notes.append(f"Not judged, because the solve could not go on: {'; '.join(failed)}.")
        return notes


@contextlib.contextmanager
def _told_what_was_given(inputs: Tensor) -> Iterator[None]:
    """Add to whatever the model's own code raises the shape of the data, which is what it mostly is about."""
    try:
        yield
    except OdebenchError:
        raise
    except Exception as error:
        error.add_note(
            f"The data have inputs of the shape {tuple(inputs.shape)}, {str(inputs.dtype).removeprefix('torch.')}: the model was given rows "
            "of them. Is this what it was trained with?"
        )
        raise


def _subject(model: nn.Module | Learning, said: tuple[Solver, GridRequest] | None) -> Subject:
    if isinstance(model, Learning) or exposes(model):
        if said is None:
            raise IncompatibleError(
                "The model shows its field and its span, but not its solver. Say which it was trained with: solver and steps, "
                "step_size or tolerance (--solver, --steps, --step-size, --tolerance)."
            )
        return Exposed.of_learning(model, *said) if isinstance(model, Learning) else Exposed.of(model, *said)
    if not isinstance(model, nn.Module):
        raise IncompatibleError(f"The model is a {type(model).__name__}; it must be a torch.nn.Module.")
    return Intercepted(model=model)


def _error(reference: Reference | str, evaluated: Evaluated) -> float | None:
    return reference.error(evaluated) if isinstance(reference, Reference) else None


def _words(reference: Reference | str) -> str:
    if not isinstance(reference, Reference):
        return reference
    first, second = reference.solvers
    return (
        f"{first} at tolerance {reference.tolerance:g} in {reference.dtype}; {second} at the same tolerance differs by "
        f"{reference.uncertainty:.1e}"
    )


def _name(model: nn.Module | Learning) -> str:
    return type(model.field if isinstance(model, Learning) else model).__name__
