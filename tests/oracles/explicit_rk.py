"""A slow, plain explicit Runge-Kutta integration on a given grid, to hold the library against.

It shares no code with the library: coefficients are typed again as Python floats, from other sources where there are
any, and a step is written as in a textbook. Float64, differentiable by plain autograd, as slow as it looks.

Sources of the coefficients: bosh3 and dopri5 from SciPy (`scipy.integrate.RK23`, `RK45`); tsit5 as printed with a full
first column by OrdinaryDiffEq.jl; dopri8 from the Fortran and C++ codes that print RK8(7)13M without a 14th stage;
fehlberg21, heun3 and rk38 from torchdiffeq 0.2.5; the others from Hairer, Nørsett, Wanner, "Solving ODEs I".
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

# name: (c, a, b), with the rows of `a` as long as they need to be
METHODS: dict[str, tuple[list[float], list[list[float]], list[float]]] = {
    "euler": ([0], [[]], [1]),
    "midpoint": ([0, 0.5], [[], [0.5]], [0, 1]),
    "heun": ([0, 1], [[], [1]], [0.5, 0.5]),
    "adaptive-heun": ([0, 1], [[], [1]], [0.5, 0.5]),
    "ralston": ([0, 2 / 3], [[], [2 / 3]], [0.25, 0.75]),
    "heun3": ([0, 1 / 3, 2 / 3], [[], [1 / 3], [0, 2 / 3]], [1 / 4, 0, 3 / 4]),
    "ssprk3": ([0, 1, 0.5], [[], [1], [0.25, 0.25]], [1 / 6, 1 / 6, 2 / 3]),
    "rk4": ([0, 0.5, 0.5, 1], [[], [0.5], [0, 0.5], [0, 0, 1]], [1 / 6, 1 / 3, 1 / 3, 1 / 6]),
    "rk38": ([0, 1 / 3, 2 / 3, 1], [[], [1 / 3], [-1 / 3, 1], [1, -1, 1]], [0.125, 0.375, 0.375, 0.125]),
    "fehlberg21": ([0, 0.5, 1], [[], [0.5], [1 / 256, 255 / 256]], [1 / 512, 255 / 256, 1 / 512]),
    "bosh3": ([0, 1 / 2, 3 / 4], [[], [1 / 2], [0, 3 / 4]], [2 / 9, 1 / 3, 4 / 9]),
    "dopri5": (
        [0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1],
        [
            [],
            [1 / 5],
            [3 / 40, 9 / 40],
            [44 / 45, -56 / 15, 32 / 9],
            [19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729],
            [9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656],
        ],
        [35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84],
    ),
    "tsit5": (
        [0, 0.161, 0.327, 0.9, 0.9800255409045097, 1],
        [
            [],
            [0.161],
            [-0.008480655492356989, 0.335480655492357],
            [2.8971530571054935, -6.359448489975075, 4.3622954328695815],
            [5.325864828439257, -11.748883564062828, 7.4955393428898365, -0.09249506636175525],
            [5.86145544294642, -12.92096931784711, 8.159367898576159, -0.071584973281401, -0.028269050394068383],
        ],
        [0.09646076681806523, 0.01, 0.4798896504144996, 1.379008574103742, -3.290069515436081, 2.324710524099774],
    ),
    "dopri8": (
        [0, 1 / 18, 1 / 12, 1 / 8, 5 / 16, 3 / 8, 59 / 400, 93 / 200, 5490023248 / 9719169821, 13 / 20]
        + [1201146811 / 1299019798, 1, 1],
        [
            [],
            [1 / 18],
            [1 / 48, 1 / 16],
            [1 / 32, 0, 3 / 32],
            [5 / 16, 0, -75 / 64, 75 / 64],
            [3 / 80, 0, 0, 3 / 16, 3 / 20],
            [29443841 / 614563906, 0, 0, 77736538 / 692538347, -28693883 / 1125000000, 23124283 / 1800000000],
            [16016141 / 946692911, 0, 0, 61564180 / 158732637, 22789713 / 633445777, 545815736 / 2771057229]
            + [-180193667 / 1043307555],
            [39632708 / 573591083, 0, 0, -433636366 / 683701615, -421739975 / 2616292301, 100302831 / 723423059]
            + [790204164 / 839813087, 800635310 / 3783071287],
            [246121993 / 1340847787, 0, 0, -37695042795 / 15268766246, -309121744 / 1061227803]
            + [-12992083 / 490766935, 6005943493 / 2108947869, 393006217 / 1396673457, 123872331 / 1001029789],
            [-1028468189 / 846180014, 0, 0, 8478235783 / 508512852, 1311729495 / 1432422823]
            + [-10304129995 / 1701304382, -48777925059 / 3047939560, 15336726248 / 1032824649]
            + [-45442868181 / 3398467696, 3065993473 / 597172653],
            [185892177 / 718116043, 0, 0, -3185094517 / 667107341, -477755414 / 1098053517, -703635378 / 230739211]
            + [5731566787 / 1027545527, 5232866602 / 850066563, -4093664535 / 808688257, 3962137247 / 1805957418]
            + [65686358 / 487910083],
            [403863854 / 491063109, 0, 0, -5068492393 / 434740067, -411421997 / 543043805, 652783627 / 914296604]
            + [11173962825 / 925320556, -13158990841 / 6184727034, 3936647629 / 1978049680]
            + [-160528059 / 685178525, 248638103 / 1413531060, 0],
        ],
        [14005451 / 335480064, 0, 0, 0, 0, -59238493 / 1068277825, 181606767 / 758867731, 561292985 / 797845732]
        + [-1041891430 / 1371343529, 760417239 / 1151165299, 118820643 / 751138087, -528747749 / 2220607170, 1 / 4],
    ),
}


def step(field: Callable[[float, Tensor], Tensor], t: float, dt: float, y: Tensor, method: str) -> Tensor:
    """One step of `method`, a key of `METHODS`, from `y` at `t`; both times in the problem's unit, dt signed."""
    c, a, b = METHODS[method]
    slopes: list[Tensor] = []
    for node, row in zip(c, a, strict=True):
        argument = y
        for coefficient, slope in zip(row, slopes, strict=True):
            argument = argument + dt * coefficient * slope
        slopes.append(field(t + node * dt, argument))
    for weight, slope in zip(b, slopes, strict=True):
        y = y + dt * weight * slope
    return y


def integrate(
    field: Callable[[float, Tensor], Tensor], y0: Tensor, grid: Iterable[tuple[float, float]], method: str
) -> Tensor:
    """The states at the start and after each step, shape `(steps + 1, *y0.shape)`.

    Args:
        field: dy/dt, called as `field(t, y)` with a float t; c has as many entries as it is called in a step.
        y0: initial state, float64 of any shape.
        grid: pairs (t, dt): where a step starts and its signed length.
        method: a key of `METHODS`.
    """
    states = [y0]
    for t, dt in grid:
        states.append(step(field, t, dt, states[-1], method))
    return torch.stack(states)


def uniform_grid(t0: float, t1: float, steps: int) -> list[tuple[float, float]]:
    """`steps` equal steps from t0 to t1, each start computed from t0 so that rounding does not add up."""
    dt = (t1 - t0) / steps
    return [(t0 + n * dt, dt) for n in range(steps)]
