"""One library and one problem in a process of its own: sets up, then times as many calls as each line on its input asks for.

    python tests/benchmarks/compiled_worker.py LIBRARY PROBLEM

The first line on its output tells, as JSON, the seconds that the first call took and what it found; each further one the times of a
round, in seconds. Problems are those of `PROBLEMS`: the same fields, weights, states and tolerances in every library.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

BATCH = 256
SPAN = {"vdp": 7.63, "lv": 2.0, "mlp64": 1.0}
STEPS, TOLERANCE = 100, 1e-6
MU, LOTKA = 2.0, (1.5, 1.0, 3.0, 1.0)
PROBLEMS = {
    "vdp": "van der Pol, mu = 2, one period, dopri5 at 1e-6, one step for the batch",
    "vdp-rows": "the same, a step for each row",
    "vdp-gradient": "the same with one step for the batch, and the gradient",
    "lv": "Lotka-Volterra, RK4, 100 steps",
    "lv-gradient": "the same, and the gradient",
    "mlp64": "2-64-64-2 tanh, RK4, 100 steps",
    "mlp64-gradient": "the same, and the gradient",
}


def arrays(problem: str) -> tuple[np.ndarray, list[np.ndarray]]:
    """Initial states and parameters, float32."""
    random = np.random.default_rng(0)
    if problem.startswith("vdp"):
        return random.standard_normal((BATCH, 2)).astype("float32"), [np.float32(MU).reshape(1)]
    if problem.startswith("lv"):
        return (1.0 + random.random((BATCH, 2))).astype("float32"), [np.array(LOTKA, dtype="float32")]
    sizes = (2, 64, 64, 2)
    layers = []
    for n, m in itertools.pairwise(sizes):
        layers += [(random.standard_normal((n, m)) / np.sqrt(n)).astype("float32"), np.zeros(m, dtype="float32")]
    return random.standard_normal((BATCH, 2)).astype("float32"), layers


def formula(problem: str, numbers: Any) -> Callable[[Any, Any, list[Any]], Any]:
    """The field on arrays of `numbers`, which is torch or jax.numpy, as f(t, y, parameters); y may lack the batch."""
    stack = lambda parts: numbers.stack(parts, -1)  # noqa: E731

    def vdp(t: Any, y: Any, p: list[Any]) -> Any:
        x, v = y[..., 0], y[..., 1]
        return stack((v, p[0][0] * (1 - x * x) * v - x))

    def lv(t: Any, y: Any, p: list[Any]) -> Any:
        x, v = y[..., 0], y[..., 1]
        a, b, c, d = (p[0][n] for n in range(4))
        return stack((a * x - b * x * v, d * x * v - c * v))

    def mlp(t: Any, y: Any, p: list[Any]) -> Any:
        y = numbers.tanh(y @ p[0] + p[1])
        y = numbers.tanh(y @ p[2] + p[3])
        return y @ p[4] + p[5]

    return {"vdp": vdp, "lv": lv, "mlp64": mlp}[problem.partition("-")[0]]


def in_torch(library: str, problem: str) -> Callable[[], Any]:
    """A call that solves in torch."""
    import torch

    torch.set_num_threads(1)
    state, parameters = arrays(problem)
    kind, gradient, end = problem.partition("-")[0], problem.endswith("gradient"), SPAN[problem.partition("-")[0]]
    rule = formula(problem, torch)

    class Field(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weights = torch.nn.ParameterList([torch.nn.Parameter(torch.tensor(p)) for p in parameters])

        def forward(self, t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return rule(t, y, list(self.weights))

    field, y0 = Field(), torch.tensor(state)
    if library == "torchdiffeq":
        import torchdiffeq

        ts = torch.tensor([0.0, end])
        how = {"method": "dopri5"} if kind == "vdp" else {"method": "rk4", "options": {"step_size": end / STEPS}}
        solve = lambda y: torchdiffeq.odeint(field, y, ts, rtol=TOLERANCE, atol=TOLERANCE, **how)[-1]  # noqa: E731
    else:
        import odebench

        how = {"solver": "dopri5", "rtol": TOLERANCE} if kind == "vdp" else {"solver": "rk4", "steps": STEPS}
        how |= {"batch": "per-sample"} if problem.endswith("rows") else {}
        how |= {"gradient": "sqrt-checkpoint"} if library.endswith("two-levels") else {}
        compiled, ts = library.startswith("odebench-compiled"), (0.0, end)
        solve = lambda y: odebench.solve(field, y, ts, compile=compiled, **how).y1  # noqa: E731
        if library == "odebench-ahead":
            made = []
            steps = {key: value for key, value in how.items() if key in ("rtol", "steps")}

            def solve(y: torch.Tensor) -> torch.Tensor:
                if not made:  # within the first call, which tells what compilation takes
                    made.append(odebench.compile_solver(field, y, ts, **how))
                return made[0](y, ts, **steps).y1

    def forward() -> Any:
        with torch.no_grad():
            return solve(y0).sum().item()

    def backward() -> Any:
        y = y0.clone().requires_grad_()
        loss = solve(y).square().mean()
        gradients = torch.autograd.grad(loss, [y, *field.parameters()])
        return float(sum(g.double().abs().sum() for g in gradients))

    return backward if gradient else forward


def in_jax(problem: str) -> Callable[[], Any]:
    """A call that solves with diffrax."""
    import diffrax
    import jax
    import jax.numpy as jnp

    state, parameters = arrays(problem)
    kind, end = problem.partition("-")[0], SPAN[problem.partition("-")[0]]
    rule = formula(problem, jnp)
    y0, p0 = jnp.asarray(state), [jnp.asarray(p) for p in parameters]

    class Rk4(diffrax.AbstractERK):
        tableau = diffrax.ButcherTableau(
            c=np.array([0.5, 0.5, 1.0]),
            b_sol=np.array([1 / 6, 1 / 3, 1 / 3, 1 / 6]),
            b_error=np.zeros(4),
            a_lower=(np.array([0.5]), np.array([0.0, 0.5]), np.array([0.0, 0.0, 1.0])),
        )
        interpolation_cls = diffrax.ThirdOrderHermitePolynomialInterpolation.from_k

        def order(self, terms: Any) -> int:
            return 4

    term = diffrax.ODETerm(lambda t, y, p: rule(t, y, p))
    if kind == "vdp":
        how = {
            "solver": diffrax.Dopri5(),
            "dt0": None,
            "stepsize_controller": diffrax.PIDController(rtol=TOLERANCE, atol=TOLERANCE),
        }
    else:
        how = {"solver": Rk4(), "dt0": end / STEPS, "stepsize_controller": diffrax.ConstantStepSize()}

    def solve(y: Any, p: Any) -> Any:
        return diffrax.diffeqsolve(term, t0=0.0, t1=end, y0=y, args=p, max_steps=4096, **how).ys[-1]

    if problem.endswith("rows"):
        solve = jax.vmap(solve, in_axes=(0, None))
    if problem.endswith("gradient"):
        call = jax.jit(jax.grad(lambda y, p: (solve(y, p) ** 2).mean(), argnums=(0, 1)))
        return lambda: float(sum(np.abs(np.asarray(g, dtype="float64")).sum() for g in jax.tree.leaves(call(y0, p0))))
    call = jax.jit(lambda y, p: solve(y, p).sum())
    return lambda: float(call(y0, p0))


def rounds() -> Iterator[int]:
    """How many calls to time, again and again."""
    for line in sys.stdin:
        yield int(line)


def main() -> None:
    library, problem = sys.argv[1:]
    call = in_jax(problem) if library == "diffrax" else in_torch(library, problem)
    start = time.perf_counter()
    found = call()
    print(json.dumps({"first_s": time.perf_counter() - start, "found": found}), flush=True)
    for count in rounds():
        times = []
        for _ in range(count):
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
        print(json.dumps(times), flush=True)


if __name__ == "__main__":
    main()
