"""Three minima: in which valley does a particle come to rest?"""

from __future__ import annotations

import numpy as np
import torch
from numpy.polynomial import Polynomial
from scipy.integrate import solve_ivp

from odebench.contract import Examples
from odebench.data.dataset import DataError, Dataset, Part
from odebench.data.streams import check_count, stream, uniform

SLOPE = Polynomial((-0.192, 0.176, 2.364, -0.768, -2.5, 1.2))
"""V', the slope of the potential, by rising powers of x."""

FRICTION = 0.2
TIME = 100.0
"""When the particle is looked at. Friction has taken e^-20 of its energy by then."""

_TOLERANCE = 1e-9


def three_minima(seed: int, *, train: int = 2000, test: int = 1000) -> Dataset:
    """Places and velocities of a damped particle x'' = -V'(x) - x'/5; the class is the minimum of V near which it ends.

    x is uniform in [-1, 2], v in [-2, 2]. V has minima near -0.850, 0.269 and 1.839: classes 0, 1 and 2, each of about a
    third of the examples. Labels come from an adaptive solve of order 8 up to t = 100. Inputs `(examples, 1, 2)`.

    Source: data set ThreeMinima of https://github.com/boschresearch/numerics_independent_neural_odes.

    Args:
        seed: of both parts.
        train, test: number of examples.

    Raises:
        DataError: a parameter is no such number.
    """
    counts = {"train": check_count("train", train), "test": check_count("test", test)}

    def make(part: Part) -> Examples:
        generator = stream("three-minima", part, seed)
        low, high = torch.tensor(((-1.0, -2.0), (2.0, 2.0)), dtype=torch.float64)
        states = low + (high - low) * uniform(generator, counts[part], 1, 2)
        return Examples(inputs=states, targets=torch.from_numpy(valleys(states[:, 0].numpy())))

    return Dataset(name="three-minima", shape=(1, 2), classes=3, make=make)


def valleys(states: np.ndarray) -> np.ndarray:
    """The minimum, 0, 1 or 2 from left to right, near which each (x, v) of `(particles, 2)` ends; int64 `(particles,)`.

    Raises:
        DataError: the solve failed, for states far from where the particles of the data start.
    """

    def motion(_: float, both: np.ndarray) -> np.ndarray:
        x, v = both.reshape(2, -1)
        return np.concatenate((v, -SLOPE(x) - FRICTION * v))

    solved = solve_ivp(
        motion, (0.0, TIME), states.T.reshape(-1), method="DOP853", rtol=_TOLERANCE, atol=_TOLERANCE, t_eval=(TIME,)
    )
    if not solved.success:
        raise DataError(f"three-minima: the particles' paths could not be computed: {solved.message}")
    # Between two minima lies a maximum: the roots of V' are, from left to right, minimum, maximum, minimum, ….
    maxima = np.sort(SLOPE.roots().real)[1::2]
    return np.searchsorted(maxima, solved.y[: len(states), -1]).astype(np.int64)
