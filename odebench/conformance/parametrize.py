"""The checks as tests of pytest, in any repository."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from odebench.conformance.checks import Check, checks_of, unavailable


def parametrize_with_checks(plugins: Iterable[Any], checks: Callable[[Any], list[Check]] = checks_of) -> Any:
    """Parametrize a test over `plugin` and `check`; ids read `mine-check_observed_order`.

    What a plugin declares in `known_failures` becomes an expected failure, and a strict one: passing it fails.

    Args:
        plugins: instances.
        checks: gives the checks of one of them.

    Raises:
        ValueError: a plugin declares a known failure of what is no check of it.
    """
    import pytest

    plugins = list(plugins)
    if checks is checks_of:  # a selection says nothing against what it leaves out
        for plugin in plugins:
            refuse_stale_known_failures(plugin, checks(plugin))
    return pytest.mark.parametrize(
        ("plugin", "check"),
        [
            pytest.param(plugin, check, id=f"{plugin.name}-{check.__name__}", marks=_marks(plugin, check.__name__))
            for plugin in plugins
            for check in checks(plugin)
        ],
    )


def _marks(plugin: Any, check: str) -> list[Any]:
    import pytest

    if reason := unavailable(plugin):
        return [pytest.mark.skip(reason=reason)]
    reason = plugin.known_failures.get(check)
    return [] if reason is None else [pytest.mark.xfail(reason=reason, strict=True)]


def refuse_stale_known_failures(plugin: Any, checks: Iterable[Check]) -> None:
    """Raise where `known_failures` names what is no check of this plugin: a gap that is gone, or misspelt.

    Raises:
        ValueError: naming it.
    """
    names = {check.__name__ for check in checks}
    stale = sorted(set(plugin.known_failures) - names)
    if stale:
        raise ValueError(
            f"{plugin.name}: `known_failures` names {', '.join(stale)}, but its checks are {', '.join(sorted(names))}. "
            "Correct the name, or delete it."
        )
