"""Which code this adapts."""

from __future__ import annotations

from odebench.research_code import ResearchCode

SYMPLECTIC_ADJOINT = ResearchCode(
    name="symplectic-adjoint",
    home="https://github.com/tksmatsubara/symplectic-adjoint-method",
    variable="ODEBENCH_SYMPLECTIC_ADJOINT_SOURCE",
    package="torch_symplectic_adjoint",
    modules=(
        "__init__.py",
        "_impl/adjoint.py",
        "_impl/odeint.py",
        "_impl/odeint_checkpoint.py",
        "_impl/odeint_onecheckpoint.py",
        "_impl/symplectic_adjoint.py",
        "_impl/integrators/rk_common.py",
    ),
    functions=(
        "odeint",
        "odeint_adjoint",
        "odeint_checkpoint",
        "odeint_onecheckpoint",
        "odeint_symplectic_adjoint",
    ),
    commit="254832cbe2d7601e976119855b732d7a3e4b4f65",
    digest="81cf39c9339c73a2a15fadf2725785e57b4a51b5932f13b6e02a9d37d1c80d31",
)
SOURCE = (
    "T. Matsubara, Y. Miyatake, T. Yaguchi, NeurIPS 2021, arXiv:2102.09750; "
    "https://github.com/tksmatsubara/symplectic-adjoint-method at 254832c"
)
