"""The eager engine beside the work that cannot be avoided: every aim as a ratio over shuffled rounds, in one process on one thread.

    python tests/benchmarks/eager.py [--rounds 15] [--seconds 5] [--seed 0] [ROW ...]

ROW: forward, adaptive, outputs, direct, step-checkpoint, continuous-adjoint, revolve; all of them where none is named. A round times
each call once, in processor time, in an order drawn anew; there are so many rounds at least, and for so many seconds a line. Given is
the median over rounds, with the central 95 % of it over rounds drawn with replacement; *undisturbed* is from the least time of each
call. *Noise* is how far the same call, timed a second time in each round, lies from itself (95 %): an aim is met where the interval
ends below aim + noise. *By hand* are the same steps with the tensor operations written out and nothing else: an aim below that is out
of reach. Fields are those of `eager_fields.py`, two of them drawn at random by the seed.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
import torchdiffeq
from eager_fields import Case, drawn, named
from eager_work import adaptive_by_hand, counted, evaluations, evaluations_with_vjp, rk4_by_hand
from interleaved import Interleaved
from torch import Tensor

import odebench
from odebench.numerics.checkpoint_schedules.binomial import untaped_steps
from odebench.numerics.storage_tracker import StorageTracker
from odebench.run.timing import hold_memory

PERIOD, TOLERANCE, SLOTS = 7.63, 1e-6, 10
Call = Callable[[], object]
Quantity = Callable[[dict[str, float]], float]


@dataclass(kw_only=True)
class Row:
    """What is timed for one line of the table.

    Attributes:
        what, case: what is solved.
        aim: upper bound of `quantity`; None where there is none.
        calls: what to time: "ours", and what it is compared with.
        quantity: from times in seconds by name.
        others: quantities of other calls by the same rule, by the heading they get.
        format: of a quantity.
    """

    what: str
    case: str
    aim: float | None
    calls: dict[str, Call]
    quantity: Quantity
    others: dict[str, Quantity] = field(default_factory=dict)
    format: str = ".3f"

    def print(self, rounds: int, seconds: float) -> None:
        """Time it, and print the line."""
        timed = Interleaved(self.calls | {"again": self.calls["ours"]}, rounds=rounds, seconds=seconds)
        ours = timed.of(self.quantity)
        twin = timed.of(lambda t: self.quantity(t | {"ours": t["again"]}) - self.quantity(t))
        noise = max(abs(twin.low), abs(twin.high))
        number = lambda value: format(value, self.format)  # noqa: E731
        told = {name: number(timed.of(quantity).median) for name, quantity in self.others.items()}
        by_hand = told.pop("by hand", "")
        least = number(timed.least(self.quantity))
        if "by hand" in self.others:
            by_hand += f" ({number(timed.least(self.others['by hand']))})"
        met = "" if self.aim is None else "yes" if ours.high <= self.aim + noise else "no"
        aim = "" if self.aim is None else number(self.aim)
        print(
            f"| {self.what} | {self.case} | {number(ours.median)} [{number(ours.low)}, {number(ours.high)}] | {least} | {number(noise)} | {aim} "
            f"| {met} | {by_hand} | {', '.join(f'{name} {value}' for name, value in told.items())} |",
            flush=True,
        )


def forward(case: Case) -> Row:
    """rk4 without a graph, over evaluations × bare field."""
    how = {"solver": "rk4", "steps": case.steps}
    calls = {
        "ours": lambda: without_graph(case, [0.0, 1.0], **how),
        "field": evaluations(case.field, case.y, 4 * case.steps),
        "by hand": rk4_by_hand(case.field, case.y, case.steps),
    }
    return Row(
        what="rk4 forward ÷ (evaluations × field)",
        case=case.name,
        aim=1.03 if case.network else 1.15,
        calls=calls,
        quantity=lambda t: t["ours"] / t["field"],
        others={"by hand": lambda t: t["by hand"] / t["field"]},
    )


def without_graph(case: Case, ts: list[float] | Tensor, **how: object) -> odebench.Solution:
    with torch.no_grad():
        return odebench.solve(case.field, case.y, ts, **how)


def adaptive(case: Case, span: float) -> Iterator[Row]:
    """dopri5: what an attempted step costs beside its evaluations, in µs, and as a share of torchdiffeq's."""
    how = {"solver": "dopri5", "rtol": TOLERANCE, "atol": TOLERANCE}
    stats = without_graph(case, [0.0, span], **how).stats
    attempts, evaluated = stats.accepted + stats.rejected, stats.evaluations_forward
    their_ts = torch.tensor([0.0, span])
    theirs = lambda f: torchdiffeq.odeint(f, case.y, their_ts, rtol=TOLERANCE, atol=TOLERANCE)  # noqa: E731
    their_evaluations = counted(theirs, case.field)

    def their_solve() -> None:
        with torch.no_grad():
            theirs(case.field)

    # Not a multiple of all evaluations: a call takes as long as a solve, so that all calls of a round are alike.
    calls = {
        "ours": lambda: without_graph(case, [0.0, span], **how),
        "field": evaluations(case.field, case.y, evaluated),
        "by hand": adaptive_by_hand(case.field, case.y, attempts, span, TOLERANCE),
        "torchdiffeq": their_solve,
    }
    beyond = lambda name: lambda t: 1e6 * (t[name] - t["field"]) / attempts  # noqa: E731
    their_beyond = lambda t: (  # noqa: E731
        1e6 * (t["torchdiffeq"] - their_evaluations / evaluated * t["field"]) / ((their_evaluations - 2) / 6)
    )
    by_hand = lambda t: 1e6 * (t["by hand"] - (6 * attempts + 1) / evaluated * t["field"]) / attempts  # noqa: E731
    yield Row(
        what="dopri5, µs a step beyond the field",
        case=case.name,
        aim=60.0,
        calls=calls,
        quantity=beyond("ours"),
        others={"by hand": by_hand, "torchdiffeq": their_beyond},
        format=".1f",
    )
    yield Row(
        what="the same ÷ torchdiffeq's",
        case=case.name,
        aim=0.2,
        calls=calls,
        quantity=lambda t: beyond("ours")(t) / their_beyond(t),
        others={"by hand": lambda t: by_hand(t) / their_beyond(t)},
    )


def outputs(case: Case, span: float) -> Row:
    """dopri5 with 200 output times over dopri5 with one."""
    how = {"solver": "dopri5", "rtol": TOLERANCE, "atol": TOLERANCE}
    many = torch.linspace(0.0, span, 201, dtype=torch.float64).tolist()
    their_ts = {name: torch.tensor(ts) for name, ts in (("many", many), ("one", [0.0, span]))}

    def theirs(name: str) -> Call:
        def call() -> None:
            with torch.no_grad():
                torchdiffeq.odeint(case.field, case.y, their_ts[name], rtol=TOLERANCE, atol=TOLERANCE)

        return call

    return Row(
        what="dopri5 with 200 output times ÷ with one",
        case=case.name,
        aim=1.3,
        calls={
            "ours": lambda: without_graph(case, many, **how),
            "one": lambda: without_graph(case, [0.0, span], **how),
            "their many": theirs("many"),
            "their one": theirs("one"),
        },
        quantity=lambda t: t["ours"] / t["one"],
        others={"torchdiffeq": lambda t: t["their many"] / t["their one"]},
    )


def gradient(case: Case, method: str, aim: float | None) -> Iterator[Row]:
    """The gradient of an rk4 solve over what its own counts of evaluations, with and without a graph, cost."""
    parameters = list(case.field.parameters())
    named_method = {"name": method, "slots": SLOTS} if method == "revolve" else method

    def ours() -> odebench.Solution:
        y = case.y.clone().requires_grad_()
        how = {"solver": "rk4", "steps": case.steps, "gradient": named_method}
        solution = odebench.solve(case.field, y, [0.0, 1.0], **how)
        torch.autograd.grad(solution.y1, [y, *parameters], torch.ones_like(case.y))
        return solution

    stats, taped = ours().stats, 4 * case.steps
    plain = stats.evaluations_forward + stats.evaluations_backward - taped
    if method == "direct":
        plain = 0
    if method == "revolve":
        # The last step is once more taken with a graph, since the states are given away before the backward begins.
        fewest = 4 * (untaped_steps(case.steps, SLOTS) + 1)
        print(
            f"| revolve, evaluations without a graph | {case.name} | {plain} | | | {fewest} | {'no' if plain > fewest else 'yes'} | | |"
        )
    calls = {
        "ours": ours,
        "field": evaluations(case.field, case.y, 4 * case.steps),
        "vjp": evaluations_with_vjp(case.field, case.y, 4 * case.steps),
    }
    share = plain / (4 * case.steps)
    others: dict[str, Quantity] = {}
    if method == "continuous-adjoint":
        count = [0]

        def count_up(t: Tensor, y: Tensor) -> Tensor:
            count[0] += 1
            return case.field(t, y)

        def theirs(f: Callable[[Tensor, Tensor], Tensor] = case.field) -> None:
            y, ts = case.y.clone().requires_grad_(), torch.tensor([0.0, 1.0])
            how = {"method": "rk4", "options": {"step_size": 1.0 / case.steps}, "adjoint_params": tuple(parameters)}
            end = torchdiffeq.odeint_adjoint(f, y, ts, **how)[-1]
            torch.autograd.grad(end, [y, *parameters], torch.ones_like(case.y))

        theirs(count_up)
        calls["torchdiffeq"] = theirs
        # Their forward takes as many evaluations as ours.
        their_share = count[0] / taped - 1.0
        others["torchdiffeq"] = lambda t: t["torchdiffeq"] / (t["field"] + their_share * t["vjp"])
    name = f"{method} ÷ ({'' if method == 'direct' else 'evaluations × field + '}evaluations × (field + VJP))"
    limit = lambda t: share * t["field"] + t["vjp"]  # noqa: E731
    others |= {"of (field + VJP) alone": lambda t: t["ours"] / t["vjp"]} if method != "direct" else {}
    yield Row(what=name, case=case.name, aim=aim, calls=calls, quantity=lambda t: t["ours"] / limit(t), others=others)


def checkpoint_bytes(case: Case) -> None:
    """Print what a step more takes of memory with `step-checkpoint`, in states."""

    def peak(steps: int) -> int:
        y = case.y.clone().requires_grad_()
        parameters = list(case.field.parameters())
        with StorageTracker([y, *parameters]) as tracker:
            how = {"solver": "rk4", "steps": steps, "gradient": "step-checkpoint"}
            end = odebench.solve(case.field, y, [0.0, 1.0], **how).y1
            torch.autograd.grad(end, [y, *parameters], torch.ones_like(case.y))
        return tracker.peak_bytes

    peak(2)
    state = case.y.numel() * case.y.element_size()
    bytes_a_step = (peak(80) - peak(40)) / 40
    grid = 16  # start and length of a step, float64, in the solution's grid
    print(
        f"| step-checkpoint, states a step, its {grid} bytes of the grid left out | {case.name} | {(bytes_a_step - grid) / state:.4f} "
        f"| | | 1 | {'yes' if bytes_a_step <= state + grid else 'no'} | | |"
    )


GRADIENTS = {"direct": 1.0, "step-checkpoint": 1.02, "continuous-adjoint": 1.02, "revolve": 1.05}
ROWS = ("forward", "adaptive", "outputs", *GRADIENTS)


def rows(chosen: list[str], seed: int) -> Iterator[Row]:
    """The lines of the table, one after the other."""
    cases = {case.name: case for case in named()}
    polynomials, network = drawn(seed)
    if "forward" in chosen:
        for case in (*(cases[name] for name in ("lv", "mlp64", "mlp512", "conv2")), polynomials, network):
            yield forward(case)
    if "adaptive" in chosen:
        yield from adaptive(cases["vdp"], PERIOD)
        yield from adaptive(polynomials, 10.0)
    if "outputs" in chosen:
        yield outputs(cases["vdp"], PERIOD)
        yield outputs(polynomials, 10.0)
    for method, aim in GRADIENTS.items():
        if method in chosen:
            if method == "step-checkpoint":
                checkpoint_bytes(cases["mlp64"])
            for case in (cases["mlp64"], network):
                yield from gradient(case, method, aim)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=", ".join(ROWS))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=0, help="of the fields that are drawn at random")
    options = parser.parse_args()
    if unknown := set(options.rows) - set(ROWS):
        parser.error(f"no row {', '.join(sorted(unknown))}; there are {', '.join(ROWS)}")
    torch.set_num_threads(1)
    hold_memory()
    print(f"torch {torch.__version__}, load {os.getloadavg()[0]:.2f}")
    print(
        "| what | field | ours [95 %] | undisturbed | noise | aim | met | by hand (undisturbed) | beside it |\n|---|---|---|---|---|---|---|---|---|"
    )
    for row in rows(options.rows or list(ROWS), options.seed):
        row.print(options.rounds, options.seconds)
    print(f"load {os.getloadavg()[0]:.2f}")


if __name__ == "__main__":
    main()
