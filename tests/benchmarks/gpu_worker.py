"""One library at work on one problem: `python gpu_worker.py DEVICE SCALE LIBRARY PROBLEM`.

The first line that it prints tells of the first call; then it reads numbers of calls and answers with the milliseconds of each, by CUDA
events on a CUDA device. `probe` for a library measures the device itself.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

LORENZ = (512, 32_768, 1_048_576, 8_388_608)
STEPS = 1000


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What is solved.

    Attributes:
        field, y0: the field, and the initial states.
        ts: first and last time.
        how: how `odebench.solve` is to divide time.
        gradient: whether the sum of the end's squares is differentiated.
    """

    field: Callable[[Tensor, Tensor], Tensor]
    y0: Tensor
    ts: tuple[float, float]
    how: dict[str, Any]
    gradient: bool = False


def lorenz(t: Tensor, y: Tensor) -> Tensor:
    """E. N. Lorenz, "Deterministic nonperiodic flow", J. Atmos. Sci. 20, 1963, with ρ = 21."""
    a, b, c = y[:, 0], y[:, 1], y[:, 2]
    return torch.stack((10.0 * (b - a), a * (21.0 - c) - b, a * b - (8.0 / 3.0) * c), 1)


def lorenz_of_own(t: Tensor, y: Tensor) -> Tensor:
    """The same with ρ as a number of the state: one for each trajectory, as in the published runs."""
    a, b, c, rho = y[:, 0], y[:, 1], y[:, 2], y[:, 3]
    return torch.stack((10.0 * (b - a), a * (rho - c) - b, a * b - (8.0 / 3.0) * c, torch.zeros_like(a)), 1)


def van_der_pol(t: Tensor, y: Tensor) -> Tensor:
    """μ = 2."""
    x, v = y[:, 0], y[:, 1]
    return torch.stack((v, 2.0 * (1.0 - x * x) * v - x), 1)


class Network(nn.Module):
    """2-64-64-2."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(2, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 2))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return self.layers(y)


def problem_of(name: str, device: torch.device, scale: int) -> Problem:
    """A problem by its name; `scale` divides its steps, not their length, and its trajectories, for a machine without a GPU."""
    kind, _, size = name.partition(" ")
    count = max(2, int(size.split()[0]) // scale) if size else 256
    steps = max(2, STEPS // scale)
    random = torch.Generator().manual_seed(0)
    near = lambda *point: (torch.tensor(point) + 0.1 * torch.randn(count, len(point), generator=random)).to(device)  # noqa: E731
    if kind == "lorenz":
        how = {"solver": "rk4", "steps": steps}
        return Problem(field=lorenz, y0=near(1.0, 0.0, 0.0), ts=(0.0, steps / STEPS), how=how)
    if kind == "lorenz-gradient":
        steps = max(2, steps // 5)
        how = {"solver": "rk4", "steps": steps}
        return Problem(field=lorenz, y0=near(1.0, 0.0, 0.0), ts=(0.0, steps / STEPS), how=how, gradient=True)
    if kind == "lorenz-published":
        start = torch.zeros(count, 4)
        start[:, 0], start[:, 3] = 1.0, torch.linspace(0.0, 21.0, count)
        how = {"solver": "rk4", "steps": steps}
        return Problem(field=lorenz_of_own, y0=start.to(device), ts=(0.0, steps / STEPS), how=how)
    if kind == "vdp":
        how = {"solver": "dopri5", "rtol": 1e-6, "atol": 1e-6}
        return Problem(field=van_der_pol, y0=near(2.0, 0.0), ts=(0.0, 7.63 / scale), how=how)
    if kind in ("mlp64", "mlp64-gradient"):
        how = {"solver": "rk4", "steps": max(2, 100 // scale)}
        field = Network().to(device)
        return Problem(field=field, y0=near(0.0, 0.0), ts=(0.0, 1.0), how=how, gradient=kind == "mlp64-gradient")
    raise ValueError(f"no problem {name!r}")


def call_of(library: str, problem: Problem) -> Callable[[], Tensor]:
    """A solve that gives the states at its end."""
    y0 = problem.y0.requires_grad_(problem.gradient)
    times = torch.tensor(problem.ts, device=y0.device)
    length = (problem.ts[1] - problem.ts[0]) / problem.how.get("steps", 1)

    def solve() -> Tensor:
        if library == "torchdiffeq":
            import torchdiffeq

            adaptive = "rtol" in problem.how
            how = {"rtol": problem.how["rtol"], "atol": problem.how["atol"]} if adaptive else {}
            options = {} if adaptive else {"step_size": length}
            solver = problem.how["solver"]
            return torchdiffeq.odeint(problem.field, y0, times, method=solver, options=options, **how)[-1]
        import odebench

        compiled = not library.startswith("eager")
        solution = odebench.solve(problem.field, y0, problem.ts, compile=compiled, **problem.how)
        return solution.y1

    if problem.gradient:
        wanted = [y0, *(problem.field.parameters() if isinstance(problem.field, nn.Module) else ())]

        def differentiate() -> Tensor:
            with torch.enable_grad():
                end = solve()
                torch.autograd.grad(end.square().sum(), wanted)
            return end.detach()

        return differentiate

    def plain() -> Tensor:
        with torch.no_grad():
            return solve()

    return plain


def prepare(library: str) -> None:
    """What makes a library the variant that its name says: "kernel", "loop", "kernel of 2 warps", "eager", "torchdiffeq"."""
    if library not in ("kernel", "loop", "eager", "torchdiffeq") and not library.startswith("kernel of "):
        raise ValueError(f"no library {library!r}")
    if library == "loop":
        from odebench.compiled import program

        program.FUSED = False
    if library.startswith("kernel"):
        _insist()
    if library.startswith("kernel of "):
        from odebench.compiled.fused import triton_programs

        warps = int(library.split()[2])
        triton_programs._Kernel.blocks = lambda _, batch: (32 * warps, -(-batch // (32 * warps)), warps)


def _insist() -> None:
    """What cannot be a kernel is an error, rather than a loop."""
    from odebench.compiled.fused import programs
    from odebench.compiled.fused.expressions import NotByRowError

    make = programs.fused

    def fused(function: Any, arguments: Any) -> Any:
        try:
            return make(function, arguments)
        except NotByRowError as reason:
            raise RuntimeError(f"no kernel: {reason}") from reason

    programs.fused = fused


def timed(call: Callable[[], Tensor], device: torch.device) -> float:
    """Milliseconds of a call."""
    if device.type != "cuda":
        before = time.perf_counter()
        call()
        return 1e3 * (time.perf_counter() - before)
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    torch.cuda.synchronize()
    start.record()
    call()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end)


def probe(device: torch.device) -> dict[str, Any]:
    """What the device is, and how fast its memory is copied."""
    size = (1 << 28) if device.type == "cuda" else (1 << 22)
    from_, to = torch.zeros(size, device=device), torch.empty(size, device=device)
    copies = sorted(timed(lambda: to.copy_(from_), device) for _ in range(12))
    told: dict[str, Any] = {"bytes_per_s": 2 * 4 * size / (copies[5] * 1e-3)}
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        capability = torch.cuda.get_device_capability(device)
        # Single-precision lanes of a multiprocessor: CUDA C++ Programming Guide, "Arithmetic Instructions".
        lanes = {(7, 0): 64, (7, 5): 64, (8, 0): 64}.get(capability, 128)
        told |= {
            "card": properties.name,
            "capability": list(capability),
            "lanes": lanes * properties.multi_processor_count,
        }
    return told


def main() -> None:
    device_name, scale, library, problem_name = sys.argv[1:]
    device = torch.device(device_name)
    if device.type == "cpu":
        torch.set_num_threads(1)
    if library == "probe":
        print(json.dumps(probe(device)), flush=True)
        return
    prepare(library)
    problem = problem_of(problem_name, device, int(scale))
    call = call_of(library, problem)
    before = time.perf_counter()
    end = call()
    found = float(end.double().square().mean().sqrt())
    first = time.perf_counter() - before
    peak = None
    if device.type == "cuda" and first < 5.0:
        torch.cuda.reset_peak_memory_stats()
        call()
        peak = torch.cuda.max_memory_allocated()
    print(json.dumps({"first_s": first, "found": found, "peak_bytes": peak}), flush=True)
    for line in sys.stdin:
        print(json.dumps([timed(call, device) for _ in range(int(line))]), flush=True)


if __name__ == "__main__":
    main()
