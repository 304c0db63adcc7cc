"""Columns of tasks about weights that evolve: limits, optimality conditions, the spectral step. Only their suites have them."""

from __future__ import annotations

from odebench.report.column import Column, Kind, error_column


def _stationary(name: str, of: str, words: str) -> Column:
    return Column(
        name=name,
        kind=Kind.SCORE,
        label=f"gradient in {of} after the training",
        meaning=f"Norm of the gradient in {words}, in units of that before the training: 0 at an optimum.",
        log=True,
        better="lower",
    )


def _residual(name: str, label: str, words: str) -> Column:
    return error_column(
        name, label, f"Relative residual of {words}: at rounding for a gradient that is exact for the discretisation."
    )


def _continuous(name: str, of: str) -> Column:
    return error_column(
        name,
        f"continuous adjoint: {of}",
        f"Relative l2 difference of the {of} between the continuous adjoint on the grid and the exact gradient of the discretisation: O(h).",
    )


EVOLVING: tuple[Column, ...] = (
    error_column(
        "held_states",
        "states, weights held",
        "Relative l2 difference of the states of the coupled solve from those with the weights held as they begin.",
    ),
    error_column(
        "held_gradients",
        "gradients, weights held",
        "The same of the gradients in the initial states and in all parameters of the module.",
    ),
    Column(
        name="held_bits",
        kind=Kind.COUNT,
        label="equal to the last bit, weights held",
        meaning="1 where states and gradients agree to the last bit with those of held weights, else 0.",
        dtype="Int64",
        better="higher",
    ),
    error_column(
        "resnet_states",
        "states, residual block",
        "Relative l2 difference of the final state from that of the residual block z + f(z); only where one step is asked for.",
    ),
    error_column(
        "resnet_gradients",
        "gradients, residual block",
        "The same of the gradients in the initial states and in all parameters of the module.",
    ),
    _residual("kkt_state", "residual: state", "the equation of the state z"),
    _residual("kkt_weights", "residual: weights", "the evolution of the weights w"),
    _residual("kkt_kernel", "residual: kernel", "the weights θ that the kernel makes of w"),
    _residual("kkt_adjoint", "residual: adjoint", "the equation of a, the gradient in z at each time"),
    _residual(
        "kkt_memory",
        "residual: adjoint of the weights",
        "the equation of b, the adjoint of w, and the gradient in w(0)",
    ),
    _residual("kkt_coefficients", "residual: coefficients", "the gradient in the coefficients p of the evolution"),
    _residual("kkt_others", "residual: other parameters", "the gradient in the parameters that do not evolve"),
    _stationary("kkt_stationary_weights", "w(0)", "the initial weights w(0)"),
    _stationary("kkt_stationary_coefficients", "p", "the coefficients p of the evolution"),
    _continuous("kkt_continuous_start", "gradient in z(0)"),
    _continuous("kkt_continuous_weights", "gradient in w(0)"),
    _continuous("kkt_continuous_coefficients", "gradient in p"),
    error_column(
        "spectral_semigroup",
        "spectral step: two of δ against one of 2δ",
        "l2 norm of S(δ)S(δ)w - S(2δ)w over that of w: rounding without a nonlinearity.",
    ),
    error_column(
        "spectral_exact",
        "spectral step: against the closed form",
        "Relative l2 error of a step for a trigonometric polynomial, each of whose waves has a closed form.",
    ),
)
