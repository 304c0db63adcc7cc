"""Steps of its own for each row: as if each row were solved alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import odebench
from odebench.api import build, solve
from odebench.contract import Tolerance
from odebench.errors import DivergedError, FieldError, GridError, IncompatibleError

RATES = torch.tensor([[0.3], [1.5], [6.0]], dtype=torch.float64)
Y0 = torch.tensor([[1.0, 0.5], [1.0, -0.5], [0.2, 0.1]], dtype=torch.float64)
ADAPTIVE = ["adaptive-heun", "fehlberg21", "bosh3", "dopri5", "tsit5", "dopri8"]
TS = (0.0, 0.31, 0.9, 1.0)


class Oscillator(nn.Module):
    """Each row turns at a rate of its own, faster as time goes."""

    accepts_batched_time = True

    def __init__(self, rates):
        super().__init__()
        self.rates = nn.Parameter(rates.clone())

    def forward(self, t, y):
        turned = torch.stack((-y[:, 1], y[:, 0]), dim=1)
        return self.rates * (1 + t) * turned - 0.1 * y**3


def by_rows(**changes):
    return Tolerance(**{"rtol": 1e-6, "atol": 1e-8, "batch": "per-sample", **changes})


@pytest.mark.parametrize("ts", [TS, (1.0, 0.9, 0.31, 0.0)])
@pytest.mark.parametrize("name", ADAPTIVE)
def test_each_row_is_solved_as_if_alone(name, ts):
    tolerance = by_rows(rtol=1e-3, atol=1e-5) if build("solver", name).order < 4 else by_rows()
    together = solve(Oscillator(RATES), Y0, ts, solver=name, grid=tolerance)
    moves = (together.grid.dt != 0).sum(0)
    assert moves[0] < moves[1] < moves[2], "slow rows take fewer steps"
    for i in range(3):
        alone = solve(
            Oscillator(RATES[i : i + 1]), Y0[i : i + 1], ts, solver=name, rtol=tolerance.rtol, atol=tolerance.atol
        )
        torch.testing.assert_close(together.ys[:, i], alone.ys[:, 0].detach(), rtol=1e-9, atol=1e-10)
        assert abs(int(moves[i]) - alone.grid.steps) <= 1


def test_the_other_rows_do_not_change_a_bit():
    changed = Y0.clone()
    changed[1:] *= 0.5
    one, other = (solve(Oscillator(RATES), y0, TS, grid=by_rows()).ys for y0 in (Y0, changed))
    assert torch.equal(one[:, 0], other[:, 0])
    assert not torch.equal(one[:, 1], other[:, 1])


@pytest.mark.parametrize("name", ADAPTIVE)
def test_the_grid_of_rows_repeats_its_solve(name):
    first = solve(Oscillator(RATES), Y0, TS, solver=name, grid=by_rows(rtol=1e-3))
    assert first.grid.per_sample and first.grid.t.shape == first.grid.dt.shape == (first.grid.steps, 3)
    again = solve(Oscillator(RATES), Y0, TS, solver=name, grid=first.grid)
    torch.testing.assert_close(first.ys, again.ys, rtol=1e-14, atol=1e-15)
    reached = (first.grid.t + first.grid.dt).amax(0)
    torch.testing.assert_close(reached, torch.ones(3, dtype=torch.float64), rtol=1e-14, atol=0)
    with pytest.raises(GridError, match="3 rows, the state has 2"):
        solve(Oscillator(RATES[:2]), Y0[:2], TS, solver=name, grid=first.grid)


@pytest.mark.parametrize("method", ["direct", "anode", "step-checkpoint"])
@pytest.mark.parametrize("name", ["bosh3", "dopri5", "dopri8"])
def test_gradients_are_those_of_the_rows_alone(name, method):
    tolerance = by_rows(rtol=1e-4, atol=1e-6)
    field, y0 = Oscillator(RATES), Y0.clone().requires_grad_()
    ys = solve(field, y0, TS, solver=name, grid=tolerance, gradient=method).ys
    weights = torch.linspace(1.0, 2.0, ys.numel(), dtype=ys.dtype).reshape(ys.shape)
    got = torch.autograd.grad((weights * ys).sum(), (y0, field.rates))
    for i in range(3):
        row, state = Oscillator(RATES[i : i + 1]), Y0[i : i + 1].clone().requires_grad_()
        alone = solve(row, state, TS, solver=name, rtol=1e-4, atol=1e-6).ys
        expected = torch.autograd.grad((weights[:, i : i + 1] * alone).sum(), (state, row.rates))
        for g, e in zip(got, expected, strict=True):
            torch.testing.assert_close(g[i : i + 1], e, rtol=1e-4, atol=1e-7)
    values = []
    grid = solve(field, Y0, TS, solver=name, grid=tolerance).grid
    for h in (1e-6, -1e-6):
        shifted = solve(Oscillator(RATES + h), Y0 + h, TS, solver=name, grid=grid).ys.detach()
        values.append((weights * shifted).sum().item())
    assert (got[0].sum() + got[1].sum()).item() == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-6)


def test_rejections_of_one_row_leave_the_others_alone():
    solution = solve(Oscillator(RATES), Y0, TS, grid=by_rows(first_step=0.5))
    assert solution.stats.rejected > 0
    alone = solve(Oscillator(RATES[:1]), Y0[:1], TS, grid=Tolerance(rtol=1e-6, atol=1e-8, first_step=0.5))
    torch.testing.assert_close(solution.ys[:, 0], alone.ys[:, 0], rtol=1e-9, atol=1e-10)


def test_tuple_states_keep_their_rows_apart():
    def field(t, state):
        y, z = state
        return -RATES * y, torch.cos(RATES)[..., None] * z * y.mean(1)[:, None, None]

    z0 = torch.ones(3, 2, 2, dtype=torch.float64)
    together = solve(field, (Y0, z0), TS, grid=by_rows()).ys
    assert [y.shape for y in together] == [(4, 3, 2), (4, 3, 2, 2)]
    for part, whole in zip(together, solve(field, (Y0, z0), TS, rtol=1e-10, atol=1e-10).ys, strict=True):
        torch.testing.assert_close(part, whole, rtol=1e-5, atol=1e-6)
    with pytest.raises(FieldError, match="one batch size"):
        solve(field, (Y0, z0[:2]), TS, grid=by_rows())


def test_what_stands_in_the_way_is_named():
    with pytest.raises(IncompatibleError, match="does not say that it takes one time for each row"):
        solve(lambda t, y: -t * y, Y0, TS, grid=by_rows())
    solve(lambda t, y: -y, Y0, TS, grid=by_rows())
    with pytest.raises(IncompatibleError, match="'kvaerno3' cannot give each row its own steps"):
        solve(lambda t, y: -y, Y0, TS, solver="kvaerno3", grid=by_rows())
    with pytest.raises(GridError, match="must be 'joint' or 'per-sample'"):
        solve(lambda t, y: -y, Y0, TS, rtol=1e-3, batch="each")
    blows_up = torch.tensor([[0.1], [1.0]], dtype=torch.float64)
    with pytest.raises(DivergedError, match=r"in row 1 at t = (0\.99|1\.0)"):
        solve(lambda t, y: y * y, blows_up, (0.0, 2.0), grid=by_rows(max_steps=3000))
    for bad in (float("nan"), float("inf")):
        with pytest.raises((DivergedError, IncompatibleError)):
            solve(lambda t, y, bad=bad: y * bad, blows_up, (0.0, 2.0), grid=by_rows(max_steps=3000))


@pytest.mark.parametrize("shape", [(0, 2), (1, 2), (1,), (2, 1, 2)], ids=str)
def test_batch_sizes(shape):
    y0 = torch.ones(shape, dtype=torch.float64)
    ys = odebench.solve(lambda t, y: -y, y0, (0.0, 1.0), rtol=1e-8, batch="per-sample").ys
    assert ys.shape == (2, *shape)
    torch.testing.assert_close(ys[-1], y0 * 0.36787944117144233, rtol=1e-7, atol=0)
