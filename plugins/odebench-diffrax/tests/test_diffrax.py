"""diffrax's solvers and gradients on fields that are called back, against closed forms, as for every adapter.

A program takes seconds to compile, so that two solvers are tried here, and the checks of conformance are left to `odebench check`.
"""

from __future__ import annotations

import pytest

pytest.importorskip("diffrax", reason="diffrax is not installed: pip install ./plugins/odebench-diffrax")

from adapter_tests import *  # noqa: F403  the tests
from adapter_tests import Adapter

import odebench_diffrax
from odebench_diffrax.methods import Bosh3, Kvaerno3

# Tableaux are read from diffrax by instances, and the implicit one is no explicit loop: `test_fields_in_jax` looks at them.
del test_solvers_keep_what_they_promise, test_a_declared_tableau_is_that_of_the_steps  # noqa: F821


class Compiled(Adapter):
    """diffrax, with a solver of each kind."""

    def solvers(self) -> list[type]:
        """An explicit and an implicit one."""
        return [Bosh3, Kvaerno3]


ADAPTER = Compiled(package=odebench_diffrax, library="diffrax", largest_error=lambda solver: 2e-5)
