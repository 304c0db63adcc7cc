"""The reference of all hooks, as Markdown, made of `hookspecs.py`: `docs/hooks.md` holds it, and a test compares the two."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from textwrap import dedent

from odebench import hookspecs

_HEAD = """# Hooks

Every extension point of odebench. A plugin is a Python file, or an installed distribution, with functions of these names, each
marked by `@odebench.hookimpl`. A file is loaded by `--plugin FILE`; a distribution by an entry point of the group `odebench`, whose
name is the prefix of all that it registers. Each example below is a whole file. `odebench new plugin NAME` writes a distribution.

A plugin that cannot be imported, misspells a hook or takes a name that is taken costs only itself: `odebench plugins` says why.

<!-- Written by `odebench hooks > docs/hooks.md`. -->
"""


@dataclass(frozen=True)
class Hook:
    """One extension point.

    Attributes:
        name: of the function.
        signature: as an author writes it, without `def` and the name.
        text: what it is for.
        called: when it is called.
        example: a whole file that uses it.
    """

    name: str
    signature: str
    text: str
    called: str
    example: str


def hooks() -> tuple[Hook, ...]:
    """All hooks, in the order of `hookspecs.py`."""
    found = [value for name, value in vars(hookspecs).items() if name.startswith("odebench_")]
    return tuple(_hook(function) for function in found)


def reference() -> str:
    """The page."""
    return _HEAD + "".join(_section(hook) for hook in hooks())


def _hook(function: Callable[..., object]) -> Hook:
    text, called, example = re.fullmatch(
        r"(.*?)\n\nCalled:\n(.*?)\n\nExample:\n(.*)", inspect.getdoc(function) or "", re.DOTALL
    ).groups()
    # A docstring cannot hold its own quotes.
    code = dedent(example).replace("'''", '"""')
    signature = str(inspect.signature(function)).replace("'", "")
    return Hook(function.__name__, signature, text, " ".join(called.split()), code)


def _section(hook: Hook) -> str:
    return (
        f"\n## {hook.name}\n\n```python\ndef {hook.name}{hook.signature}: ...\n```\n\n{hook.text}\n\n"
        f"**Called** {hook.called}\n\n```python\n{hook.example}\n```\n"
    )
