"""torchode's methods."""

from __future__ import annotations

from typing import ClassVar

import torchode
from torch import nn

from odebench_torchode.solver import TorchodeSolver


class Euler(TorchodeSolver):
    """Euler's method, order 1; 1 stage. It has no error estimate, and takes only steps that it is given."""

    name: ClassVar[str] = "torchode/euler"
    method: ClassVar[type[nn.Module]] = torchode.Euler
    order = 1
    stages = 1
    adaptive = False


class Heun(TorchodeSolver):
    """Heun's method with Euler's embedded, order 2; inside a step Hermite's cubic. 2 stages, none handed on."""

    name: ClassVar[str] = "torchode/heun"
    method: ClassVar[type[nn.Module]] = torchode.Heun
    order = 2
    stages = 2


class Dopri5(TorchodeSolver):
    """Dormand and Prince's pair of order 5, the first stage the last of the step before; inside a step a quartic."""

    name: ClassVar[str] = "torchode/dopri5"
    method: ClassVar[type[nn.Module]] = torchode.Dopri5
    order = 5


class Tsit5(TorchodeSolver):
    """Tsitouras' pair of order 5, the first stage the last of the step before; inside a step his quartic."""

    name: ClassVar[str] = "torchode/tsit5"
    method: ClassVar[type[nn.Module]] = torchode.Tsit5
    order = 5
