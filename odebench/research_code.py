"""Code of researchers that no package index has: it lies in a folder that the user names, and is loaded from there.

A folder that is not there, holds something else or cannot be imported is a reason that is told, never a crash. Nothing is looked
for on `sys.path`, and nothing is put there: two states of a code can be loaded side by side, and an installed package of the same
name is neither used nor hidden.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.util
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import ClassVar

from odebench.contract import OpaqueSolver
from odebench.errors import IncompatibleError

#: Characters of a commit, and of a hash of files, that are told.
_SHOWN = 12
_GIT_LIMIT_S = 10


@dataclass(frozen=True, kw_only=True)
class ResearchCode:
    """A code, and how its folder is told from others.

    Attributes:
        name: what it is called.
        home: where it is published.
        variable: environment variable that names its folder.
        package: the Python package in that folder.
        modules: files that the package must hold.
        functions: names that the package must offer.
        commit: the commit that the adapter was tested with.
        digest: `digest_of` its package at that commit.
    """

    name: str
    home: str
    variable: str
    package: str
    modules: tuple[str, ...]
    functions: tuple[str, ...]
    commit: str
    digest: str

    def open(self, source: str | None = None) -> OpenedCode:
        """What lies in the folder `source`, or where the variable points if None is given. Never raises."""
        given, origin = source, "`source`"
        if given is None:
            given, origin = os.environ.get(self.variable) or None, self.variable
        if given is None:
            return OpenedCode(
                code=self,
                given=source,
                unavailable=f"{self.name} comes as source only, and nothing says where it is. Get it from {self.home}, and set the "
                f"environment variable {self.variable} to its folder, or give the solver's parameter `source`.",
            )
        fault = self._fault(given)
        if fault is not None:
            return OpenedCode(code=self, given=source, unavailable=f"{origin} is {given!r}: {fault}")
        folder = Path(given).expanduser()
        try:
            digest = digest_of(folder / self.package)
            module = _loaded(folder / self.package, digest)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - somebody's code: whatever it raises is why it cannot be used
            said = f"{type(error).__name__}: {error}".splitlines()[0]
            return OpenedCode(
                code=self,
                given=source,
                unavailable=f"{origin} is {given!r}: its package {self.package} cannot be imported: {said}",
            )
        lacking = [name for name in self.functions if not callable(getattr(module, name, None))]
        if lacking:
            return OpenedCode(
                code=self,
                given=source,
                unavailable=f"{origin} is {given!r}: its package {self.package} has no {', '.join(lacking)}, as that of {self.home} has.",
            )
        return OpenedCode(code=self, given=source, module=module, state=self._state(folder, digest))

    def _fault(self, given: str) -> str | None:
        """What is wrong with a folder before anything in it is run."""
        try:
            folder = Path(given).expanduser()
            if not folder.is_absolute():
                return "a relative path means another folder in each process. Give an absolute one, or one that begins with ~."
            if not folder.exists():
                return f"there is no such folder. Clone {self.home}, and give the folder of the clone."
            if not folder.is_dir():
                return f"that is a file. Give the folder of a clone of {self.home}."
            absent = [name for name in self.modules if not (folder / self.package / name).is_file()]
            if not absent:
                return None
            inside = folder.name == self.package and all((folder / name).is_file() for name in self.modules)
        except (OSError, RuntimeError) as error:  # not to be read, or nobody's home
            return f"it cannot be read: {error}"
        if inside:
            return "that is the package itself. Give the folder above it."
        return f"it has no {self.package}/{absent[0]}, so it is no clone of {self.home}."

    def _state(self, folder: Path, digest: str) -> str:
        """The tested commit, or what else it is, with that commit."""
        if digest == self.digest:
            return self.commit[:_SHOWN]
        commit = _commit_of(folder)
        found = f"files {digest[:_SHOWN]}" if commit is None else f"{commit[:_SHOWN]} files {digest[:_SHOWN]}"
        return f"{found} (tested: {self.commit[:_SHOWN]})"


@dataclass(frozen=True, kw_only=True)
class OpenedCode:
    """A code as it was found.

    Attributes:
        code: which.
        given: the folder that `ResearchCode.open` was given.
        module: its package; None where it cannot be used.
        state: the commit, or a hash of the files where they are not those of the tested commit; None where it cannot be used.
        unavailable: why it cannot be used; None where it can.
    """

    code: ResearchCode
    given: str | None
    module: ModuleType | None = None
    state: str | None = None
    unavailable: str | None = None

    def __reduce__(self) -> tuple[Callable[..., OpenedCode], tuple[ResearchCode, str | None]]:
        """A copy opens the code once more: a module cannot be copied."""
        return ResearchCode.open, (self.code, self.given)


class ResearchSolver(OpaqueSolver):
    """A solver whose library lies in a folder that the user names.

    Args:
        source: that folder; None takes the one that the environment variable of `code` names.
    """

    code: ClassVar[ResearchCode]
    code_parameters: ClassVar[tuple[str, ...]] = ("source",)

    def __init__(self, *, source: str | None = None) -> None:
        self.source_folder = source
        self._opened = self.code.open(source)

    @property
    def unavailable(self) -> str | None:
        """Why the code cannot be used; None where it can."""
        return self._opened.unavailable

    @property
    def used_code(self) -> dict[str, str]:
        """The state of the code."""
        return {} if self._opened.state is None else {self.code.name: self._opened.state}

    @property
    def library(self) -> ModuleType:
        """The code's package.

        Raises:
            IncompatibleError: it cannot be used, with the reason.
        """
        if self._opened.module is None:
            raise IncompatibleError(self._opened.unavailable)
        return self._opened.module


def digest_of(package: Path) -> str:
    """SHA-256 over the names and texts of a package's Python files, hexadecimal; line ends do not count.

    Raises:
        OSError: a file cannot be read.
    """
    found = hashlib.sha256()
    for file in sorted(package.rglob("*.py"), key=lambda file: file.relative_to(package).as_posix()):
        text = file.read_bytes().replace(b"\r\n", b"\n")
        name = file.relative_to(package).as_posix().encode()
        found.update(b"%d %s %d " % (len(name), name, len(text)) + text)
    return found.hexdigest()


@functools.lru_cache(maxsize=32)
def _loaded(package: Path, digest: str) -> ModuleType:
    """The package under a name of its own; read again where its files have changed."""
    name = f"odebench_research_{package.name}_{digest[:_SHOWN]}"
    place = {"submodule_search_locations": [str(package)]}
    spec = importlib.util.spec_from_file_location(name, package / "__init__.py", **place)
    if spec is None or spec.loader is None:
        raise ImportError(f"{package} is no Python package")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # its modules import each other through it
    try:
        with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a code that is older than torch
            spec.loader.exec_module(module)
    except BaseException:
        for one in [known for known in sys.modules if known == name or known.startswith(name + ".")]:
            del sys.modules[one]
        raise
    return module


def _commit_of(folder: Path) -> str | None:
    """The commit that is checked out in `folder`; None where it is no clone, or git is not there."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), "rev-parse", "--show-toplevel", "HEAD"],
            capture_output=True,
            text=True,
            timeout=_GIT_LIMIT_S,
            check=True,
        )
        top, commit = done.stdout.split("\n")[:2]
        return commit if Path(top).resolve() == folder.resolve() else None
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
