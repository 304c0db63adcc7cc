"""Break odebench in one place after the other, and see whether conformance notices.

    python tests/acceptance/mutations.py [WORD …]

Each mutation replaces one text of one file, in a copy of the package in a temporary folder, and runs the checks of the plugins that it
concerns there, until one of them fails. A text that is not found exactly once ends the run: somebody has edited that line, and the
mutation with it has to be written anew. Before all, everything concerned must pass unbroken. Prints a table: what was broken and
where, which check caught it and with which words. Ends with 1 where a mutation survives. With words, only mutations that have one of
them in their description are tried.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "odebench"
WORKERS = 2
LIMIT_S = 600

CHILD = """
import json, sys, warnings
warnings.simplefilter("error")
import odebench
from odebench.conformance import Failure, checks_of
from odebench.plugins import build_registry
assert odebench.__file__.startswith(sys.argv[1]), odebench.__file__
registry = build_registry(prefixes=(), strict=True)
for named in sys.argv[2:]:
    kind, _, name = named.partition(":")
    plugin = registry.get(kind, name).build()
    for check in checks_of(plugin):
        if check.__name__ in plugin.known_failures:
            continue
        try:
            check(plugin)
        except Failure as failure:
            said = str(failure)
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
        else:
            continue
        print("CAUGHT", json.dumps([name, check.__name__, " ".join(said.split())]))
        sys.exit(0)
"""


@dataclass(frozen=True)
class Mutation:
    """One broken place.

    Attributes:
        what: is broken, in words.
        file: below the package.
        old, new: the text there, which is there once, and what stands in its place.
        concerned: the plugins that are checked, "kind:name".
    """

    what: str
    file: str
    old: str
    new: str
    concerned: tuple[str, ...]


@dataclass(frozen=True)
class Verdict:
    """What conformance said.

    Attributes:
        plugin, check, said: the first that failed; None where none did.
        line: of the text.
        seconds: taken.
    """

    plugin: str | None
    check: str | None
    said: str
    line: int
    seconds: float


SOLVERS = (
    Mutation(
        "a tableau digit: a weight",
        "solvers/ssprk3.py",
        "b=(F(1, 6), F(1, 6), F(2, 3))",
        "b=(F(1, 6), F(1, 5), F(19, 30))",
        ("solver:ssprk3",),
    ),
    Mutation(
        "a tableau digit: a row of a with the same sum",
        "solvers/dopri5.py",
        "(F(3, 40), F(9, 40))",
        "(F(4, 40), F(8, 40))",
        ("solver:dopri5",),
    ),
    Mutation(
        "a tableau digit: two embedded weights swapped",
        "solvers/bosh3.py",
        "_B_HAT = (F(7, 24), F(1, 4), F(1, 3), F(1, 8))",
        "_B_HAT = (F(7, 24), F(1, 3), F(1, 4), F(1, 8))",
        ("solver:bosh3",),
    ),
    Mutation(
        "a stage's time",
        "numerics/written_out.py",
        "field(times[t + {c!r} * h], {_sum(terms)})",
        "field(times[t + h], {_sum(terms)})",
        ("solver:rk4",),
    ),
    Mutation(
        "an interpolant's coefficient: the last digit of a tableau's",
        "solvers/dopri5.py",
        "F(-10690763975, 1880347072)",
        "F(-10690763976, 1880347072)",
        ("solver:dopri5",),
    ),
    Mutation(
        "an interpolant's coefficient: Hermite's",
        "numerics/interpolation.py",
        "return total.add_(self.k1, alpha=-theta * theta * s * self.dt)",
        "return total.add_(self.k1, alpha=-theta * s * s * self.dt)",
        ("solver:rk4",),
    ),
    Mutation(
        "a step-size factor: it is always the largest",
        "numerics/step_control.py",
        "return min(ceiling, max(tolerance.min_factor, factor))",
        "return tolerance.max_factor",
        ("solver:bosh3",),
    ),
    Mutation(
        "the tolerance does not reach the error norm",
        "numerics/step_control.py",
        "alpha=self._rtol)",
        "alpha=1e-4)",
        ("solver:bosh3",),
    ),
    Mutation(
        "a rejected step's last stage is the next attempt's first",
        "numerics/march.py",
        "            dt *= control.rejected(error)\n",
        "            dt *= control.rejected(error)\n            carry = step.carry\n",
        ("solver:bosh3",),
    ),
    Mutation(
        "a swallowed exception",
        "numerics/one_step.py",
        "        result, packing, timed = self.march(field, y0, ts, grid)\n",
        "        try:\n            result, packing, timed = self.march(field, y0, ts, grid)\n        except Exception:\n            return Solution(ys=torch.stack([y0] * len(ts)), grid=None, stats=Stats())\n",
        ("solver:rk4",),
    ),
    Mutation(
        "a NaN is replaced",
        "numerics/one_step.py",
        "ys=packing.unpack_outputs(torch.stack(result.ys)),",
        "ys=packing.unpack_outputs(torch.stack(result.ys).nan_to_num()),",
        ("solver:rk4",),
    ),
    Mutation(
        "a changed default dtype",
        "numerics/one_step.py",
        "        result, packing, timed = self.march(field, y0, ts, grid)\n",
        "        torch.set_default_dtype(torch.float64)\n        result, packing, timed = self.march(field, y0, ts, grid)\n",
        ("solver:rk4",),
    ),
    Mutation(
        "an undercounted evaluation",
        "numerics/runge_kutta.py",
        "        field.evaluations += len(self._rows)\n",
        "        field.evaluations += len(self._rows) - 1\n",
        ("solver:rk4",),
    ),
    Mutation(
        "the initial state is overwritten",
        "numerics/one_step.py",
        "        packed = packing.pack(y0)\n        timed",
        "        packed = packing.pack(y0)\n        packed.data.mul_(1.0 + 1e-12)\n        timed",
        ("solver:rk4",),
    ),
    Mutation(
        "with a graph, stages are summed in another order",
        "numerics/runge_kutta.py",
        "            y1, k = self._written_out.stages(function, times, t, dt, y, carry)\n",
        "            y1, k = self._written_out.stages(function, times, t, dt, y, carry)\n"
        "            y1 = y + (y1 - y) if torch.is_grad_enabled() else y1\n",
        ("solver:bosh3",),
    ),
    Mutation(
        "an output inside a step is that at its end",
        "numerics/march.py",
        "ys[pending] = step.y1 if theta == 1.0 else solver.interpolate(step.dense, theta)",
        "ys[pending] = step.y1 if theta > 0.9 else solver.interpolate(step.dense, theta)",
        ("solver:bosh3",),
    ),
    Mutation(
        "a step that does not divide the span ends beyond it",
        "numerics/uniform.py",
        "    lengths.append(end - starts[-1])\n",
        "    lengths.append(length)\n",
        ("solver:rk4",),
    ),
)

GRADIENTS = (
    Mutation(
        "a sign in the adjoint equation",
        "gradients/adjoint_equation.py",
        "weights = [-as_dtype(weight, leaf.dtype) for leaf, weight in on_graph]",
        "weights = [as_dtype(weight, leaf.dtype) for leaf, weight in on_graph]",
        ("gradient:continuous-adjoint",),
    ),
    Mutation(
        "the time of the adjoint equation",
        "gradients/continuous_adjoint.py",
        "slopes(call, t.to(time_dtype(dtype)), y,",
        "slopes(call, 1.01 * t.to(time_dtype(dtype)), y,",
        ("gradient:continuous-adjoint",),
    ),
    Mutation(
        "a dropped parameter gradient: that of the first step",
        "gradients/step_reversal.py",
        "        self._carried = rest.pop(0) if place.carry is not None else None\n        self._totals.add(rest)\n",
        "        self._carried = rest.pop(0) if place.carry is not None else None\n        if place.step:\n            self._totals.add(rest)\n",
        ("gradient:step-checkpoint",),
    ),
    Mutation(
        "gradients of two parameters share their memory",
        "gradients/recorded_call.py",
        "                self.values[index] = gradient\n",
        "                self.values[index], self._ours[index] = gradient, True\n",
        ("gradient:step-checkpoint",),
    ),
    Mutation(
        "the gradient of an output at the end of a step replaces what came before",
        "gradients/step_reversal.py",
        "self._adjoint = arriving if self._adjoint is None else self._adjoint + arriving\n                else:",
        "self._adjoint = arriving\n                else:",
        ("gradient:step-checkpoint",),
    ),
    Mutation(
        "a carried state gets no gradient",
        "gradients/step_reversal.py",
        "                weights.append(self._carried)\n",
        "                weights.append(0.0 * self._carried)\n",
        ("gradient:step-checkpoint",),
    ),
    Mutation(
        "an off-by-one in the binomial schedule",
        "numerics/checkpoint_schedules/binomial.py",
        "            yield Advance(at, stop)\n",
        "            yield Advance(at, stop - 1 if stop - at > 1 else stop)\n",
        ("gradient:revolve",),
    ),
    Mutation(
        "an off-by-one in the schedule of equal distances",
        "numerics/checkpoint_schedules/square_root.py",
        "for step in range(stop - 1, start - 1, -1):",
        "for step in range(stop - 1, start, -1):",
        ("gradient:sqrt-checkpoint",),
    ),
    Mutation(
        "the number of slots is not kept to",
        "gradients/revolve.py",
        "slots = self.slots + self.spill_slots",
        "slots = self.slots = 100_000",
        ("gradient:revolve",),
    ),
    Mutation(
        "a second update of batch statistics",
        "numerics/recomputation.py",
        "            buffer.data.copy_(value)\n",
        "            pass\n",
        ("gradient:anode",),
    ),
    Mutation(
        "masks are drawn anew",
        "numerics/recomputation.py",
        "        torch.set_rng_state(mark.random[0])\n",
        "",
        ("gradient:anode",),
    ),
    Mutation(
        "the masks of rejected steps are not passed over",
        "gradients/step_reversal.py",
        "mark = history.jumps.get(stop) or recomputation.mark()",
        "mark = recomputation.mark()",
        ("gradient:sqrt-checkpoint",),
    ),
    Mutation(
        "autocast is not entered again",
        "numerics/recomputation.py",
        "with self._autocast_as_before(taped), torch.set_grad_enabled(taped):",
        "with torch.set_grad_enabled(taped):",
        ("gradient:anode",),
    ),
    Mutation(
        "autocast is not entered again where stored states get their derivatives",
        "gradients/otd_stored.py",
        "            with call.recomputation.replay(None, taped=False):\n",
        "            with torch.no_grad():\n",
        ("gradient:otd-stored",),
    ),
    Mutation(
        "a leaked graph",
        "gradients/anode.py",
        "        call.stats.evaluations_backward += solution.stats.evaluations_forward\n        return None, *gradients",
        "        call.stats.evaluations_backward += solution.stats.evaluations_forward\n        call.kept = solution.ys\n        return None, *gradients",
        ("gradient:anode",),
    ),
    Mutation(
        "an undercounted evaluation on the way back",
        "gradients/continuous_adjoint.py",
        "call.stats.evaluations_backward += solution.stats.evaluations_forward",
        "call.stats.evaluations_backward = solution.stats.evaluations_forward",
        ("gradient:continuous-adjoint",),
    ),
    Mutation(
        "gradients of gradients are lost in silence",
        "gradients/recorded_call.py",
        "        if not torch.is_grad_enabled():\n            return gradients\n",
        "        return gradients\n",
        ("gradient:otd-stored",),
    ),
    Mutation(
        "undeclared tensors are lost in silence",
        "numerics/reach.py",
        "missing = [leaf for key, leaf in leaves_of(outputs, declared).items() if key not in known]",
        "missing = []",
        ("gradient:anode",),
    ),
    Mutation(
        "all steps are recorded at once",
        "gradients/step_checkpoint.py",
        "        call: Call = ctx.call\n        count",
        "        call: Call = ctx.call\n        y0 = call.fresh(ctx.saved_tensors[: call.leaves])\n        with torch.enable_grad():\n"
        "            whole = call.solver.solve(call.field, call.state(y0), call.ts, call.grid)\n        count",
        ("gradient:step-checkpoint",),
    ),
    Mutation(
        "a seed that is set in the process",
        "gradients/recorded_call.py",
        "    outputs = function.apply(call, *leaves, *parameters, *inputs)\n",
        "    torch.manual_seed(0)\n    outputs = function.apply(call, *leaves, *parameters, *inputs)\n",
        ("gradient:continuous-adjoint",),
    ),
    Mutation(
        "states of the forward pass a step too late",
        "gradients/otd_stored.py",
        "            path.enter(n)\n",
        "            path.enter(max(n - 1, 0))\n",
        ("gradient:otd-stored",),
    ),
    Mutation(
        "direct claims less memory than it takes",
        "gradients/direct.py",
        'memory = "O(N s)"',
        'memory = "O(N)"',
        ("gradient:direct",),
    ),
)

MODELS = (
    Mutation(
        "a rate in a closed form",
        "models/logistic.py",
        "decay = (-field.rate * (t - problem.ts[0])).exp()",
        "decay = (-1.0001 * field.rate * (t - problem.ts[0])).exp()",
        ("model:logistic",),
    ),
    Mutation(
        "a closed form whose constant has nine digits",
        "models/logistic.py",
        "decay = (-field.rate * (t - problem.ts[0])).exp()",
        "decay = (-1.000000001 * field.rate * (t - problem.ts[0])).exp()",
        ("model:logistic",),
    ),
    Mutation(
        "a reference that claims all digits",
        "run/reference.py",
        'return value, max(uncertainty, FLOOR), f"{way}, against {name} in float64"',
        'return value, FLOOR, f"{way}, against {name} in float64"',
        ("model:arenstorf",),
    ),
    Mutation(
        "a reference whose second way is of another equation",
        "run/reference.py",
        "        y = step(flat.field, start, end - start, y)\n",
        "        y = step(flat.field, start, 1.00001 * (end - start), y)\n",
        ("model:lorenz",),
    ),
    Mutation(
        "a sign in a field",
        "models/harmonic_oscillator.py",
        "torch.stack((v, -self.omega.square() * x), -1)",
        "torch.stack((v, self.omega.square() * x), -1)",
        ("model:harmonic-oscillator",),
    ),
    Mutation(
        "a seed that is not used",
        "models/seeded.py",
        "manual_seed(_STREAM + seed)",
        "manual_seed(_STREAM)",
        ("model:mlp-field",),
    ),
    Mutation(
        "draws from the global generator",
        "models/seeded.py",
        "return torch.randn(*shape, generator=generator, dtype=torch.float64)",
        "return torch.randn(*shape, dtype=torch.float64)",
        ("model:mlp-field",),
    ),
    Mutation(
        "a field of one dtype only",
        "models/logistic.py",
        "return self.rate * y * (1.0 - y / self.capacity)",
        "return self.rate * y * (1.0 - y / self.capacity) * torch.ones(1, dtype=torch.float64)",
        ("model:logistic",),
    ),
    Mutation(
        "rows that interact",
        "models/mlp_field.py",
        "        return self.net(y)\n",
        "        return self.net(y - 1e-6 * y.mean(0))\n",
        ("model:mlp-field",),
    ),
    Mutation(
        "a stiff problem that does not say so",
        "models/robertson.py",
        "ts=output_times(self.span, self.outputs), stiff=True)",
        "ts=output_times(self.span, self.outputs))",
        ("model:robertson",),
    ),
    Mutation(
        "chance is said to be one over the number of classes",
        "models/network.py",
        "return (test.targets == train.targets.bincount().argmax()).double().mean().item()",
        "return 1.0 / classes",
        ("model:conv2d-net",),
    ),
    Mutation(
        "a loss that keeps the rows apart",
        "contract/model.py",
        "return sum(0.5 * y[-1].square().sum() / max(y.shape[1], 1) for y in leaves)",
        "return sum(0.5 * y[-1].square().flatten(1).sum(1) for y in leaves)",
        ("model:lorenz",),
    ),
    Mutation(
        "a field that does not let gradients through",
        "models/lorenz.py",
        "a, b, c = y.unbind(-1)",
        "a, b, c = y.detach().unbind(-1)",
        ("model:lorenz",),
    ),
)


def main(words: list[str]) -> int:
    """Break, check, tell."""
    chosen = [
        one
        for one in (*SOLVERS, *GRADIENTS, *MODELS)
        if not words or any(word.lower() in one.what.lower() for word in words)
    ]
    lines = [line_of(one) for one in chosen]  # all of them, before anything takes time
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(WORKERS) as pool:
        concerned = sorted({name for one in chosen for name in one.concerned})
        unbroken = list(pool.map(lambda name: checked(Path(folder), None, (name,), 0), concerned))
        wrong = [verdict for verdict in unbroken if verdict.check is not None]
        for verdict in wrong:
            print(f"{verdict.plugin}: {verdict.check} fails before anything is broken: {verdict.said}")
        if wrong:
            return 2
        print(f"Unbroken, all checks of {len(concerned)} plugins pass ({time.monotonic() - began:.0f} s).\n")
        verdicts = list(pool.map(lambda pair: tried(Path(folder), *pair), zip(chosen, lines, strict=True)))
    print("| broken | where | caught by | in the words |\n|---|---|---|---|")
    for one, verdict in zip(chosen, verdicts, strict=True):
        caught = f"`{verdict.check}` of {verdict.plugin}" if verdict.check else "**none**"
        print(f"| {one.what} | {one.file}:{verdict.line} | {caught} | {shortened(verdict.said)} |")
    survived = [one.what for one, verdict in zip(chosen, verdicts, strict=True) if verdict.check is None]
    print(
        f"\n{len(chosen) - len(survived)} of {len(chosen)} caught in {time.monotonic() - began:.0f} s"
        + (f"; survived: {'; '.join(survived)}" if survived else "")
    )
    return 1 if survived else 0


def tried(folder: Path, mutation: Mutation, line: int) -> Verdict:
    """What conformance says of a mutation, told on the way: all of them take many minutes."""
    verdict = checked(folder, mutation, mutation.concerned, line)
    print(f"{mutation.what}: {verdict.check or 'SURVIVED'}, {verdict.seconds:.0f} s", file=sys.stderr, flush=True)
    return verdict


def line_of(mutation: Mutation) -> int:
    """The line where the text to be replaced begins.

    Raises:
        SystemExit: it is not there exactly once.
    """
    text = (PACKAGE / mutation.file).read_text(encoding="utf-8")
    if not mutation.old or text.count(mutation.old) != 1 or mutation.old == mutation.new:
        sys.exit(
            f"{mutation.what}: the text is {text.count(mutation.old) if mutation.old else 0} times in {mutation.file}, and must be once. "
            f"Write the mutation anew:\n{mutation.old}"
        )
    return text[: text.index(mutation.old)].count("\n") + 1


def checked(folder: Path, mutation: Mutation | None, concerned: tuple[str, ...], line: int) -> Verdict:
    """Run the checks of some plugins in a copy of the package, until one fails."""
    began = time.monotonic()
    own = Path(tempfile.mkdtemp(dir=folder))
    shutil.copytree(PACKAGE, own / "odebench")  # with its compiled files, which fit what is not changed
    if mutation is not None:
        path = own / "odebench" / mutation.file
        path.write_text(path.read_text(encoding="utf-8").replace(mutation.old, mutation.new), encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(own), "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            [sys.executable, "-c", CHILD, str(own), *concerned],
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            env=environment,
            cwd=own,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Verdict(concerned[0], "time limit", f"It did not end within {LIMIT_S} s.", line, LIMIT_S)
    finally:
        shutil.rmtree(own, ignore_errors=True)
    seconds = time.monotonic() - began
    for told in done.stdout.splitlines():
        if told.startswith("CAUGHT "):
            return Verdict(*json.loads(told.removeprefix("CAUGHT ")), line, seconds)
    if done.returncode:
        return Verdict(concerned[0], "loading", " ".join(done.stderr.split()[-40:]), line, seconds)
    return Verdict(None, None, "", line, seconds)


def shortened(said: str, most: int = 260) -> str:
    """A cell of the table."""
    said = said.replace("|", "\\|")
    return said if len(said) <= most else said[: most - 1].rstrip() + "…"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
