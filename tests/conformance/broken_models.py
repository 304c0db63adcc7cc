"""A model as a stranger writes it, and that model broken in one place, once for each check."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn.functional import mse_loss

import odebench
from odebench.conformance.models import fields, references, seeds, solutions, training


class Turning(nn.Module):
    """A rotation that slows down: y' = exp(-t) rate J y."""

    accepts_batched_time = True

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = nn.Parameter(torch.tensor(rate, dtype=torch.float64))

    def forward(self, t, y):
        turned = torch.stack((-y[..., 1], y[..., 0]), -1)
        return self.rate * torch.exp(-torch.as_tensor(t, dtype=y.dtype)) * turned


def turned(problem, t):
    """The closed form of `Turning`."""
    angle = problem.field.rate * (1.0 - math.exp(-t))
    x, y = problem.y0.unbind(-1)
    return torch.stack((angle.cos() * x - angle.sin() * y, angle.sin() * x + angle.cos() * y), -1)


class Stranger(odebench.Model):
    """Draws its rows from the seed, knows its solution, and can be trained to say where a point came from."""

    name = "stranger/turning"
    field = Turning
    exact = staticmethod(turned)
    ts = (0.0, 0.5, 1.5)
    loss_ts = None
    chance = None

    def generator(self, seed):
        return torch.Generator().manual_seed(seed)

    def rows(self, generator):
        return torch.randn(6, 2, generator=generator, dtype=torch.float64)

    def loss(self, ys):
        return ys[-1].square().mean() + ys[-1][:, 0].mean()

    def score(self, outputs, targets):
        return -(outputs - targets).square().sum(1)

    def problem(self, seed):
        rows = self.rows(self.generator(seed))
        exact = type(self).exact
        return odebench.Problem(
            field=self.field(1.3), y0=rows, ts=self.ts, loss=self.loss, loss_ts=self.loss_ts, exact=exact
        )

    def learning(self, seed):
        generator = self.generator(seed)
        inputs, targets = (torch.randn(10, n, generator=generator) for n in (2, 1))
        readout = nn.Linear(2, 1, device="meta").to_empty(device="cpu")
        with torch.no_grad():
            for tensor in readout.parameters():
                tensor.copy_(torch.randn(tensor.shape, generator=generator))
        train, test = (odebench.Examples(inputs=inputs[s], targets=targets[s]) for s in (slice(6), slice(6, 10)))
        guess = -(targets[:6].mean(0) - targets[6:]).square().sum(1).mean().item()
        return odebench.Learning(
            field=self.field(1.3).float(),
            readout=readout,
            ts=(0.0, 1.0),
            train=train,
            test=test,
            loss=mse_loss,
            score=self.score,
            metric="negative squared error",
            chance=guess if self.chance is None else self.chance,
        )


class _Changed(Turning):
    """The stranger's field with its result changed."""

    def forward(self, t, y):
        return self.changed(super().forward(t, y), t, y)


def field(changed, **parts):
    """A field whose result is passed through `changed(result, t, y)`."""
    return type("Field", (_Changed,), {"changed": staticmethod(changed), **parts})


def broken(check, **parts):
    """The stranger's model with some of its parts replaced, and the check that must see it."""
    return type("Broken", (Stranger,), parts)(), check


def _in_place(slope, t, y):
    y.mul_(1.0000001)
    return slope


def _row_of_first_time(slope, t, y):
    return slope if t.dim() == 0 else slope / torch.exp(-t) * torch.exp(-t[:1])


def _stiff(slope, t, y):
    return slope - 1e6 * (y - y.detach().sign())


def _sets_dtype(self, seed):
    torch.rand(1)
    return torch.Generator().manual_seed(seed)


no_closed_form = {"exact": None}
BROKEN = [
    broken(seeds.check_seed_gives_the_same_problem, rows=lambda self, g: torch.randn(6, 2, dtype=torch.float64)),
    broken(seeds.check_other_seeds_give_other_problems, generator=lambda self, seed: torch.Generator().manual_seed(0)),
    broken(seeds.check_building_leaves_global_state_alone, generator=_sets_dtype),
    broken(fields.check_gradients_are_finite, loss=lambda self, ys: (ys[-1] - ys[-1]).norm()),
    broken(fields.check_gradients_are_finite, loss=lambda self, ys: ys[-1].square().mean(1)),
    broken(fields.check_gradients_are_finite, field=field(lambda f, t, y: f.detach() * y)),
    broken(
        fields.check_field_keeps_shape_and_dtype, field=field(lambda f, t, y: f * torch.ones(1, dtype=torch.float64))
    ),
    broken(fields.check_field_keeps_shape_and_dtype, field=field(lambda f, t, y: f + ((y + 1e6) - 1e6))),
    broken(fields.check_field_is_a_function, field=field(lambda f, t, y: f + 1e-9 * torch.rand(1).double())),
    broken(fields.check_field_is_a_function, field=field(_in_place)),
    broken(fields.check_rows_are_apart, field=field(lambda f, t, y: f + 1e-9 * y.mean())),
    broken(fields.check_rows_are_apart, field=field(_row_of_first_time)),
    broken(fields.check_gradients_agree_with_differences, field=field(lambda f, t, y: f + y.detach())),
    broken(
        fields.check_gradients_agree_with_differences, field=field(lambda f, t, y: f.detach() + 0 * f + y - y.detach())
    ),
    broken(solutions.check_span_and_scale_are_sane, ts=(0.0, 1.0, 0.5)),
    broken(solutions.check_span_and_scale_are_sane, loss_ts=(0.0, 20.0)),
    broken(solutions.check_span_and_scale_are_sane, ts=(0.0, 1e-9), exact=None),
    broken(
        solutions.check_span_and_scale_are_sane, field=field(lambda f, t, y: f + 40.0 * y), ts=(0.0, 1.0), exact=None
    ),
    broken(
        solutions.check_closed_form_starts_at_the_initial_state,
        exact=staticmethod(lambda problem, t: turned(problem, t + 0.1)),
    ),
    broken(
        solutions.check_closed_form_satisfies_the_equation,
        exact=staticmethod(lambda problem, t: turned(problem, 1.00001 * t)),
    ),
    broken(
        solutions.check_closed_form_agrees_with_another_solver,
        exact=staticmethod(lambda problem, t: turned(problem, t) * (1.0 + 1e-6 * t)),
    ),
    broken(
        references.check_reference_has_the_digits_it_claims,
        exact=staticmethod(lambda problem, t: turned(problem, t) * (1.0 + 1e-10 * t)),
    ),
    broken(
        references.check_reference_has_the_digits_it_claims,
        exact=staticmethod(lambda problem, t: turned(problem, t) + 1e-5 * t * torch.sin(1e16 * problem.y0)),
    ),
    broken(solutions.check_a_solution_can_be_known, field=field(_stiff), **no_closed_form),
    broken(
        solutions.check_a_solution_can_be_known, field=field(lambda f, t, y: f + 3.0 * y.square() * y), **no_closed_form
    ),
    broken(
        training.check_learning_fits_together, score=lambda self, outputs, targets: (outputs - targets).square().mean()
    ),
    broken(training.check_chance, chance=-0.5),
    broken(training.check_learning_seeds, generator=lambda self, seed: torch.Generator().manual_seed(0)),
    broken(training.check_learning_seeds, generator=lambda self, seed: None),
]
