"""What a cell uses: no more is loaded for it, and no less makes its record stale."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from odebench.plan.cell import Choice
from odebench.plugins import KINDS, Entry, Registry, Source, build_registry
from odebench.run.identity import identities_of, identity_of

HERE = Path(__file__).parent


def test_a_cell_of_built_in_plugins_uses_nothing_else(registry, cell_of):
    found = identity_of(cell_of("rk4", model="lotka-volterra"), registry)
    assert (found.prefixes, found.local_files, set(found.versions)) == ((), (), {"odebench", "torch"})


def test_only_the_files_that_a_cell_uses_are_its(registry, cell_of):
    found = identity_of(cell_of("honest", model="logistic"), registry)
    assert found.local_files == (str(HERE / "hostile_plugins.py"),)
    assert set(identity_of(cell_of("honest"), registry).local_files) == {
        str(HERE / "fakes.py"), str(HERE / "hostile_plugins.py"),
    }  # fmt: skip


def test_an_edited_plugin_makes_its_cells_stale_and_no_others(cell_of, tmp_path):
    copy = tmp_path / "fakes.py"
    text = (HERE / "fakes.py").read_text()

    def fresh(content: str, *cells):
        copy.write_text(content)
        registry = build_registry(prefixes=[], local_files=[copy], strict=True)
        return [identity_of(cell, registry).freshness for cell in cells]

    cells = cell_of("plain-euler"), cell_of("rk4", model="logistic")
    before, after = fresh(text, *cells), fresh(text + "\n# a word\n", *cells)
    assert before[0] != after[0] and before[1] == after[1]


@pytest.fixture
def with_installed(registry) -> Registry:
    """The registry, and a solver of an installed distribution beside it (pytest stands in for one)."""
    source = Source(plugin="library", distribution="pytest", version="9")
    entry = Entry(kind="solver", name="library/method", factory=registry.get("solver", "rk4").factory, origin=source)
    other = Registry()
    for kind in KINDS:
        other.add(registry.entries(kind))
    other.add([entry])
    return other


def test_of_an_installed_plugin_what_lies_below_it_counts_too(with_installed, cell_of):
    """An adapter's own version says little: the library that it adapts is what changes answers."""
    cell = replace(cell_of("rk4"), solver=Choice(name="library/method"))
    found = identity_of(cell, with_installed)
    assert found.prefixes == ("library",)
    assert {"odebench", "torch", "pytest", "pluggy"} <= set(found.versions)
    assert found.freshness != identity_of(cell_of("rk4"), with_installed).freshness


def test_a_base_that_a_wrapper_is_told_by_name_is_used(with_installed, cell_of):
    cell = replace(cell_of("rk4"), gradient=Choice(name="plain", parameters={"bases": [{"name": "library/method"}]}))
    assert identity_of(cell, with_installed).prefixes == ("library",)


def test_a_plugin_that_did_not_load_is_left_out(registry, cell_of):
    cell = replace(cell_of("rk4", model="logistic"), solver=Choice(name="absent/method"))
    assert identity_of(cell, registry).prefixes == ()


def test_what_a_cell_needs_is_part_of_its_freshness(cell_of, tmp_path):
    """Other weights are another answer: an edited solver makes stale what was trained with it, and what reads those weights."""
    copy = tmp_path / "fakes.py"
    text = (HERE / "fakes.py").read_text()
    training = cell_of("plain-euler")
    swap = replace(cell_of("rk4", model="logistic"), needs=(training.id,))

    def fresh(content: str, *cells):
        copy.write_text(content)
        registry = build_registry(prefixes=[], local_files=[copy], strict=True)
        return identities_of(cells, registry)[swap.id]

    before, after = fresh(text, swap, training), fresh(text + "\n# a word\n", swap, training)
    assert before.freshness != after.freshness and before.local_files == after.local_files == ()
    assert fresh(text, swap).freshness == fresh(text + "\n# a word\n", swap).freshness, (
        "what is not in the plan says nothing"
    )
