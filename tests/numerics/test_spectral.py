"""The spectral step, against Fourier solutions written down by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from odebench.errors import IncompatibleError
from odebench.numerics.spectral import spectral_rate, spectral_step

D, V, R = 0.07, (0.4, -0.9), -0.3


def points(n: int) -> np.ndarray:
    return 2.0 * math.pi * np.arange(n) / n


def waves(x: np.ndarray, t: float, terms, d=D, v=V[0], r=R) -> np.ndarray:
    """Σ A exp((r - d k²) t) cos(k (x + v t) + φ): each term solves w' = d w'' + v w' + r w."""
    return sum(a * math.exp((r - d * k * k) * t) * np.cos(k * (x + v * t) + phase) for a, k, phase in terms)


@pytest.mark.parametrize("n", [1, 2, 3, 7, 8, 16, 17])
@pytest.mark.parametrize("t", [0.0, 0.37, 2.0])
def test_a_trigonometric_polynomial_is_moved_exactly(n, t):
    terms = [(1.3 / (k + 1), k, 0.4 * k + 0.1) for k in range((n - 1) // 2 + 1)]
    w = torch.from_numpy(waves(points(n), 0.0, terms))
    expected = torch.from_numpy(waves(points(n), t, terms))
    got = spectral_step(w, (0,), D, (V[0],), R, t)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("n", [2, 8, 16])
def test_the_wave_that_an_even_grid_cannot_tell_the_sign_of_decays_in_place(n):
    w = torch.from_numpy(np.cos(n // 2 * points(n)))
    got = spectral_step(w, (0,), D, (V[0],), R, 0.37)
    torch.testing.assert_close(got, w * math.exp((R - D * (n // 2) ** 2) * 0.37), rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", [(5, 8), (8, 5), (8, 16), (3, 3), (4, 3, 3), (2, 3, 7, 6)])
def test_two_axes_are_moved_exactly_and_the_others_are_left_apart(shape):
    rows, columns = shape[-2:]
    x, y = np.meshgrid(points(rows), points(columns), indexing="ij")
    modes = [(p, q) for p in range((rows - 1) // 2 + 1) for q in range(-((columns - 1) // 2), (columns - 1) // 2 + 1)]
    t, count = 0.8, int(np.prod(shape[:-2]))
    start, end = np.zeros((2, count, rows, columns))
    for field in range(count):
        for index, (p, q) in enumerate(modes):
            amplitude, phase = math.sin(1.0 + index + 3.0 * field), 0.3 * index
            start[field] += amplitude * np.cos(p * x + q * y + phase)
            factor = math.exp((R - D * (p * p + q * q)) * t)
            end[field] += amplitude * factor * np.cos(p * (x + V[0] * t) + q * (y + V[1] * t) + phase)
    got = spectral_step(torch.from_numpy(start).reshape(shape), (-2, -1), D, V, R, t)
    torch.testing.assert_close(got, torch.from_numpy(end).reshape(shape), rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", [(7,), (8,), (16,), (5, 8), (8, 8), (3, 3), (4, 2, 5)])
def test_two_steps_are_one_of_twice_the_length(shape):
    w = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    axes = tuple(range(len(shape)))
    once = lambda w, dt: spectral_step(w, axes, D, (0.4, -0.9, 1.7)[: len(axes)], R, dt)  # noqa: E731
    difference = (once(once(w, 0.31), 0.31) - once(w, 0.62)).norm() / w.norm()
    assert difference < 2e-15


def test_without_coefficients_nothing_changes_but_the_last_bit():
    w = torch.randn(6, 5, 4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    got = spectral_step(w, (-2, -1), 0.0, (0.0, 0.0), 0.0, 1.0)
    assert (got - w).abs().max() < 1e-14 * w.abs().max()


def test_the_rate_is_the_derivative_of_the_step():
    w = torch.randn(5, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ahead, behind = (spectral_step(w, (0, 1), D, V, R, sign * 1e-4) for sign in (1, -1))
    torch.testing.assert_close(spectral_rate(w, (0, 1), D, V, R), (ahead - behind) / 2e-4, rtol=0, atol=1e-6)


def test_every_coefficient_and_the_weights_have_the_gradient_of_finite_differences():
    generator = torch.Generator().manual_seed(0)
    leaves = [torch.randn(3, 4, generator=generator, dtype=torch.float64)]
    leaves += [torch.tensor(v, dtype=torch.float64) for v in ([D], [*V], [R], [0.6])]

    def step(w, d, v, r, dt):
        return spectral_step(w, (0, 1), d[0], v, r[0], dt[0])

    assert torch.autograd.gradcheck(step, [leaf.requires_grad_() for leaf in leaves])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_lower_precisions_are_kept_and_half_types_are_computed_in_float32(dtype):
    w = torch.randn(4, 5, generator=torch.Generator().manual_seed(0)).to(dtype)
    got = spectral_step(w, (0, 1), D, V, R, 0.5)
    expected = spectral_step(w.double(), (0, 1), D, V, R, 0.5)
    assert got.dtype == dtype
    assert (got.double() - expected).abs().max() < 4 * torch.finfo(dtype).eps * expected.abs().max()


@pytest.mark.parametrize(
    ("w", "axes", "advection", "said"),
    [
        (torch.zeros(3), (-2, -1), (0.0, 0.0), r"shape \(3,\), and the axes \(-2, -1\)"),
        (torch.zeros(3, 3), (0, -2), (0.0, 0.0), "each of them once"),
        (torch.zeros(3, 3), (), (), "at least one"),
        (torch.zeros(3, 3), (0,), (0.0, 0.0), "1 axes and 2 advection"),
        (torch.zeros(3, dtype=torch.complex64), (0,), (0.0,), "needs real"),
    ],
)
def test_what_it_cannot_take_is_refused(w, axes, advection, said):
    with pytest.raises(IncompatibleError, match=said):
        spectral_step(w, axes, D, advection, R, 0.1)
