"""Every suite that is shipped can be planned, whole and quick, on a machine with nothing but odebench."""

from __future__ import annotations

from pathlib import Path

import pytest

from odebench.outcome import Outcome
from odebench.plan.expand import expand
from odebench.plan.suite import read_suite
from odebench.plugins import build_registry

ROOT = Path(__file__).parents[2]
# `peers` names other libraries, which need not be there.
SUITES = sorted(path for path in (ROOT / "suites").rglob("*.toml") if path.stem != "peers")
PAPERS = [suite for suite in SUITES if suite.parent.name == "papers"]


@pytest.fixture(scope="module")
def registry():
    return build_registry(prefixes=(), strict=True)


@pytest.mark.parametrize("suite", SUITES, ids=lambda path: path.stem)
def test_nothing_of_a_suite_is_an_error_or_unsupported(suite, registry):
    plan = expand(read_suite(suite), registry, lambda device: None)
    assert plan.runnable
    assert {planned.outcome for planned in plan.settled} <= {Outcome.UNSUPPORTED}
    # What a product holds that makes no sense is a small part of it.
    assert len(plan.settled) <= len(plan.runnable) / 3


@pytest.mark.parametrize("suite", PAPERS, ids=lambda path: path.stem)
def test_a_suite_of_a_paper_has_claims_and_a_quick_budget_that_asks_less(suite, registry):
    whole, quick = (read_suite(suite, budget=name) for name in (None, "quick"))
    assert whole.claims
    assert whole.name == suite.stem
    assert len(expand(quick, registry, lambda device: None).runnable) <= len(
        expand(whole, registry, lambda device: None).runnable
    )


def test_suites_are_found():
    assert {"quickstart", "ott2021-swap"} <= {suite.stem for suite in SUITES}
