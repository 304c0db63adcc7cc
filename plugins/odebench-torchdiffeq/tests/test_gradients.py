"""Gradients: torchdiffeq's own, and odebench's on torchdiffeq's solvers."""

from __future__ import annotations

import pytest
import torch
import torchdiffeq
from torch import nn

import odebench
import odebench_torchdiffeq
from odebench import api
from odebench.errors import DivergedError, IncompatibleError

SOLVERS: dict[str, type] = {}
odebench_torchdiffeq.odebench_register_solvers(lambda solver: SOLVERS.setdefault(solver.method, solver))
METHODS: dict[str, type] = {}
odebench_torchdiffeq.odebench_register_gradients(lambda method: METHODS.setdefault(method.name, method))

TIMES = {"rising": [0.0, 0.4, 1.0], "falling": [1.0, 0.3, -0.2]}
TOLERANCE = odebench.Tolerance(rtol=1e-5, atol=1e-5)
STEPS = odebench.StepSize(steps=20)
both_directions = pytest.mark.parametrize("ts", TIMES.values(), ids=TIMES)


class Network(nn.Module):
    """A small field that depends on time."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        draw = lambda *shape: nn.Parameter(torch.randn(*shape, generator=generator, dtype=torch.float64))  # noqa: E731
        self.first, self.second, self.bias, self.unused = draw(3, 8), draw(8, 3), draw(8), draw(2)

    def forward(self, t, y):
        return torch.tanh(y @ self.first + t * self.bias) @ self.second


class Pair(Network):
    """The same on a tuple of tensors."""

    def forward(self, t, state):
        y, z = state
        return super().forward(t, y) * z, -z.sin() * y.mean()


class Opaque:
    """All that a measured solver sees of a field."""

    def __init__(self, field):
        self._call = field.__call__
        self._parameters = tuple(field.parameters())

    def __call__(self, t, y):
        return self._call(t, y)

    def parameters(self):
        return iter(self._parameters)


def start(field):
    generator = torch.Generator().manual_seed(5)
    y0 = torch.randn(4, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    if isinstance(field, Pair):
        return (y0, torch.rand(1, 1, generator=generator, dtype=torch.float64, requires_grad=True))
    return y0


def gradients_of(ys, field, y0):
    """d loss / d y0 and all parameters, the loss being one of all outputs; zeros for what is not used."""
    ys = ys if isinstance(ys, tuple) else (ys,)
    weight = torch.linspace(1.0, 2.0, len(ys[0]), dtype=torch.float64)
    loss = sum((weight[:, None, None] * y.reshape(len(weight), -1, 1).cos()).sum() for y in ys)
    wanted = (*(y0 if isinstance(y0, tuple) else (y0,)), *field.parameters())
    found = torch.autograd.grad(loss, wanted, allow_unused=True)
    return torch.cat(
        [torch.zeros_like(w).reshape(-1) if g is None else g.reshape(-1) for g, w in zip(found, wanted, strict=True)]
    )


def ours(gradient, solver, field, ts, grid):
    y0 = start(field)
    solution = gradient.solve(solver, Opaque(field), y0, ts, grid)
    return gradients_of(solution.ys, field, y0), solution


def theirs(function, method, field, ts, **arguments):
    y0 = start(field)
    return gradients_of(
        function(field, y0, torch.tensor(ts, dtype=torch.float64), method=method, **arguments), field, y0
    )


def off(got, expected):
    return ((got - expected).norm() / expected.norm()).item()


@both_directions
@pytest.mark.parametrize("field", [Network, Pair])
@pytest.mark.parametrize("method", ["dopri5", "bosh3", "adaptive_heun"])
def test_direct_is_torchdiffeqs_to_the_last_bit(method, field, ts):
    field = field()
    got, _ = ours(METHODS["torchdiffeq/direct"](), SOLVERS[method](), field, ts, TOLERANCE)
    expected = theirs(torchdiffeq.odeint, method, field, ts, rtol=1e-5, atol=1e-5)
    assert torch.equal(got, expected)


@both_directions
@pytest.mark.parametrize("field", [Network, Pair])
@pytest.mark.parametrize("method", ["rk4", "midpoint"])
@pytest.mark.parametrize(
    ("name", "function"), [("direct", torchdiffeq.odeint), ("adjoint", torchdiffeq.odeint_adjoint)]
)
def test_fixed_steps(name, function, method, field, ts):
    """The backward solve of the adjoint takes the forward one's steps, in falling time too."""
    field = field()
    got, solution = ours(
        METHODS[f"torchdiffeq/{name}"](), SOLVERS[method](), field, ts, odebench.StepSize(step_size=0.1)
    )
    expected = theirs(function, method, field, ts, options={"step_size": 0.1})
    assert off(got, expected) < 1e-13
    stages = SOLVERS[method].stages
    assert solution.stats.evaluations_forward == stages * solution.grid.steps
    assert solution.stats.evaluations_backward == (stages * solution.grid.steps if name == "adjoint" else 0)


@both_directions
@pytest.mark.parametrize("field", [Network, Pair])
@pytest.mark.parametrize("method", ["dopri5", "bosh3"])
@pytest.mark.parametrize(("name", "options"), [("adjoint", None), ("adjoint-seminorm", {"norm": "seminorm"})])
def test_adjoints_are_torchdiffeqs_to_the_last_bit(name, options, method, field, ts):
    field = field()
    got, solution = ours(METHODS[f"torchdiffeq/{name}"](), SOLVERS[method](), field, ts, TOLERANCE)
    expected = theirs(torchdiffeq.odeint_adjoint, method, field, ts, rtol=1e-5, atol=1e-5, adjoint_options=options)
    assert torch.equal(got, expected)
    assert solution.grid is not None
    assert solution.stats.evaluations_backward > 0


def test_the_seminorm_needs_fewer_evaluations():
    counts = []
    for name in ("adjoint", "adjoint-seminorm"):
        _, solution = ours(METHODS[f"torchdiffeq/{name}"](), SOLVERS["dopri5"](), Network(), TIMES["rising"], TOLERANCE)
        counts.append(solution.stats.evaluations_backward)
    assert counts[1] < counts[0]


def test_tolerances_of_the_backward():
    field = Network()
    method = METHODS["torchdiffeq/adjoint"](rtol=1e-9, atol=1e-9)
    got, _ = ours(method, SOLVERS["dopri5"](), field, TIMES["rising"], TOLERANCE)
    expected = theirs(
        torchdiffeq.odeint_adjoint,
        "dopri5",
        field,
        TIMES["rising"],
        rtol=1e-5,
        atol=1e-5,
        adjoint_rtol=1e-9,
        adjoint_atol=1e-9,
    )
    assert torch.equal(got, expected)


@both_directions
@pytest.mark.parametrize("field", [Network, Pair])
@pytest.mark.parametrize("method", ["dopri5", "adaptive_heun", "rk4"])
def test_the_adjoint_follows_a_grid_that_is_given(method, field, ts):
    """On ever finer grids it comes to the exact gradient; it takes as many steps backward as forward."""
    field = field()
    exact, _ = ours(
        api.build("gradient", "direct"),
        api.build("solver", "dopri8"),
        field,
        ts,
        odebench.Tolerance(rtol=1e-12, atol=1e-12),
    )
    errors = []
    for steps in (12, 24, 48):
        grid = odebench.StepSize(steps=steps)
        got, solution = ours(METHODS["torchdiffeq/adjoint"](), SOLVERS[method](), field, ts, grid)
        errors.append(off(got, exact))
        assert solution.stats.evaluations_backward <= solution.stats.evaluations_forward + 20
    assert errors[2] < 0.4 * errors[1] < 0.2 * errors[0] or errors[2] < 1e-7


@both_directions
@pytest.mark.parametrize("field", [Network, Pair])
@pytest.mark.parametrize("gradient", ["direct", "anode"])
@pytest.mark.parametrize("method", ["dopri5", "adaptive_heun", "fehlberg2", "bosh3", "rk4", "heun3", "explicit_adams"])
def test_odebenchs_exact_methods_give_the_gradient_of_the_accepted_steps(method, gradient, field, ts):
    """The steps are constants: the gradient is that of a repetition on the grid that was returned."""
    field, solver = field(), SOLVERS[method]()
    request = TOLERANCE if solver.adaptive else odebench.StepSize(steps=12)
    got, solution = ours(api.build("gradient", gradient), solver, field, ts, request)
    expected, _ = ours(api.build("gradient", "direct"), solver, field, ts, solution.grid)
    assert off(got, expected) < 1e-12


def test_torchdiffeqs_direct_differentiates_the_first_step():
    """Which is why it says that it is not exact for the discretisation."""
    field, solver = Network(), SOLVERS["dopri5"]()
    loose = odebench.Tolerance(rtol=1e-3, atol=1e-3)
    got, solution = ours(METHODS["torchdiffeq/direct"](), solver, field, TIMES["rising"], loose)
    constant, again = ours(api.build("gradient", "direct"), solver, field, TIMES["rising"], loose)
    assert torch.equal(solution.ys, again.ys)
    assert 1e-6 < off(got, constant) < 1e-2
    assert not METHODS["torchdiffeq/direct"].exact_for_discretisation


@both_directions
@pytest.mark.parametrize(("method", "grid"), [("dopri5", TOLERANCE), ("rk4", STEPS), ("scipy_solver", TOLERANCE)])
def test_odebenchs_continuous_adjoint_works_on_torchdiffeqs_solvers(method, grid, ts):
    field = Network()
    got, _ = ours(api.build("gradient", "continuous-adjoint"), SOLVERS[method](), field, ts, grid)
    exact, _ = ours(
        api.build("gradient", "direct"),
        api.build("solver", "dopri5"),
        field,
        ts,
        odebench.Tolerance(rtol=1e-10, atol=1e-10),
    )
    assert off(got, exact) < 1e-3


def test_the_adjoint_works_through_scipy():
    field = Network()
    got, _ = ours(METHODS["torchdiffeq/adjoint"](), SOLVERS["scipy_solver"](), field, TIMES["rising"], TOLERANCE)
    expected = theirs(torchdiffeq.odeint_adjoint, "scipy_solver", field, TIMES["rising"], rtol=1e-5, atol=1e-5)
    assert off(got, expected) < 1e-13


@pytest.mark.parametrize("name", METHODS)
def test_foreign_solvers_are_refused_in_words(name):
    reason = METHODS[name]().supports(api.build("solver", "dopri5"))
    assert "solves with its own methods" in reason
    assert "'dopri5'" in reason


def test_what_a_solver_cannot_do_is_refused_in_words():
    scipy, rk4 = SOLVERS["scipy_solver"](), SOLVERS["rk4"]()
    assert "autograd" in METHODS["torchdiffeq/direct"]().supports(scipy)
    assert METHODS["torchdiffeq/adjoint"]().supports(scipy) is None
    assert "no error norm" in METHODS["torchdiffeq/adjoint-seminorm"]().supports(scipy)
    assert "no error norm" in METHODS["torchdiffeq/adjoint-seminorm"]().supports(rk4)
    assert METHODS["torchdiffeq/adjoint-seminorm"]().supports(SOLVERS["bosh3"]()) is None
    assert "autograd" in api.build("gradient", "direct").supports(scipy)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("declare", [True, False])
def test_inputs_get_their_gradients_or_are_missed_in_words(name, declare):
    context = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1), requires_grad=True)
    encoded = torch.sin(context)
    y0 = torch.ones(4, 3, dtype=torch.float64)
    field = lambda t, y: torch.sin(y) * encoded  # noqa: E731
    inputs = (encoded,) if declare else ()
    ys = METHODS[name]().solve(SOLVERS["dopri5"](), field, y0, [0.0, 1.0], TOLERANCE, inputs).ys
    if not declare and name != "torchdiffeq/direct":
        assert not ys.requires_grad  # nothing was declared that requires a gradient
        shared = nn.Parameter(torch.ones((), dtype=torch.float64))
        ys = (
            METHODS[name]()
            .solve(SOLVERS["dopri5"](), lambda t, y: field(t, y) * shared, y0, [0.0, 1.0], TOLERANCE, (shared,))
            .ys
        )
        with pytest.raises(IncompatibleError, match="does not own"):
            ys[-1].sum().backward()
        return
    expected = odebench.solve(field, y0, [0.0, 1.0], rtol=1e-10, atol=1e-10).y1
    (expected,) = torch.autograd.grad(expected.sum(), context, retain_graph=True)
    ys[-1].sum().backward()
    assert off(context.grad, expected) < 1e-4


def test_a_backward_that_cannot_go_on_is_divergence():
    """Not torchdiffeq's assertion. All solutions come from a singularity, which the backward solve meets on its way."""
    y0 = torch.full((2,), 1e6, dtype=torch.float64, requires_grad=True)
    loose = odebench.Tolerance(rtol=1e-3, atol=1e-3)
    ys = METHODS["torchdiffeq/adjoint"]().solve(SOLVERS["dopri5"](), lambda t, y: -(y**3), y0, [0.0, 1.0], loose).ys
    with pytest.raises(DivergedError, match="step size fell to"):
        ys[-1].sum().backward()


def test_nan_in_a_backward_passes_torchdiffeqs_norm():
    """Python's `max` overlooks it, so that the step is accepted; the docstring of the adjoint says so."""
    y0 = torch.ones(2, dtype=torch.float64, requires_grad=True)
    factor = [1.0]
    field = lambda t, y: -y * factor[0]  # noqa: E731
    ys = METHODS["torchdiffeq/adjoint"]().solve(SOLVERS["dopri5"](), field, y0, [0.0, 1.0], TOLERANCE).ys
    factor[0] = float("nan")
    with pytest.raises(AssertionError, match="non-finite values"):
        ys[-1].sum().backward()


def test_the_most_steps_count_in_the_backward_too():
    """A decay is easy forward; backward it grows, and its adjoint must follow."""
    y0 = torch.ones(2, dtype=torch.float64, requires_grad=True)
    rate = nn.Parameter(torch.tensor(40.0, dtype=torch.float64))
    field = lambda t, y: -rate * (y - torch.cos(t))  # noqa: E731
    adjoint, solver = METHODS["torchdiffeq/adjoint"](rtol=1e-10, atol=1e-10), SOLVERS["dopri5"]()
    few = odebench.Tolerance(rtol=1e-3, atol=1e-3, max_steps=60)
    ys = adjoint.solve(solver, field, y0, [0.0, 1.0], few, (rate,)).ys
    with pytest.raises(DivergedError, match="60 steps were not enough"):
        ys[-1].sum().backward()


def test_unused_parameters_get_zeros():
    field = Network()
    y0 = start(field)
    ys = METHODS["torchdiffeq/adjoint"]().solve(SOLVERS["rk4"](), Opaque(field), y0, [0.0, 1.0], STEPS).ys
    ys.sum().backward()
    assert torch.equal(field.unused.grad, torch.zeros(2, dtype=torch.float64))


RATE = 0.7


def gradient_of_growth(method, solver, grid, ts=(0.0, 1.0)):
    """d y(end) / d y0 of y' = y · RATE."""
    y0 = torch.ones(1, 1, dtype=torch.float64, requires_grad=True)
    solution = method.solve(solver, lambda t, y: RATE * y, y0, list(ts), grid)
    return torch.autograd.grad(solution.ys[-1].sum(), y0)[0].item()


@pytest.mark.parametrize("ts", [(0.0, 1.0), (1.0, 0.0)], ids=["rising", "falling"])
def test_the_way_back_can_take_another_method_over_the_same_steps(ts):
    """Of Euler's method in 4 steps: (1 + h RATE)⁴, whatever the forward method is."""
    adjoint = METHODS["torchdiffeq/adjoint"](method="euler")
    expected = (1.0 + 0.25 * RATE * (ts[1] - ts[0])) ** 4
    for solver in (SOLVERS["rk4"](), SOLVERS["dopri5"]()):
        got = gradient_of_growth(adjoint, solver, odebench.StepSize(steps=4), ts)
        assert got == pytest.approx(expected, rel=1e-13)


def test_the_way_back_can_take_a_pair_with_tolerances_of_its_own():
    """Euler's method forward in 4 steps, and still the gradient of the continuous equation, which does not ask for the states."""
    exact = torch.exp(torch.tensor(RATE, dtype=torch.float64)).item()
    for name in ("torchdiffeq/adjoint", "torchdiffeq/adjoint-seminorm"):
        adjoint = METHODS[name](method="dopri5", rtol=1e-11, atol=1e-11)
        assert adjoint.supports(SOLVERS["euler"]()) is None
        got = gradient_of_growth(adjoint, SOLVERS["euler"](), odebench.StepSize(steps=4))
        assert got == pytest.approx(exact, rel=1e-9)
        assert gradient_of_growth(adjoint, SOLVERS["bosh3"](), TOLERANCE) == pytest.approx(exact, rel=1e-9)


def test_a_way_back_that_cannot_be_is_refused_in_words():
    with pytest.raises(IncompatibleError, match="must be one of adaptive_heun, bosh3"):
        METHODS["torchdiffeq/adjoint"](method="tsit5")
    with pytest.raises(IncompatibleError, match="there is none. Give it rtol and atol"):
        gradient_of_growth(METHODS["torchdiffeq/adjoint"](method="bosh3"), SOLVERS["rk4"](), STEPS)
    with pytest.raises(IncompatibleError, match="takes fixed steps, and none are given"):
        gradient_of_growth(METHODS["torchdiffeq/adjoint"](method="rk4"), SOLVERS["dopri5"](), TOLERANCE)
    assert "no error norm" in METHODS["torchdiffeq/adjoint-seminorm"](method="rk4").supports(SOLVERS["rk4"]())
