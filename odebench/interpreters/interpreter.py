"""An interpreter that is not this one: what it is and what it has, or why nothing can run there."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import odebench
from odebench.errors import InterpreterError, nearest
from odebench.interpreters import probe

#: An interpreter that has not said what it is after so many seconds hangs.
PROBE_LIMIT_S = 60.0
#: The oldest Python that odebench runs on.
OLDEST = (3, 11)
#: Characters of what a process printed that stand in a message.
_SHOWN = 400
#: Variables that would send another interpreter to this one's own library.
_OURS_ALONE = ("PYTHONHOME", "__PYVENV_LAUNCHER__", "PYTHONEXECUTABLE")


@dataclass(frozen=True, kw_only=True)
class InstalledPlugin:
    """A plugin's distribution in another interpreter.

    Attributes:
        name: of its entry point, which is the prefix of its names.
        distribution, version: where it comes from.
        requires: what that requires and is there, odebench and torch aside.
    """

    name: str
    distribution: str
    version: str
    requires: tuple[str, ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class Interpreter:
    """An interpreter in which this very odebench can run. Two of one environment are the same.

    Attributes:
        path: as it was given, made absolute; links are not followed, since a virtual environment's interpreter is one.
        prefix: `sys.prefix` there.
        python: "CPython 3.12.1".
        versions: of all its distributions, by normal name.
        plugins: of odebench that are installed there, by name.
        state: hash of all that its answers depend on.
    """

    path: Path
    prefix: str
    python: str
    versions: Mapping[str, str] = field(repr=False)
    plugins: Mapping[str, InstalledPlugin] = field(repr=False)
    state: str

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Interpreter) and other.prefix == self.prefix

    def __hash__(self) -> int:
        return hash(self.prefix)

    @property
    def is_this_one(self) -> bool:
        """Whether it has the same environment as the interpreter that asks."""
        return self.prefix == sys.prefix

    def version(self, distribution: str) -> str:
        """The version of a distribution there; "unknown" where there is none."""
        return self.versions.get(probe.normal(distribution), "unknown")

    def plugin(self, name: str) -> InstalledPlugin:
        """The plugin of this name.

        Raises:
            InterpreterError: none is installed there.
        """
        if name in self.plugins:
            return self.plugins[name]
        there = ", ".join(self.plugins) or "none"
        hint = f" Did you mean {near!r}?" if (near := nearest(name, self.plugins)) else ""
        raise InterpreterError(
            f"interpreter {self.path}: no plugin {name!r} is installed there; there are: {there}.{hint} Install the distribution that "
            f"offers it: {self.path} -m pip install …"
        )


def look_at(path: Path | str) -> Interpreter:
    """What the interpreter at `path` is. Nothing but its standard library and an empty `odebench` package is imported there.

    Raises:
        InterpreterError: it is not there, is no Python, hangs, is too old, or does not have this odebench.
    """
    path = Path(os.path.abspath(Path(path).expanduser()))
    _check_file(path)
    here = Path(odebench.__file__).resolve().parent
    # As an argument, since a shell that is taken for a Python would carry out a script line by line.
    command = [str(path), "-c", _PROBE.format(file=probe.__file__), str(here)]
    try:
        done = subprocess.run(
            command, capture_output=True, stdin=subprocess.DEVNULL, timeout=PROBE_LIMIT_S, env=foreign_variables(), check=False
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise InterpreterError(
            f"interpreter {path}: it did not say what it is in {PROBE_LIMIT_S:g} s. It hangs when it starts: try {path} -c pass"
        ) from error
    except OSError as error:
        raise InterpreterError(f"interpreter {path}: it cannot be started: {error.strerror}. {_GIVE}") from error
    told = _told(done.stdout)
    if told is None:
        said = _shortened(done.stderr or done.stdout)
        heard = f"it ended with exit code {done.returncode}" + (f" and said: {said}" if said else " and said nothing")
        raise InterpreterError(f"interpreter {path}: this is no Python that works: {heard}. {_GIVE}")
    _check_python(path, told)
    _check_odebench(path, told, here)
    plugins = {one["name"]: one for one in told["plugins"]}
    return Interpreter(
        path=path,
        prefix=told["prefix"],
        python=told["python"],
        versions=told["versions"],
        plugins={
            name: InstalledPlugin(
                name=name, distribution=one["distribution"], version=one["version"], requires=tuple(one["requires"])
            )
            for name, one in plugins.items()
        },
        state=told["state"] + _own_state(here),
    )


def homes_of(interpreters: Mapping[str, Path]) -> dict[str, str]:
    """Paths of the interpreters that are not this one, by the name of the plugin, each seen to have it.

    Raises:
        InterpreterError: one cannot be used, or lacks its plugin.
    """
    found = {}
    for name, path in interpreters.items():
        interpreter = look_at(path)
        interpreter.plugin(name)
        if not interpreter.is_this_one:
            found[name] = str(interpreter.path)
    return found


def foreign_variables() -> dict[str, str]:
    """Environment variables for another interpreter: this process's, but for what would send it to this one's library."""
    return {name: value for name, value in os.environ.items() if name not in _OURS_ALONE}


_PROBE = "__import__('sys').path[:] = filter(None, __import__('sys').path); exec(compile(open({file!r}).read(), {file!r}, 'exec'))"
_GIVE = "Give the path of a Python interpreter, such as envs/other/bin/python."


def _check_file(path: Path) -> None:
    if path.is_dir():
        inside = next((p for p in (path / "bin" / "python", path / "Scripts" / "python.exe") if p.exists()), None)
        hint = f"Did you mean {inside}?" if inside else _GIVE
        raise InterpreterError(f"interpreter {path}: this is a folder. {hint}")
    if not path.exists():
        dangling = (
            " (the link leads to nothing: was the Python that it points at removed?)" if path.is_symlink() else ""
        )
        raise InterpreterError(f"interpreter {path}: there is no such file{dangling}. {_GIVE}")
    if not os.access(path, os.X_OK):
        raise InterpreterError(f"interpreter {path}: this file may not be executed. {_GIVE}")


def _told(output: bytes) -> dict[str, Any] | None:
    """What the probe told; None where nothing of it is there."""
    for line in output.decode(errors="replace").splitlines():
        if line.startswith(probe.MARK):
            try:
                return json.loads(line.removeprefix(probe.MARK))
            except ValueError:
                return None
    return None


def _check_python(path: Path, told: Mapping[str, Any]) -> None:
    if tuple(told["version"][:2]) < OLDEST:
        needed = ".".join(map(str, OLDEST))
        raise InterpreterError(
            f"interpreter {path}: it is {told['python']}, and odebench needs Python {needed} or newer. Make the environment with a "
            "newer Python."
        )


def _check_odebench(path: Path, told: Mapping[str, Any], here: Path) -> None:
    """The two sides must be one odebench: another one may ask otherwise, and would measure otherwise."""
    found, own = told["odebench"], odebench.__version__
    install = f"{path} -m pip install {_requirement(here)}"
    if found is None:
        raise InterpreterError(
            f"interpreter {path}: {told['python']}, and no odebench can be imported there; here is odebench {own}. Install the same: "
            f"{install}"
        )
    if found["version"] != own:
        raise InterpreterError(
            f"interpreter {path}: it has odebench {found['version']}, and here is {own}. What is measured in one suite must be "
            f"measured by one odebench. Install the same there: {install}"
        )
    if found["hashes"] is None:
        return
    mine = _own_hashes(here)
    differing = sorted(
        name for name in mine.keys() | found["hashes"].keys() if mine.get(name) != found["hashes"].get(name)
    )
    if differing:
        more = f" and {len(differing) - 1} more" if len(differing) > 1 else ""
        raise InterpreterError(
            f"interpreter {path}: it has odebench {own} as here, with other code in it: {differing[0]}{more} differ between "
            f"{found['folder']} and {here}. Install the same there: {install}"
        )


def _requirement(here: Path) -> str:
    """What to give pip for the odebench that is here: a checkout, or a release."""
    return f"-e {here.parent}" if (here.parent / "pyproject.toml").is_file() else f"odebench=={odebench.__version__}"


@functools.cache
def _own_hashes(here: Path) -> dict[str, str]:
    return probe.hashes_of(here)


def _own_state(here: Path) -> str:
    return hashlib.sha256(json.dumps(_own_hashes(here), sort_keys=True).encode()).hexdigest()


def _shortened(output: bytes) -> str:
    """The end of what a process printed, on one line."""
    text = " ".join(output.decode(errors="replace").split())
    return text if len(text) <= _SHOWN else "… " + text[-_SHOWN:]
