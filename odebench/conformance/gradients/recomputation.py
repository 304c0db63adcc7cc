"""Where the backward pass computes the field again: the same random masks, and statistics that are updated once."""

from __future__ import annotations

import functools

import torch
from torch import Tensor, nn

from odebench.conformance.failure import Failure
from odebench.conformance.gradients import companions
from odebench.conformance.gradients.companions import Companion
from odebench.conformance.gradients.problems import LayeredField, direction_of, loss_of, start
from odebench.conformance.gradients.trial import TIMES, relative
from odebench.contract import GradientMethod, GridRequest, StepSize, Tolerance
from odebench.errors import OdebenchError

_SEED = 31
_MOVED = 1e-5


def check_random_masks_are_repeated(method: GradientMethod) -> str:
    """A field with dropout gets the gradient of the masks of its forward pass, or is refused in words."""
    told = []
    for companion, request in _settings(method):
        try:
            got, expected, _ = _along_a_direction(method, companion, request, nn.Dropout(0.3))
        except OdebenchError as refusal:
            told.append(f"refused: {refusal}")
            continue
        for name in got:
            error = abs(got[name] - expected[name]) / abs(expected[name])
            if not error < 1e-5:
                raise Failure(
                    expected=f"the derivative in {name} of the solve with the masks that it drew, "
                    f"{expected[name]:.6g} by finite differences of the same masks; or a refusal",
                    measured=f"{got[name]:.6g}, {error:.1e} off",
                    cause="the backward pass draws masks of its own",
                    look="how the field is computed again: `odebench.numerics.recomputation.Recomputation` brings the generator's "
                    "state back; an adjoint equation can only refuse noise",
                )
        told.append("repeated")
    return "; ".join(dict.fromkeys(told))


def check_masks_of_rejected_steps_are_passed_over(method: GradientMethod) -> str:
    """Where attempts are rejected on the way, the masks of the accepted steps are those that are repeated."""
    solver = companions.PairOfThree()
    if method.supports(solver) is not None:
        return "does not take such a solver"
    request = Tolerance(rtol=1e-2, atol=1e-2, first_step=0.5)

    def differentiated(record: bool) -> tuple[Tensor, tuple[Tensor, ...], int]:
        inner, y0 = LayeredField(nn.Dropout(0.2)), start(8)

        def field(t: Tensor, y: Tensor) -> Tensor:
            """Sharp for a while, so that steps are rejected there."""
            return inner(t, y) * (1 + 30 * torch.exp(-(((t - 0.6) / 0.05) ** 2)))

        own = tuple(inner.parameters())
        torch.manual_seed(_SEED)
        solve = solver.solve if record else functools.partial(method.solve, solver)
        # No output inside a step: the derivative at its end would be handed on, or not, and others be drawn.
        solution = solve(field, y0, (TIMES[0], TIMES[-1]), request, own)
        return solution.ys.detach(), torch.autograd.grad(loss_of(solution.ys), (y0, *own)), solution.stats.rejected

    with torch.random.fork_rng(devices=[]):
        try:
            ys, got, _ = differentiated(record=False)
        except OdebenchError:
            return "noise is refused"
        expected_ys, expected, rejected = differentiated(record=True)
    if not torch.equal(ys, expected_ys):
        return "it draws in another order than the solver alone"
    error = max(map(relative, got, expected))
    if not error < 1e-11:
        raise Failure(
            expected=f"the gradient with the masks of the accepted steps, {rejected} attempts rejected between them",
            measured=f"a relative difference of {error:.1e}",
            cause="the generator goes on from the end of the step before, as though nothing had been rejected",
            look="where steps are computed again: the state of the generator before each step that rejected ones precede",
        )
    return f"{rejected} rejected, to {error:.1e}"


def check_generator_is_left_where_the_forward_pass_left_it(method: GradientMethod) -> None:
    """Going back draws no random numbers that the caller would miss."""
    for companion, request in _settings(method):
        field, y0 = LayeredField(nn.Dropout(0.3)), start(8)
        try:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(_SEED)
                loss = loss_of(method.solve(companion.solver, field, y0, TIMES, request).ys)
                before = torch.get_rng_state()
                torch.autograd.grad(loss, y0)
                after = torch.get_rng_state()
        except OdebenchError:  # noise is refused, which is another check's matter
            return
        if not torch.equal(before, after):
            raise Failure(
                expected="the generator's state after the backward pass as it was before it",
                measured="another state",
                cause="the state is set for computing again, and not set back",
                look="where the random state of the forward pass is restored",
            )


def check_batch_statistics_are_updated_once(method: GradientMethod) -> str:
    """Batch normalisation in the field counts each forward evaluation once, and its gradient is right."""
    told = ""
    for companion, request in _settings(method):
        field, y0 = LayeredField(nn.BatchNorm1d(8)), start(8)
        norm: nn.BatchNorm1d = field.between[0]
        solution = method.solve(companion.solver, field, y0, TIMES, request)
        counted = norm.num_batches_tracked.item()
        statistics = torch.cat((norm.running_mean, norm.running_var)).clone()
        forward = solution.stats.evaluations_forward
        loss_of(solution.ys).backward()
        after = norm.num_batches_tracked.item()
        moved = relative(torch.cat((norm.running_mean, norm.running_var)), statistics)
        told = f"{forward} evaluations forward, {after} updates"
        if (counted, after, moved) != (forward, forward, 0.0):
            raise Failure(
                expected=f"{forward} updates of the running statistics, one for each forward evaluation, before and after going back",
                measured=f"{counted} after the forward pass, {after} after the backward pass, which moved them by {moved:.1e}",
                cause="the field is computed again in training mode, and the buffers are not put back",
                look="how the field is computed again: `odebench.numerics.recomputation.Recomputation` keeps the buffers",
            )
    if method.exact_for_discretisation:
        companion, request = _settings(method)[0]
        got, expected, _ = _along_a_direction(method, companion, request, nn.BatchNorm1d(8))
        error = max(abs(got[name] - expected[name]) / abs(expected[name]) for name in got)
        if not error < 1e-5:
            raise Failure(
                expected="the derivative through batch normalisation as by finite differences",
                measured=f"{error:.1e} off",
                cause="the way back uses other statistics: those of evaluation mode, or updated ones",
                look="the training mode of the field's modules on the way back",
            )
    return told


def _settings(method: GradientMethod) -> list[tuple[Companion, GridRequest]]:
    """Fixed steps; and chosen ones, some of them rejected, whose masks have to be passed over."""
    chosen = Tolerance(rtol=1e-2, atol=1e-2, first_step=0.5)
    fixed = [(one, StepSize(steps=6)) for one in companions.fixed(method)[:1]]
    return fixed + [(one, chosen) for one in companions.adaptive(method)[:1]]


def _along_a_direction(
    method: GradientMethod, companion: Companion, request: GridRequest, layer: nn.Module
) -> tuple[dict[str, float], dict[str, float], Tensor]:
    """Derivatives along a direction: as the method says, and by differences of solves on the same grid from the same seed."""

    def solved(field: LayeredField, y0: Tensor, request: GridRequest) -> Tensor:
        torch.manual_seed(_SEED)
        return method.solve(companion.solver, field, y0, TIMES, request)

    with torch.random.fork_rng(devices=[]):
        field, y0 = LayeredField(layer), start(8)
        # Whether a field is random is learnt from its first solve; a second one draws as it will from now on.
        grid = solved(field, y0, request).grid
        request = request if grid is None else grid
        ys = solved(field, y0, request).ys
        names = {"y0": y0, "enter": field.enter, "leave": field.leave}
        gradients = torch.autograd.grad(loss_of(ys), tuple(names.values()))
        got = {
            name: (g * direction_of(tensor)).sum().item()
            for (name, tensor), g in zip(names.items(), gradients, strict=True)
        }
        expected = {}
        for name, tensor in names.items():
            values = []
            for sign in (1.0, -1.0):
                with torch.no_grad():
                    tensor.add_(sign * _MOVED * direction_of(tensor))
                values.append(loss_of(solved(field, y0, request).ys).item())
                with torch.no_grad():
                    tensor.sub_(sign * _MOVED * direction_of(tensor))
            expected[name] = (values[0] - values[1]) / (2 * _MOVED)
    return got, expected, ys
