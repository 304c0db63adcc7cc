"""Van der Pol's oscillator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from odebench.contract import JaxField, Model, Problem
from odebench.models.seeded import check_batch, constants, generator_of, output_times, rows_around

STIFF_FROM = 30.0
"""On the slow parts of the limit cycle the stiff eigenvalue is about -3 mu: beyond this, stability sets the step."""


class VanDerPolField(nn.Module):
    """f(t, (x, v)) = (v, mu (1 - x²) v - x), with mu as parameter."""

    accepts_batched_time = True

    def __init__(self, mu: float) -> None:
        super().__init__()
        self.mu = constants(mu)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        x, v = y.unbind(-1)
        return torch.stack((v, self.mu * (1.0 - x * x) * v - x), -1)


class VanDerPol(Model):
    """x'' = mu (1 - x²) x' - x: a limit cycle that attracts everything, stiff for large mu.

    State `(batch, 2)`; row 0 starts from (2, 0), the others from x within some 5 % of it. Span: [0, 20]. With mu = 1 that
    is problem E2 of DETEST; the default mu = 5 has fast jumps without being stiff. `mu=1000, span=2000` is problem VDPOL
    of the test set for IVP solvers, in its unscaled form.

    Backwards in time the limit cycle repels, so a round trip over the whole span is ill-conditioned.

    Source: B. van der Pol, "On relaxation-oscillations", Philosophical Magazine 2, 1926, doi:10.1080/14786442608564127;
    T. E. Hull et al., "Comparing numerical methods for ordinary differential equations", SIAM Journal on Numerical
    Analysis 9(4), 1972, problem E2; F. Mazzia, C. Magherini, "Test Set for Initial Value Problem Solvers", 2008.
    """

    name = "van-der-pol"
    source: ClassVar[str] = "van der Pol 1926; DETEST E2; Mazzia, Magherini, Test Set for IVP Solvers, VDPOL"

    def __init__(self, *, mu: float = 5.0, batch: int = 16, span: float = 20.0, outputs: int = 8) -> None:
        self.mu, self.batch, self.span, self.outputs = mu, check_batch(batch), span, outputs

    def problem(self, seed: int) -> Problem:
        y0 = rows_around((2.0, 0.0), self.batch, 0.05, generator_of(seed))
        return Problem(
            field=VanDerPolField(self.mu),
            y0=y0,
            ts=output_times(self.span, self.outputs),
            stiff=abs(self.mu) > STIFF_FROM,
        )

    def jax_field(self) -> JaxField:
        """The field in JAX."""
        return JaxField(function=_in_jax)


def _in_jax(t: Any, y: Any, p: Mapping[str, Any]) -> Any:
    import jax.numpy as jnp

    x, v = y[..., 0], y[..., 1]
    return jnp.stack((v, p["mu"] * (1.0 - x * x) * v - x), -1)
