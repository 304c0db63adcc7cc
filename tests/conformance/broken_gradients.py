"""A gradient method as a stranger writes it, and that method broken in one place, once for each check."""

from __future__ import annotations

from contextlib import contextmanager

import torch
from torch.autograd.function import once_differentiable

import odebench
from odebench.conformance.gradients import (
    autocast,
    claims,
    exactness,
    memory,
    outputs,
    parameters,
    recomputation,
    repetition,
)
from odebench.contract import ProgramMemory, modules_of, parameters_of
from odebench.numerics.outputs import checked_times
from odebench.numerics.reach import refuse_undeclared
from odebench.numerics.recomputation import Recomputation


class Stranger(odebench.GradientMethod):
    """Solves again in the backward pass, and differentiates that."""

    name = "stranger/again"
    exact_for_discretisation = True
    memory = "O(N s)"

    def solve(self, solver, field, y0, ts, grid, inputs=()):
        if not torch.is_grad_enabled():
            return solver.solve(field, y0, ts, grid, inputs)
        leaves = y0 if isinstance(y0, tuple) else (y0,)
        others = self.tensors(field, inputs)
        call = {"solver": solver, "field": field, "ts": checked_times(ts), "grid": grid, "tuple": isinstance(y0, tuple)}
        call |= {"leaves": len(leaves), "method": self, "stats": odebench.Stats()}
        ys = _Again.apply(call, *leaves, *others)
        return odebench.Solution(ys=ys if call["tuple"] else ys[0], grid=call["accepted"], stats=call["stats"])

    def tensors(self, field, inputs):
        """Parameters and inputs that gradients are for."""
        own = {id(tensor): tensor for tensor in (*parameters_of(field), *inputs) if tensor.requires_grad}
        return tuple(own.values())

    def going_out(self, ys, call):
        """Outputs on their way to the caller."""
        return ys

    def coming_in(self, cotangents, call):
        """Gradients of the outputs on their way in."""
        return cotangents

    def leaving(self, gradients, call):
        """Gradients of the state, and of the parameters and inputs, on their way out."""
        return gradients

    def again(self, call, mark):
        """The circumstances of the second solve."""
        return call["circumstances"].replay(mark)

    def search(self, call, ys, own, others):
        """Refuse what nobody declared."""
        refuse_undeclared(call["field"], ys, own, others, self.name)

    def count(self, call, evaluations):
        """Evaluations of the second solve."""
        call["stats"].evaluations_backward += evaluations


class _Again(torch.autograd.Function):
    @staticmethod
    def forward(ctx, call, *tensors):
        call["circumstances"] = Recomputation(modules_of(call["field"]), tensors[0].device)
        ctx.mark = call["circumstances"].mark()
        y0 = tensors[: call["leaves"]]
        solution = call["solver"].solve(call["field"], y0 if call["tuple"] else y0[0], call["ts"], call["grid"])
        call["accepted"] = solution.grid
        call["stats"].evaluations_forward = solution.stats.evaluations_forward
        ctx.call = call
        ctx.save_for_backward(*tensors)
        ys = call["method"].going_out(solution.ys, call)
        return ys if call["tuple"] else (ys,)

    @staticmethod
    @once_differentiable
    def backward(ctx, *cotangents):
        call, saved = ctx.call, ctx.saved_tensors
        y0 = tuple(leaf.detach().requires_grad_() for leaf in saved[: call["leaves"]])
        others = saved[call["leaves"] :]
        with call["method"].again(call, ctx.mark):
            solution = call["solver"].solve(call["field"], y0 if call["tuple"] else y0[0], call["ts"], call["grid"])
            ys = solution.ys if call["tuple"] else (solution.ys,)
            call["method"].search(call, ys, y0, others)
            weights = call["method"].coming_in(cotangents, call)
            gradients = torch.autograd.grad(ys, (*y0, *others), weights, allow_unused=True)
        call["method"].count(call, solution.stats.evaluations_forward)
        return None, *call["method"].leaving(gradients, call)


def scaled(gradients, factor, which=slice(None)):
    """Some of the gradients times a factor."""
    chosen = set(range(len(gradients))[which])
    return tuple(g if g is None or i not in chosen else factor * g for i, g in enumerate(gradients))


def broken(check, **parts):
    """The stranger's method with some of its parts replaced, and the check that must see it."""
    kind = type(check.__name__.removeprefix("check_").title().replace("_", ""), (Stranger,), parts)
    return kind(), check


def _unrecorded(self, solver, field, y0, ts, grid, inputs=()):
    solution = Stranger.solve(self, solver, field, y0, ts, grid, inputs)
    if not torch.is_grad_enabled():
        self.kept = [torch.zeros(1000) + solution.ys.sum()]
    return solution


def _times_as_numbers(self, solver, field, y0, ts, grid, inputs=()):
    ts = ts.tolist() if isinstance(ts, torch.Tensor) else ts
    return Stranger.solve(self, solver, field, y0, ts, grid, inputs)


def _swallowing(self, solver, field, y0, ts, grid, inputs=()):
    try:
        return Stranger.solve(self, solver, field, y0, ts, grid, inputs)
    except Exception:  # noqa: BLE001 - the fault
        return odebench.Solution(ys=torch.stack((y0, y0, y0)), grid=None)


def _with_first(self, call, ys, own, others):
    """Keeps the second solve's outputs, and all of its graph, where nothing frees it."""
    self.kept = [*getattr(self, "kept", ()), *ys]


def _clipped(self, cotangents, call):
    return tuple(g / max(1.0, g.norm().item()) for g in cotangents)


def _without_output(index):
    def coming_in(self, cotangents, call):
        weight = torch.ones(len(cotangents[0]), dtype=cotangents[0].dtype)
        weight[index] = 0.0
        return tuple(g * weight.reshape(-1, *[1] * (g.dim() - 1)) for g in cotangents)

    return coming_in


def _replayed_unmarked(self, call, mark):
    return call["circumstances"].replay(None)


@contextmanager
def _outside_autocast(self, call, mark):
    with call["circumstances"].replay(mark), torch.autocast("cpu", enabled=False):
        yield


def _halved(self, cotangents, call):
    return tuple(g.bfloat16() if g.dtype == torch.float32 else g for g in cotangents)


def _in_place(self, cotangents, call):
    for g in cotangents:
        g.mul_(1.0)
    return cotangents


def _leaves_state(self, call, mark):
    torch.set_default_dtype(torch.float64)
    return Stranger.again(self, call, mark)


def _drops_last(self, field, inputs):
    return Stranger.tensors(self, field, ())


def _twice_again(self, gradients, call):
    self.calls = getattr(self, "calls", 0) + 1
    return scaled(gradients, 1.0 + 1e-15 * self.calls)


def _silently_once(self, solver, field, y0, ts, grid, inputs=()):
    """Gradients that are numbers: nothing that differentiates them again finds the graph."""
    ys = solver.solve(field, y0, ts, grid, inputs)
    if torch.is_grad_enabled():
        out = _Detaching.apply(ys.ys, *parameters_of(field)) if not isinstance(ys.ys, tuple) else ys.ys
        return odebench.Solution(ys=out, grid=ys.grid, stats=ys.stats)
    return ys


class _Detaching(torch.autograd.Function):
    @staticmethod
    def forward(ctx, ys, *parameters):
        return ys.clone()

    @staticmethod
    def backward(ctx, cotangent):
        return cotangent.detach(), *[None] * (len(ctx.needs_input_grad) - 1)


def _wrong_where(condition, factor=1.001):
    return lambda self, gradients, call: scaled(gradients, factor) if condition(call, gradients) else gradients


def _y1_swapped(self, ys, call):
    return tuple(reversed(ys)) if call["tuple"] else ys


def _redraws(self, call, mark):
    return call["circumstances"].replay(mark._replace(random=(torch.get_rng_state(),)))


class _Leaving:
    """As the honest circumstances, and leaves the generator somewhere else."""

    def __init__(self, call, mark):
        self.inner = call["circumstances"].replay(mark)

    def __enter__(self):
        return self.inner.__enter__()

    def __exit__(self, *error):
        result = self.inner.__exit__(*error)
        torch.rand(1)
        return result


def _drops_shared(self, gradients, call):
    shapes = [None if g is None else tuple(g.shape) for g in gradients]
    return tuple(None if shape == (3, 3) else g for shape, g in zip(shapes, gradients, strict=True))


def _compiled(self, solver, field, y0, ts, grid, inputs=()):
    """Its program holds a state for each step, which only its compiler knows."""
    solution = Stranger.solve(self, solver, field, y0, ts, grid, inputs)
    solution.stats.memory = ProgramMemory(method="analysis", forward_peak_bytes=grid.steps * y0.nbytes)
    return solution


def _is(kind):
    return lambda call, gradients: isinstance(call["grid"], kind)


BROKEN = [
    broken(exactness.check_a_solver_is_supported, supports=lambda self, solver: True),
    broken(exactness.check_a_solver_is_supported, supports=lambda self, solver: "No, never."),
    broken(exactness.check_exact_for_the_discretisation, leaving=lambda self, g, call: scaled(g, 1 + 1e-9)),
    broken(exactness.check_exact_for_the_discretisation, leaving=lambda self, g, call: scaled(g, -1.0, slice(1, None))),
    broken(exactness.check_exact_on_chosen_steps, leaving=_wrong_where(_is(odebench.Tolerance))),
    broken(
        exactness.check_gap_falls_at_the_solvers_order,
        exact_for_discretisation=False,
        leaving=lambda self, g, call: scaled(g, 1.001, slice(1, None)),
    ),
    broken(
        exactness.check_gap_follows_the_tolerance,
        exact_for_discretisation=False,
        leaving=_wrong_where(_is(odebench.Tolerance)),
    ),
    broken(exactness.check_tuple_states, leaving=_wrong_where(lambda call, g: call["tuple"])),
    broken(
        exactness.check_steps_for_each_row,
        leaving=_wrong_where(lambda call, g: getattr(call["grid"], "batch", "joint") == "per-sample"),
    ),
    broken(outputs.check_solution_is_the_solvers, going_out=lambda self, ys, call: ys * (1 + 1e-15)),
    broken(outputs.check_linear_in_the_incoming_gradient, coming_in=_clipped),
    broken(outputs.check_every_output_time_counts, coming_in=_without_output(0)),
    broken(outputs.check_every_output_time_counts, coming_in=_without_output(-2)),
    broken(outputs.check_dtype_of_gradients, leaving=_wrong_where(lambda call, g: g[0].dtype == torch.float32, 1.01)),
    broken(outputs.check_shapes_of_batches, leaving=_wrong_where(lambda call, g: len(g[0]) == 1)),
    broken(parameters.check_unused_frozen_and_shared_parameters, leaving=_drops_shared),
    broken(parameters.check_frozen_field, leaving=_wrong_where(lambda call, g: len(g) == 1)),
    broken(parameters.check_inputs_that_are_declared, tensors=_drops_last, search=lambda *a: None),
    broken(parameters.check_tensors_that_are_not_declared, search=lambda *a: None),
    broken(repetition.check_used_twice, leaving=_twice_again),
    broken(memory.check_without_a_graph, solve=_unrecorded),
    broken(memory.check_nothing_is_left_alive, search=_with_first),
    broken(repetition.check_evaluations_are_counted, count=lambda self, call, n: Stranger.count(self, call, n - 1)),
    broken(repetition.check_errors_of_the_field_are_passed_on, solve=_swallowing),
    broken(
        repetition.check_errors_of_the_field_are_passed_on,
        leaving=lambda self, g, call: tuple(None if x is None else x.nan_to_num() for x in g),
    ),
    broken(repetition.check_arguments_are_not_changed, coming_in=_in_place),
    broken(repetition.check_global_state_is_left_alone, again=_leaves_state),
    broken(memory.check_memory_grows_as_claimed, memory="O(N)"),
    broken(memory.check_memory_grows_as_claimed, memory="O(1)"),
    broken(memory.check_memory_grows_as_claimed, memory="O(N^2)"),
    broken(memory.check_memory_grows_as_claimed, memory="little"),
    broken(memory.check_memory_grows_as_claimed, memory="O(sqrt N)", solve=_compiled),
    broken(recomputation.check_random_masks_are_repeated, again=_redraws),
    broken(recomputation.check_masks_of_rejected_steps_are_passed_over, again=_redraws),
    broken(
        recomputation.check_generator_is_left_where_the_forward_pass_left_it,
        again=lambda self, call, mark: _Leaving(call, mark),
    ),
    broken(recomputation.check_batch_statistics_are_updated_once, again=_replayed_unmarked),
    broken(autocast.check_autocast_is_repeated, again=_outside_autocast),
    broken(autocast.check_autocast_is_repeated, coming_in=_halved),
    broken(
        autocast.check_autocast_is_repeated, leaving=_wrong_where(lambda call, g: g[0].dtype == torch.float32, 1.002)
    ),
    broken(claims.check_gradients_of_gradients, solve=_silently_once),
    broken(claims.check_gradients_of_gradients, twice_differentiable=True),
    broken(claims.check_gradients_of_times, solve=_times_as_numbers),
    broken(claims.check_gradients_of_times, times_differentiable=True),
]
