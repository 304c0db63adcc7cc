"""The quality part: the answer, what it asked of the field, and whether the plugin played by the rules.

The answer itself is judged elsewhere (`judge`): this process knows no reference.
"""

from __future__ import annotations

from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from odebench.contract import Answer, Field, NetworkField, Setting, State
from odebench.errors import DivergedError, MeasurementError
from odebench.run import global_state
from odebench.run.answers import check_shapes, check_tensors, save_answer
from odebench.run.bench import Bench
from odebench.run.compiled_counts import CompiledCounts, compiled_counts
from odebench.run.counting import Audit, Counter, CountingField
from odebench.run.engine_counts import add_told, check_told
from odebench.run.failures import failure_of
from odebench.run.fingerprint import Fingerprint, fingerprint_of, same
from odebench.run.jax_twin import counting_jax_field
from odebench.run.message_home import send_home
from odebench.run.opaque import opaque
from odebench.run.request import Request

#: Other initial states that are solved too, so that timing's answers to them can be checked. Those that are not must differ.
CHECKED = (1,)
#: A solve that asks less than this share of the first one's evaluations did not solve.
_LEAST_SHARE = 0.5


def measure(request: Request, bench: Bench, folder: Path) -> dict[str, Any]:
    """Solve the cell once under all eyes, and again from other initial states and with other parameters.

    Returns:
        A part with the counts as values, and `fingerprints` of the answers by the index of their initial state. The answer lies in
        `folder`, also where the part did not end well but an answer came.
    """
    examiner = _Examiner(bench)
    if request.interpreter is not None:
        send_home(request, bench.solver, bench.problem, folder)
    result: dict[str, Any] = {"outcome": "ok", "reason": None, "traceback": None}
    try:
        result["fingerprints"] = examiner.examine(folder)
    except Exception as error:  # noqa: BLE001 - whatever it is, the counts until then are worth keeping
        result |= failure_of(error).to_json()
    return result | examiner.values()


class _Examiner:
    """Runs the task under observation."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._random = _is_random(bench)
        self._counter: Counter | None = None
        self._answer: Answer | None = None
        self._compiled: CompiledCounts | None = None

    def examine(self, folder: Path) -> dict[str, Fingerprint]:
        """Everything in order; raises at the first broken rule."""
        bench = self._bench
        bench.prepare(bench.setting(opaque))
        answer, _ = self._solve(bench.start(0))
        if bench.engine is not None:
            check_told(bench.engine.solves)
        save_answer(answer, folder)
        prints = {"0": fingerprint_of(answer.states)}
        if bench.solver.fields_in == "jax":
            self._compiled = self._count_compiled(answer)
        for index in CHECKED:
            answer, counter = self._solve(bench.start(index))
            self._check_evaluations(counter, "from another initial state")
            prints[str(index)] = fingerprint_of(answer.states)
        self._check_other_parameters(prints["0"])
        return prints

    def values(self) -> dict[str, Any]:
        """Columns that are known so far, and why others are null."""
        values: dict[str, Any] = {"nfe_method": "counted"}
        reasons: dict[str, str] = {}
        counter, answer = self._counter, self._answer
        if counter is not None:
            values["nfe_forward"] = counter.evaluations["forward"]
            if self._bench.task.needs_gradient:
                values |= {"nfe_backward": counter.evaluations["backward"], "vjps": counter.vjps}
        if self._bench.solver.fields_in == "jax":
            counts = self._compiled
            for name in ("nfe_forward", "nfe_backward", "vjps"):
                values.pop(name, None)
            if counts is None:
                reasons["nfe_forward"] = "The compiled solve ended before its evaluations were counted."
            else:
                values |= counts.values(backward=self._bench.task.needs_gradient)
        if self._bench.engine is not None:
            self._tell_engine(values, reasons)
        if answer is not None:
            for name, count in (("steps_accepted", answer.accepted), ("steps_rejected", answer.rejected)):
                values[name] = count
                if count is None:
                    reasons[name] = "The solver does not tell its steps."
        return {"values": values, "reasons": reasons}

    def _tell_engine(self, values: dict[str, Any], reasons: dict[str, str]) -> None:
        """What became of the wish to be compiled."""
        engine = self._bench.engine
        if engine.compiled is not None:
            values["compiled"] = engine.compiled
        if engine.compiled_as is not None:
            values["compiled_as"] = engine.compiled_as
        if engine.refusal is not None:
            values["compile_fallback_reason"] = engine.refusal
        if not engine.compiled:
            return
        values["nfe_method"] = "loop_counter"
        if values.pop("vjps", None) is not None:
            reasons["vjps"] = "Compiled loops count evaluations, and not vector-Jacobian products."

    def _count_compiled(self, plain: Answer) -> CompiledCounts:
        """What the compiled solve asks of the field: the same solve once more, of a field that calls back whenever it is evaluated.

        Raises:
            MeasurementError: the solver tells another number of evaluations than it made.
        """
        bench, counter = self._bench, Counter()

        def counted(module: nn.Module) -> Field:
            counting = CountingField(module, counter)
            twin = counting_jax_field(module.jax_field(), counter)
            counting.jax_field = lambda: twin
            return opaque(module, counting)

        bench.forget_gradients()
        torch.manual_seed(bench.cell.seed)
        answer = _run(bench, bench.setting(counted), bench.start(0), counter)
        return compiled_counts(plain.stats, answer.stats, counter)

    def _solve(self, y0: State) -> tuple[Answer, Counter]:
        """One forward and backward pass under observation.

        Raises:
            MeasurementError: a rule was broken.
            DivergedError: the answer is not finite.
        """
        bench, counter = self._bench, Counter()
        first = self._counter is None
        if first:
            self._counter = counter  # What was counted until an error is kept.
        audit = Audit()

        def watched(module: nn.Module) -> Field:
            counting = CountingField(module, counter)
            if not isinstance(module, NetworkField):  # its parts are the network's own, and no field
                audit.add(module, counting)
            return opaque(module, counting)

        setting = bench.setting(watched)
        if bench.engine is not None:
            bench.engine.solves = []
        untouched = _copies(y0, bench.parameters)
        bench.forget_gradients()
        torch.manual_seed(bench.cell.seed)
        before = global_state.snapshot()
        try:
            # Python is slower under the audit, so the solves after the first are counted only: to fall short of it is enough.
            with audit.watching() if first else nullcontext():
                answer = _run(bench, setting, y0, counter)
        except BaseException:
            # A broken rule explains what was raised, more often than not.
            with suppress(DivergedError):
                self._check_rules(audit, before, untouched, y0)
            raise
        self._check_rules(audit, before, untouched, y0)
        if bench.engine is not None:
            add_told(bench.engine.solves, counter)
        if first:
            self._answer = answer  # Its steps are worth keeping, whatever its values are.
        check_tensors(answer, bench.device, bench.leaves[0].dtype)
        check_shapes(answer.states, bench.leaves)
        return answer, counter

    def _check_rules(self, audit: Audit, before: dict[str, Any], untouched: list[Tensor], y0: State) -> None:
        changed = global_state.differences(before, global_state.snapshot(), global_state.RANDOM if self._random else ())
        if audit.uncounted:
            raise MeasurementError(
                f"Uncounted evaluations: the field's own code ran {audit.uncounted} times past the callable that was handed over."
            )
        if audit.removed:
            raise MeasurementError("It changed Python's profile function, which watches for uncounted evaluations.")
        if changed:
            raise MeasurementError(f"It changed global state and left it so: {', '.join(changed)}.")
        leaves = y0 if isinstance(y0, tuple) else (y0,)
        for tensor, copy in zip((*leaves, *self._bench.parameters), untouched, strict=True):
            if tensor.shape != copy.shape or not torch.equal(tensor, copy):
                what = "the initial state" if any(tensor is leaf for leaf in leaves) else "a parameter of the field"
                raise MeasurementError(f"It changed its inputs: {what} is not what it was.")

    def _check_evaluations(self, counter: Counter, where: str) -> None:
        if counter.total < _LEAST_SHARE * self._counter.total:
            raise MeasurementError(
                f"It answers from memory: {self._counter.total} evaluations at first, and {counter.total} {where}."
            )

    def _check_other_parameters(self, first: Fingerprint) -> None:
        """A warm cache must not survive a change of the weights."""
        bench = self._bench
        parameters = [p for p in bench.parameters if p.is_floating_point() and p.numel()]
        if not parameters:
            return
        generator = torch.Generator().manual_seed(bench.cell.seed)
        eps = torch.finfo(bench.leaves[0].dtype).eps
        value = _field_value(bench)
        kept = [parameter.detach().clone() for parameter in parameters]
        with torch.no_grad():
            for parameter in parameters:
                noise = torch.rand(parameter.shape, generator=generator, dtype=torch.float64)
                parameter.mul_((1.0 + max(1e-3, 8.0 * eps) * noise).to(dtype=parameter.dtype, device=parameter.device))
        try:
            moved = _relative_change(value, _field_value(bench))
            answer, counter = self._solve(bench.start(0))
            self._check_evaluations(counter, "with other parameters")
            if (
                moved > 100.0 * eps
                and same(fingerprint_of(answer.states), first)
                and not _underflowed(first, bench.leaves[0].dtype)
            ):
                raise MeasurementError(
                    "It answers from memory: the field's parameters changed, and the answer did not."
                )
        except DivergedError:
            pass  # It solved anew, which is all that is asked here.
        finally:
            with torch.no_grad():
                for parameter, before in zip(parameters, kept, strict=True):
                    parameter.copy_(before)


def _run(bench: Bench, setting: Setting, y0: State, counter: Counter) -> Answer:
    """The task itself, both passes."""
    answer = bench.task.forward(setting, y0)
    if answer.backward is not None:
        counter.phase = "backward"
        answer.backward()
    answer.backward = None  # It holds the graph.
    bench.synchronise()
    return answer


def _underflowed(answer: Fingerprint, dtype: torch.dtype) -> bool:
    """Whether all but the initial state is too small for the dtype: it can be the same for all parameters, by honest work."""
    least = torch.finfo(dtype).tiny
    return all(abs(number) < least for name, numbers in answer.items() if name != "y0" for number in numbers)


def _copies(y0: State, parameters: tuple[Tensor, ...]) -> list[Tensor]:
    leaves = y0 if isinstance(y0, tuple) else (y0,)
    return [tensor.detach().clone() for tensor in (*leaves, *parameters)]


def _field_value(bench: Bench) -> Tensor:
    """The field at the start, all elements in one; for a network its outputs with an Euler step in each block."""
    y0 = bench.start(0)
    dtype = bench.leaves[0].dtype
    time_dtype = torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype
    t = torch.full((), bench.problem.ts[0], dtype=time_dtype, device=bench.device)
    network = bench.problem.network
    with torch.no_grad():
        value = bench.problem.field(t, y0) if network is None else network(y0, lambda field, z: z + field(t, z))
    return torch.cat([leaf.reshape(-1).double() for leaf in (value if isinstance(value, tuple) else (value,))])


def _relative_change(before: Tensor, after: Tensor) -> float:
    size = before.norm().item()
    return (after - before).norm().item() / size if size else 0.0


def _is_random(bench: Bench) -> bool:
    """Whether the field itself draws random numbers; buffers that the trial changes are put back."""
    buffers = [(buffer, buffer.clone()) for buffer in bench.problem.field.buffers()]
    torch.manual_seed(bench.cell.seed)
    before = torch.get_rng_state()
    _field_value(bench)
    drawn = not torch.equal(before, torch.get_rng_state())
    for buffer, value in buffers:
        buffer.copy_(value)
    return drawn
