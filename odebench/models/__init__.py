"""Built-in models, one a file, offered through the same hook as anybody's.

Every model with one field takes `outputs`, the number of equal output intervals, and most take `batch` and `span`. Analytic fields hold
their physical constants as parameters, so that there is a gradient to ask for. Row 0 of a classic problem is the initial
state of the literature; the other rows are seeded perturbations of it. The networks that can be trained say so by
`learning`; their data come from `odebench.data`.
"""

from __future__ import annotations

from collections.abc import Callable

from odebench.hookspecs import hookimpl


@hookimpl
def odebench_register_models(register: Callable[[object], None]) -> None:
    """Offer the built-in models."""
    from odebench.models.alexnet_ode import AlexNetOde
    from odebench.models.arenstorf import Arenstorf
    from odebench.models.brusselator import Brusselator
    from odebench.models.cnf import Cnf
    from odebench.models.conv1d_net import Conv1dNet
    from odebench.models.conv2d_net import Conv2dNet
    from odebench.models.conv_field import ConvField
    from odebench.models.coupled_net import CoupledNet
    from odebench.models.gaussian_relu import GaussianRelu
    from odebench.models.harmonic_oscillator import HarmonicOscillator
    from odebench.models.latent_irregular import LatentIrregular
    from odebench.models.linear import Linear
    from odebench.models.linear_net import LinearNet
    from odebench.models.logistic import Logistic
    from odebench.models.lorenz import Lorenz
    from odebench.models.lotka_volterra import LotkaVolterra
    from odebench.models.mlp_field import MlpField
    from odebench.models.pleiades import Pleiades
    from odebench.models.relu_decay import ReluDecay
    from odebench.models.resnet4_ode import ResNet4Ode
    from odebench.models.resnet10_ode import ResNet10Ode
    from odebench.models.resnet18_ode import ResNet18Ode
    from odebench.models.robertson import Robertson
    from odebench.models.spiral import Spiral
    from odebench.models.squeezenext_ode import SqueezeNextOde
    from odebench.models.van_der_pol import VanDerPol
    from odebench.models.xor_fan import XorFan

    for model in (
        Linear,
        HarmonicOscillator,
        Logistic,
        LotkaVolterra,
        VanDerPol,
        Lorenz,
        Brusselator,
        Robertson,
        Pleiades,
        Arenstorf,
        ReluDecay,
        GaussianRelu,
        MlpField,
        ConvField,
        Spiral,
        Cnf,
        LatentIrregular,
        XorFan,
        LinearNet,
        Conv1dNet,
        Conv2dNet,
        CoupledNet,
        ResNet4Ode,
        ResNet10Ode,
        ResNet18Ode,
        SqueezeNextOde,
        AlexNetOde,
    ):
        register(model)
