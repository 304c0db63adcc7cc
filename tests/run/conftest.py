"""Cells, plans and executors on the small plugins beside this file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from odebench.plan.cell import Cell, Choice
from odebench.plan.expand import expand
from odebench.plan.plan import Plan
from odebench.plan.suite import parse_suite
from odebench.plugins import Registry, build_registry
from odebench.records import Machine
from odebench.run.bench import Bench, load_bench
from odebench.run.executors import Ended, Executors
from odebench.run.launch import run_plan
from odebench.run.request import Request

HERE = Path(__file__).parent
FILES = (HERE / "fakes.py", HERE / "hostile_plugins.py")
MACHINE = Machine(
    cpu_model="of the tests", cores=2, memory_gib=8, system="Linux", architecture="x86_64", usable_cores=2, kernel="1",
    python="CPython 3",
)  # fmt: skip

HEAD = """
schema = 1
[suite]
name = "small"
[budget]
processes = 2
repeats = 2
timeout = "20s"
memory = "1GiB"
"""


@pytest.fixture(scope="session")
def registry() -> Registry:
    """Built-in plugins, and those beside this file."""
    return build_registry(prefixes=[], local_files=FILES, strict=True)


@pytest.fixture(scope="session")
def cell_of(registry: Registry) -> Callable[..., Cell]:
    """Makes a cell with all parameters resolved; `solver="honest"`, `gradient=None`, `model="plain-decay"`, `steps=8`."""

    def make(
        solver: str = "honest",
        task: str | None = None,
        gradient: str | None = None,
        model: str = "plain-decay",
        steps: int = 8,
        dtype: str = "float32",
        threads: int = 1,
        **parameters: Any,
    ) -> Cell:
        task = task or ("gradient" if gradient else "integrate")
        return Cell(
            task=Choice(name=task),
            model=Choice(name=model, parameters=registry.get("model", model).parameters() | parameters),
            solver=Choice(name=solver, parameters=registry.get("solver", solver).parameters()),
            gradient=Choice(name=gradient) if gradient else None,
            grid={"steps": steps},
            device="cpu",
            dtype=dtype,
            threads=threads,
            seed=0,
        )

    return make


@pytest.fixture(scope="session")
def bench_of(registry: Registry, cell_of: Callable[..., Cell]) -> Callable[..., Bench]:
    """Loads such a cell into this process."""
    return lambda *arguments, **more: load_bench(cell_of(*arguments, **more), registry)


@pytest.fixture(scope="session")
def executors() -> Iterator[Executors]:
    """One for all tests: a supervisor takes seconds to start."""
    with Executors() as executors:
        yield executors


@pytest.fixture
def do(executors: Executors, cell_of: Callable[..., Cell]) -> Callable[..., Ended]:
    """Has one part of a cell done in a fresh process."""

    def do(
        solver: str, part: str = "quality", *, limit_s: float = 20.0, memory_bytes: int | None = 2**30,
        request: dict[str, Any] | None = None, **cell: Any,
    ) -> Ended:  # fmt: skip
        asked = Request(
            part=part, cell=cell_of(solver, **cell), local_files=tuple(map(str, FILES)), memory_bytes=memory_bytes,
            **(request or {}),
        )  # fmt: skip
        executors.submit(asked, limit_s)
        (ended,) = executors.wait()
        executors.forget(ended.folder)
        return ended

    return do


@pytest.fixture(scope="session")
def plan_of(registry: Registry) -> Callable[[str], Plan]:
    """Plans the experiments in a text of TOML, under the small budget above."""
    return lambda text: expand(parse_suite(HEAD + text, HERE / "small.toml"), registry, lambda device: None)


@pytest.fixture
def run(registry: Registry, executors: Executors, tmp_path: Path) -> Callable[..., Any]:
    """Runs a plan into the test's folder, in the common executors unless it is told other ones."""

    def run(plan: Plan, **more: Any) -> Any:
        where = {"machine": MACHINE, "cache": tmp_path / "cache", "executors": executors}
        return run_plan(plan, tmp_path / "results", registry=registry, **(where | more))

    return run
