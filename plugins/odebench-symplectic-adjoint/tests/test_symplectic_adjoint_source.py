"""What is told where symplectic-adjoint is not there, or something else is."""

from __future__ import annotations

from research_tests import *  # noqa: F403  the tests

import odebench_symplectic_adjoint
from odebench_symplectic_adjoint.code import SYMPLECTIC_ADJOINT

CODE, PACKAGE = SYMPLECTIC_ADJOINT, odebench_symplectic_adjoint
