"""What a record must not hold: home paths, user names, secrets. Also keeps texts at a length that a report can show."""

from __future__ import annotations

import getpass
import os
import re
from collections.abc import Mapping
from pathlib import Path

#: Longer texts lose their middle: a plugin may raise an error of megabytes.
LONGEST = 20_000

_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL", re.IGNORECASE)
# Shorter values are words like "1" or "true": taking them out would garble the text and hide nothing.
_SHORTEST_SECRET = 6
# A user name that is also an ordinary word is taken out of paths only.
_ORDINARY = {
    "root",
    "user",
    "admin",
    "runner",
    "test",
    "ubuntu",
    "debian",
    "node",
    "build",
    "jenkins",
    "odebench",
    "torch",
}
_HOMES = re.compile(r"(?:/home/|/Users/|[A-Za-z]:\\Users\\)[^/\\\s\"':;,]+")
_URL_LOGIN = re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^\s/@\"']+@", re.IGNORECASE)
# `tokens=32` is a parameter and `token = next(tokens)` is a line of code; `token=ab12cd34ef` and `token: "x"` are neither.
_ASSIGNED = re.compile(
    r"(\b[\w-]*(?:api_?key|token|secret|passw(?:or)?d)[\"']?\s*[=:]\s*)"
    r"(?:\"[^\"\n]+\"|'[^'\n]+'|[A-Za-z0-9._~+/=-]{8,}(?![\w(\[]))",
    re.IGNORECASE,
)
_BEARER = re.compile(r"\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{8,}")


class Scrubber:
    """Takes home paths, the user's name and secrets out of texts.

    Args:
        environment: variables whose names look like a secret's give the values to take out; None reads this process's.
        home: the user's home folder; None asks the system.
        user: the user's login name; None asks the system.
    """

    def __init__(
        self, environment: Mapping[str, str] | None = None, home: Path | None = None, user: str | None = None
    ) -> None:
        environment = os.environ if environment is None else environment
        secrets = {
            value: name
            for name, value in environment.items()
            if _SECRET_NAME.search(name) and len(value) >= _SHORTEST_SECRET and not os.path.isabs(value)
        }
        # The longest first: one secret may be a part of another.
        self._secrets = sorted(secrets.items(), key=lambda item: -len(item[0]))
        self._home = str(_home() if home is None else home).rstrip("/\\")
        self._user = _user() if user is None else user

    def __call__(self, text: str) -> str:
        """`text` without them: secrets become `<NAME>` or `<secret>`, the home folder `~`, the user `<user>`."""
        # Half a surrogate pair, from a file name that is not UTF-8, cannot be written.
        text = text.encode("utf-8", "backslashreplace").decode()
        for value, name in self._secrets:
            text = text.replace(value, f"<{name}>")
        text = _URL_LOGIN.sub(r"\1<secret>@", text)
        text = _BEARER.sub(r"\1 <secret>", text)
        text = _ASSIGNED.sub(r"\1<secret>", text)
        if len(self._home) > 1:
            text = re.sub(re.escape(self._home) + r"(?![\w.-])", "~", text)
        text = _HOMES.sub("~", text)
        if self._user and len(self._user) > 2:
            bounds = (r"(?<=[/\\-])", r"(?=[/\\]|$)") if self._user.lower() in _ORDINARY else (r"(?<!\w)", r"(?!\w)")
            text = re.sub(bounds[0] + re.escape(self._user) + bounds[1], "<user>", text)
        return shorten(text)


def shorten(text: str, longest: int = LONGEST) -> str:
    """`text` itself, or its beginning and end with the number of characters that are left out between."""
    if len(text) <= longest:
        return text
    keep = longest // 2
    return f"{text[:keep]}\n… {len(text) - 2 * keep} characters left out …\n{text[-keep:]}"


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:
        return Path("/")


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # A user id without a name, as in some containers.
        return ""
