"""Writing the files of a new plugin."""

from __future__ import annotations

import shutil
import tempfile
from importlib.resources import files
from pathlib import Path

import jinja2

from odebench import __version__
from odebench.errors import PluginError
from odebench.scaffold.naming import naming_of

_TEMPLATES = files("odebench.scaffold") / "templates"

KINDS = ("all", "solver", "gradient", "model", "adapter")
"""What a new plugin can hold: one of each, one thing alone, or somebody else's library wrapped."""

# What is written below the plugin's folder, from which template, and what must be among its parts ("": always).
_FILES = (
    ("pyproject.toml", "pyproject.toml", ""),
    ("README.md", "README.md", ""),
    ("comparison.toml", "comparison.toml", ""),
    (".gitignore", "gitignore", ""),
    (".github/workflows/test.yml", "workflow.yml", ""),
    ("{package}/__init__.py", "package/__init__.py", ""),
    ("{package}/solver.py", "package/solver.py", "solver"),
    ("{package}/solver.py", "package/adapter.py", "adapter"),
    ("{package}/gradient.py", "package/gradient.py", "gradient"),
    ("{package}/model.py", "package/model.py", "model"),
    ("tests/test_conformance.py", "tests/test_conformance.py", ""),
)


def write_plugin(name: str, kind: str, parent: Path) -> tuple[Path, tuple[Path, ...]]:
    """Write a new plugin into a folder of its own below `parent`.

    Args:
        name: of the distribution; other names follow from it, see `naming_of`.
        kind: one of `KINDS`.
        parent: where the folder goes; made where it is missing.

    Returns:
        The folder, and the files in it, relative to it and in the order in which to read them.

    Raises:
        PluginError: the name cannot be used, the folder is there already, or it cannot be written.
    """
    naming = naming_of(name)
    folder = parent / naming.distribution
    if folder.exists():
        raise PluginError(
            f"{folder} is there already, and nothing in it is overwritten. Take another name, or another folder with -o."
        )
    parts = ("solver", "gradient", "model") if kind == "all" else (kind,)
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda template: (_TEMPLATES / f"{template}.j2").read_text(encoding="utf-8")),
        autoescape=False,  # Python and TOML, not HTML
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    texts = {
        Path(place.format(package=naming.package)): environment.get_template(template).render(
            name=naming, parts=parts, version=__version__
        )
        for place, template, needs in _FILES
        if not needs or needs in parts
    }
    try:
        _write(texts, folder)
    except OSError as cause:
        raise PluginError(
            f"{folder} cannot be written: {cause.strerror or cause}. Choose another folder with -o."
        ) from cause
    return folder, tuple(texts)


def _write(texts: dict[Path, str], folder: Path) -> None:
    """All files or none: they are written beside the folder, which then gets its name."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as beside:
        made = Path(beside) / folder.name
        for place, text in texts.items():
            path = made / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        shutil.move(made, folder)
