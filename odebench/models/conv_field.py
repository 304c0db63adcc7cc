"""A convolutional residual block as vector field."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, interpolate, leaky_relu, softplus

from odebench.contract import JaxField, JaxFunction, Model, Problem
from odebench.data import load
from odebench.models.piecewise_linear import piecewise_linear_flow
from odebench.models.seeded import check_batch, check_choice, generator_of, normal, output_times

NEGATIVE_SLOPES = {"none": 1.0, "relu": 0.0, "leaky-relu": 0.01}
ACTIVATIONS = {
    "none": lambda x: x,
    "relu": torch.relu,
    "leaky-relu": leaky_relu,
    "softplus": softplus,
    "tanh": torch.tanh,
}


class ConvVectorField(nn.Module):
    """f(t, z) = activation(kernel * z): one 3 × 3 convolution that keeps the size, without bias."""

    accepts_batched_time = True

    def __init__(self, kernel: Tensor, activation: str) -> None:
        super().__init__()
        self.kernel = nn.Parameter(kernel)
        self.activation = ACTIVATIONS[activation]

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return self.activation(conv2d(y, self.kernel, padding=1))


class ConvField(Model):
    """One convolutional residual block on images of an eight, or of handwritten digits.

    State `(batch, channels, size, size)`, the same image in all channels up to seeded factors. `image="eight"` is two rings
    that make an 8; with `image="digits"` each row is another handwritten digit of the test set that scikit-learn ships, chosen
    by the seed, and interpolated from its 8 × 8 pixels to `size`. The kernel is Gaussian with standard deviation `kernel_scale`. With `channels=16,
    size=28, kernel_scale=1.0` and any activation it shows what Gholami et al. show: the block cannot be run backwards.
    The default 0.2 is about Kaiming's scale for 4 channels. Span: [0, 1].

    `relu` and `leaky-relu` have a kink at every pixel, which limits methods of high order, but a closed form in pieces;
    `softplus` and `tanh` are smooth.

    Source: A. Gholami, K. Keutzer, G. Biros, "ANODE: Unconditionally accurate memory-efficient gradients for neural ODEs",
    IJCAI 2019, arXiv:1902.10298, figure 1.
    """

    name = "conv-field"
    source: ClassVar[str] = "Gholami, Keutzer, Biros, ANODE, IJCAI 2019, arXiv:1902.10298, figure 1"

    def __init__(
        self,
        *,
        channels: int = 4,
        size: int = 8,
        activation: str = "softplus",
        kernel_scale: float = 0.2,
        image: str = "eight",
        batch: int = 8,
        span: float = 1.0,
        outputs: int = 8,
    ) -> None:
        check_choice("activation", activation, tuple(ACTIVATIONS))
        check_choice("image", image, tuple(IMAGES))
        self.image = image
        self.channels, self.size, self.activation, self.kernel_scale = channels, size, activation, kernel_scale
        self.batch, self.span, self.outputs = check_batch(batch), span, outputs

    def problem(self, seed: int) -> Problem:
        generator = generator_of(seed)
        kernel = self.kernel_scale * normal(generator, self.channels, self.channels, 3, 3)
        factors = 1.0 + 0.3 * normal(generator, self.batch, self.channels, 1, 1)
        return Problem(
            field=ConvVectorField(kernel, self.activation),
            y0=factors * IMAGES[self.image](self.size, self.batch, generator),
            ts=output_times(self.span, self.outputs),
            exact=self._exact if self.activation in NEGATIVE_SLOPES else None,
        )

    def jax_field(self) -> JaxField:
        """The field in JAX."""
        return JaxField(function=_in_jax(self.activation))

    def _exact(self, problem: Problem, t: float) -> Tensor:
        kernel, slope = problem.field.kernel, NEGATIVE_SLOPES[self.activation]
        return piecewise_linear_flow(lambda z: conv2d(z, kernel, padding=1), slope, problem.y0, t - problem.ts[0])


def _eight(size: int, batch: int, generator: torch.Generator) -> Tensor:
    """An 8 of two rings, values in [0, 1]."""
    axis = (torch.arange(size, dtype=torch.float64) + 0.5) / size * 2.0 - 1.0
    column, row = torch.meshgrid(axis, axis, indexing="ij")
    rings = [((column - middle).square() + row.square()).sqrt() - 0.38 for middle in (-0.4, 0.4)]
    distance = torch.minimum(rings[0].abs(), rings[1].abs())
    return (-(distance / 0.15).square()).exp()


def _digits(size: int, batch: int, generator: torch.Generator) -> Tensor:
    """Handwritten digits, `(batch, 1, size, size)`, values in [0, 1]."""
    images = load("digits", seed=0).test.inputs
    chosen = torch.randint(len(images), (batch,), generator=generator)
    # The corners stay where they are, so at 8 pixels the digits are those of the file.
    return interpolate(images[chosen], size=(size, size), mode="bilinear", align_corners=True)


IMAGES = {"eight": _eight, "digits": _digits}


@functools.cache
def _in_jax(activation: str) -> JaxFunction:
    """The field in JAX; the same function for the same activation, so that it is compiled once."""

    def in_jax(t: Any, y: Any, p: Mapping[str, Any]) -> Any:
        import jax

        y = jax.lax.conv_general_dilated(y, p["kernel"], (1, 1), ((1, 1), (1, 1)))
        apply = {"none": lambda x: x, "leaky-relu": jax.nn.leaky_relu}
        return (apply.get(activation) or getattr(jax.nn, activation))(y)

    return in_jax
