"""How a cell can end. Every cell ends in exactly one of these."""

from __future__ import annotations

from enum import Enum


class Outcome(Enum):
    """The end of a cell; the value is the sentence that a report shows, `word` is what a record stores."""

    OK = "It ran to its end and its figures are valid."
    DIVERGED = "The solution or the gradient is not finite, or the step size went to nothing."
    TIMEOUT = "It was stopped at the time limit of the suite."
    OUT_OF_MEMORY = "It asked for more memory than the limit of the suite."
    UNSUPPORTED = "This combination is not offered: the plugin or the machine says why."
    BLOCKED = "A cell that it needs failed."
    ERROR = "It raised an error, or broke a rule of measuring."
    CRASHED = "Its process died."

    @property
    def word(self) -> str:
        """The name that records store: `ok`, `out_of_memory`, …."""
        return self.name.lower()

    @classmethod
    def from_word(cls, word: str) -> Outcome:
        """The outcome that a record stored as `word`; raises `KeyError` for a word that is none."""
        return cls[word.upper()]
