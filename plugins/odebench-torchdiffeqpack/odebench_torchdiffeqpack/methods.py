"""TorchDiffEqPack's methods."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from odebench_torchdiffeqpack.solver import PlainSolver, TorchDiffEqPackSolver
from odebench_torchdiffeqpack.watched_field import WatchedField

_EMPTY = {"check_empty_states": "IndexError: the device is asked of the first row"}
_REPEATED = "float32 times: a grid is repeated to "
_ANEW = {"check_output_times": "the velocity begins anew at each output time: 5.7e-4 at 8 steps"}


class Euler(TorchDiffEqPackSolver):
    """Euler's method, order 1; 1 stage."""

    name: ClassVar[str] = "torchdiffeqpack/euler"
    known_failures: ClassVar[dict[str, str]] = _EMPTY
    method: ClassVar[str] = "euler"
    order = 1
    stages = 1
    evaluations: ClassVar[int] = 1


class Rk2(TorchDiffEqPackSolver):
    """The explicit midpoint rule, order 2; 2 stages."""

    name: ClassVar[str] = "torchdiffeqpack/rk2"
    known_failures: ClassVar[dict[str, str]] = _EMPTY
    method: ClassVar[str] = "rk2"
    order = 2
    stages = 2
    evaluations: ClassVar[int] = 2


class Rk4(TorchDiffEqPackSolver):
    """The classical method, order 4; 4 stages."""

    name: ClassVar[str] = "torchdiffeqpack/rk4"
    known_failures: ClassVar[dict[str, str]] = _EMPTY | {
        "check_observed_order": "float32 times: the error stays at 2.7e-7 and above"
    }
    method: ClassVar[str] = "rk4"
    order = 4
    stages = 4
    evaluations: ClassVar[int] = 4


class Rk12(TorchDiffEqPackSolver):
    """Heun's method with Euler's embedded, order 2; 2 stages."""

    name: ClassVar[str] = "torchdiffeqpack/rk12"
    known_failures: ClassVar[dict[str, str]] = _EMPTY | {"check_grid_is_repeated": _REPEATED + "1.0e-7"}
    method: ClassVar[str] = "rk12"
    order = 2
    adaptive = True
    evaluations: ClassVar[int] = 2


class Rk23(TorchDiffEqPackSolver):
    """Bogacki and Shampine's pair, order 3; 4 stages, none handed on."""

    name: ClassVar[str] = "torchdiffeqpack/rk23"
    known_failures: ClassVar[dict[str, str]] = _EMPTY | {"check_grid_is_repeated": _REPEATED + "2.4e-7"}
    method: ClassVar[str] = "rk23"
    order = 3
    adaptive = True
    evaluations: ClassVar[int] = 4


class Dopri5(TorchDiffEqPackSolver):
    """Dormand and Prince's pair, order 5; 7 stages, none handed on."""

    name: ClassVar[str] = "torchdiffeqpack/dopri5"
    known_failures: ClassVar[dict[str, str]] = _EMPTY | {
        "check_observed_order": "float32 times: the error stays at 1.9e-7 and above",
        "check_tolerance_proportionality": "float32 times: errors of 7.3e-8 at 1e-8, 9.3e-8 at 1e-9, 4.1e-7 at 1e-10",
        "check_grid_is_repeated": _REPEATED + "1.5e-7",
        "check_shifted_time": "float32 times: 1.6e-8 from a shift of 3 units",
    }
    method: ClassVar[str] = "dopri5"
    order = 5
    adaptive = True
    evaluations: ClassVar[int] = 7


class PlainDopri5(PlainSolver):
    """Dormand and Prince's pair as `odesolve` walks it: past the end, where a cubic is evaluated."""

    name: ClassVar[str] = "torchdiffeqpack/dopri5-plain"
    known_failures: ClassVar[dict[str, str]] = _EMPTY | {
        "check_tolerance_proportionality": (
            "the end is interpolated: errors of 3.8e-5 at 1e-7, 1.5e-4 at 1e-8, 1.8e-4 at 1e-9 on a turning plane"
        ),
        "check_dtypes": "a state in bfloat16 becomes one in float32 where it is interpolated",
    }
    method: ClassVar[str] = "dopri5"
    order = 5
    adaptive = True
    evaluations: ClassVar[int] = 7


class _Leapfrog(TorchDiffEqPackSolver):
    """The asynchronous leapfrog: the state and a velocity, which begins anew as the field's value at each output time."""

    order = 2
    source: ClassVar[str] = "J. Zhuang et al., MALI, ICLR 2021, arXiv:2102.04668; TorchDiffEqPack 1.0.1"

    def begun(self, lent: WatchedField, y: Tensor, t: float) -> Any:
        """The state and its velocity."""
        return (y, lent(torch.tensor(t, dtype=torch.float32, device=y.device), y))


class Alf(_Leapfrog):
    """The asynchronous leapfrog with fixed steps, `fixedstep_sym12async`; order 2, 1 evaluation a step."""

    name: ClassVar[str] = "torchdiffeqpack/alf"
    known_failures: ClassVar[dict[str, str]] = _ANEW
    method: ClassVar[str] = "fixedstep_sym12async"
    evaluations: ClassVar[int] = 1


class AdaptiveAlf(_Leapfrog):
    """The asynchronous leapfrog with error control, `sym12async`; its estimate is of order 1."""

    name: ClassVar[str] = "torchdiffeqpack/alf-adaptive"
    known_failures: ClassVar[dict[str, str]] = {"check_dtypes": "a relative error of 0.25 in bfloat16"}
    method: ClassVar[str] = "sym12async"
    adaptive = True
    takes_grids = False
    evaluations: ClassVar[int] = 1


SOLVERS = (Euler, Rk2, Rk4, Rk12, Rk23, Dopri5, PlainDopri5, Alf, AdaptiveAlf)
