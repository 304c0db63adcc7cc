"""Which code this adapts."""

from __future__ import annotations

from odebench.research_code import ResearchCode

ANODE = ResearchCode(
    name="anode",
    home="https://github.com/amirgholami/anode",
    variable="ODEBENCH_ANODE_SOURCE",
    package="anode",
    modules=("__init__.py", "adjoint.py", "odesolver.py", "scheme.py", "time_stepper.py"),
    functions=("odesolver", "odesolver_adjoint"),
    commit="870444bcca907a1b99c2d8ecb7f1ab3da745566d",
    digest="dd8637b9201fa6d82bf5331d3b9066ea7fd26a74a93d5d168a26ee7f2b4c4d27",
)
SOURCE = (
    "A. Gholami, K. Keutzer, G. Biros, IJCAI 2019, arXiv:1902.10298; https://github.com/amirgholami/anode at 870444b"
)
