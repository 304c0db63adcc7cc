"""A machine, a cell and a record to begin with, without measuring anything."""

from __future__ import annotations

import pytest

from odebench.plan.cell import Cell, Choice
from odebench.records import Machine, Record, ResultWriter


@pytest.fixture
def machine():
    return Machine(
        cpu_model="Test CPU",
        cores=2,
        memory_gib=8,
        system="Linux (Test 1)",
        architecture="x86_64",
        usable_cores=2,
        kernel="6.1",
        python="CPython 3.11.7",
    )


@pytest.fixture
def record(machine):
    """Makes records without parts; `seed` tells cells apart."""

    def make(seed=0, **changes):
        cell = Cell(
            task=Choice(name="integrate"),
            model=Choice(name="lotka-volterra", parameters={"batch": 4}),
            solver=Choice(name="rk4"),
            gradient=None,
            grid={"steps": 16},
            device="cpu",
            dtype="float32",
            threads=1,
            seed=seed,
        )
        content = {
            "cell_id": cell.id,
            "cell": cell.to_json(),
            "suite": "trial",
            "experiments": ("first",),
            "freshness": "f" * 16,
            "machine_id": machine.id,
            "versions": {"odebench": "0.1.0", "torch": "2.13.0"},
        }
        return Record(**content | changes)

    return make


@pytest.fixture
def writer(tmp_path, machine):
    """Makes writers of one folder, to be entered."""
    return lambda: ResultWriter(tmp_path / "results", machine, scrub=str)
