"""Two environments for all tests of this folder, and a cache of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from odebench.interpreters.registry import WideRegistry, build_wide_registry
from tests.interpreters import environments


@pytest.fixture(scope="session")
def homes(tmp_path_factory) -> dict[str, Path]:
    """Interpreters by plugin: `fancyone` and the broken `fancybroken` in one environment, `fancytwo` in another."""
    folder = tmp_path_factory.mktemp("environments")
    one, two = environments.fancy(folder / "one", 1), environments.fancy(folder / "two", 2)
    broken = "import fancysolver\nfancysolver.advance\n"
    environments.install(folder / "one", "fancybroken", "0.1", broken, plugin=True)
    return {"fancyone": one, "fancybroken": one, "fancytwo": two}


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory) -> Iterator[Path]:
    """No answers of earlier runs of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("ODEBENCH_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def wide(homes) -> Iterator[WideRegistry]:
    """All that there is in this interpreter and in both of the others."""
    with build_wide_registry(homes) as registry:
        yield registry
