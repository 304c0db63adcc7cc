"""What a check says when a promise is broken."""

from __future__ import annotations


class Failure(AssertionError):  # noqa: N818 - the word that authors meet; "AssertionError" says what it is
    """A broken promise, told as a colleague would: what was expected, what was found, why it may be, and where to look.

    Args:
        expected: what the plugin promises, as the end of "Expected …".
        measured: what was found instead, with its figures, as the end of "Measured …".
        cause: the likeliest cause, as a sentence without its full stop.
        look: where to look for it, as the end of "Look at …".
    """

    def __init__(self, *, expected: str, measured: str, cause: str, look: str) -> None:
        self.expected, self.measured, self.cause, self.look = expected, measured, cause, look
        super().__init__(f"Expected {expected}. Measured {measured}. The likeliest cause: {cause}. Look at {look}.")
