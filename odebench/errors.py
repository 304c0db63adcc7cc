"""Every error that odebench raises on purpose.

A message says what is wrong, where, what was found and what to do. Anything that is not an `OdebenchError` is a bug.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, ClassVar


class OdebenchError(Exception):
    """Base of all errors of odebench; the command line shows its text without a traceback.

    Attributes:
        curable: whether the fault lies in the machine, not in the question, so that a cell that failed by it is asked again
            in the next run.
    """

    curable: ClassVar[bool] = False


class SuiteError(OdebenchError):
    """A suite file, or an override of one of its keys, cannot be used."""


class PluginError(OdebenchError):
    """A plugin broke a rule of registration: a name taken twice, a missing attribute, a wrong type."""


class InterpreterError(OdebenchError):
    """An interpreter in which a plugin should live cannot be used: it is not there, is no Python, or has no such odebench."""


class UnknownNameError(PluginError):
    """No plugin registers this name for this kind."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        self.kind, self.name = kind, name
        self.nearest = nearest(name, known)
        hint = f"; did you mean {self.nearest!r}?" if self.nearest else "."
        super().__init__(
            f"No plugin registers a {kind_in_words(kind)} named {name!r}{hint} `odebench list {kinds_listed(kind)}` shows all."
        )


class IncompatibleError(OdebenchError):
    """Two things that cannot work together: a gradient method and a solver, a field and a grid, a dtype and a device."""


class CompileError(IncompatibleError):
    """A solve cannot be compiled: its solver, its gradient method or its field does not allow it."""


class FieldError(OdebenchError):
    """A vector field returned something that is no derivative of the state it was given."""


class TableauError(OdebenchError):
    """A Butcher tableau contradicts itself."""


class GridError(OdebenchError):
    """Step counts, tolerances or output times that describe no solve."""


class DivergedError(OdebenchError):
    """A solve could not go on: the step size fell below its minimum, or the number of steps reached its maximum.

    Attributes:
        solution: what was solved until then, or None.
    """

    def __init__(self, message: str, solution: Any = None) -> None:
        super().__init__(message)
        self.solution = solution


class RecordError(OdebenchError):
    """A result folder, or a file in it, cannot be read or written."""


class MeasurementError(OdebenchError):
    """A measured call broke a rule of measuring, so its figures would mean nothing."""


class NotKnownError(OdebenchError):
    """Nothing that deserves trust is known here: no reference, or one that is not better than what it should judge."""


def kind_in_words(kind: str) -> str:
    """A kind of plugin as a sentence calls it: a "step_policy" is a step policy."""
    return kind.replace("_", " ")


def kinds_listed(kind: str) -> str:
    """The word after `odebench list` that shows this kind of plugin: "solvers", "policies"."""
    last = kind.rpartition("_")[2]
    return f"{last[:-1]}ies" if last.endswith("y") else f"{last}s"


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word closest to `word`, or None where none is close."""
    known = list(known)
    matches = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    if matches:
        return matches[0]
    return next((k for k in known if word and (k.startswith(word) or word in k)), None)
