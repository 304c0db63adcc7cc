"""Which outcome an exception is, and how it is told."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import Any

from odebench.errors import DivergedError, FieldError, IncompatibleError, MeasurementError, OdebenchError
from odebench.outcome import Outcome

#: What allocators of torch and of the C++ library say when there is no memory.
_ALLOCATOR_TEXTS = ("can't allocate memory", "out of memory", "std::bad_alloc", "Cannot allocate memory")
#: Characters of a reason: a sentence for a table, not a document.
_LONGEST_REASON = 600
#: Frames of a traceback that are kept, from its end.
_FRAMES = 24


@dataclass(frozen=True, kw_only=True)
class Failure:
    """How a part did not end well.

    Attributes:
        outcome, reason, traceback: as a part has them.
        curable: whether the next run should try again, without being told to.
    """

    outcome: Outcome
    reason: str
    traceback: str | None = None
    curable: bool = False

    def to_json(self) -> dict[str, Any]:
        """The keys of a part that say so."""
        said = {"outcome": self.outcome.word, "reason": self.reason, "traceback": self.traceback}
        return said | ({"curable": True} if self.curable else {})


def failure_of(error: BaseException) -> Failure:
    """The failure that `error` is."""
    if isinstance(error, IncompatibleError):
        return Failure(outcome=Outcome.UNSUPPORTED, reason=_said(error))
    if isinstance(error, DivergedError):
        return Failure(outcome=Outcome.DIVERGED, reason=_said(error))
    if isinstance(error, MeasurementError):  # Our own words about a broken rule: where we noticed says nothing.
        return Failure(outcome=Outcome.ERROR, reason=_said(error))
    if is_out_of_memory(error):
        return Failure(outcome=Outcome.OUT_OF_MEMORY, reason=_said(error, named=True), traceback=_traceback(error))
    if isinstance(error, SystemExit):
        reason = f"It tried to leave the process: sys.exit({error.code!r})."
        return Failure(outcome=Outcome.ERROR, reason=reason, traceback=_traceback(error))
    return Failure(
        outcome=Outcome.ERROR,
        reason=_said(error, named=not isinstance(error, FieldError)),
        traceback=_traceback(error),
        curable=isinstance(error, OdebenchError) and error.curable,
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether there was no memory; torch says so with a RuntimeError on CPU, and with a class of its own elsewhere."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError | OSError) and any(text in _text(error) for text in _ALLOCATOR_TEXTS)


def _said(error: BaseException, *, named: bool = False) -> str:
    text = " ".join(_text(error).split())
    name = type(error).__name__
    text = f"{name}: {text}" if named and text else text or name
    return text if len(text) <= _LONGEST_REASON else text[: _LONGEST_REASON - 2] + " …"


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as second:  # noqa: BLE001 - a plugin's exception may fail even to say what it is
        return f"(its text could not be had: {type(second).__name__})"


def _traceback(error: BaseException) -> str:
    """The last frames; a plugin's exception that cannot be formatted gives what can be had."""
    try:
        lines = traceback.format_exception(type(error), error, error.__traceback__, limit=-_FRAMES)
        return "".join(lines)[-20_000:]
    except Exception:  # noqa: BLE001 - see above
        return "".join(traceback.format_tb(error.__traceback__, limit=-_FRAMES))
