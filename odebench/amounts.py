"""Durations and sizes as people write them: "1h30m", "8GiB"."""

from __future__ import annotations

import re

_SECONDS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {
    "B": 1,
    "kB": 10**3,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}
_NUMBER_AND_UNIT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]+)\s*", re.ASCII)


def parse_duration(text: str) -> float:
    """Seconds in `text`: numbers with units ms, s, m (or min), h, d, as in "90s", "2m" or "1h30m".

    Raises:
        ValueError: the text is no duration, or one of zero length.
    """
    seconds = sum(_parts(text, _SECONDS, 'a duration such as "90s", "2m" or "1h30m"'))
    if seconds <= 0:
        raise ValueError(f"{text!r} is no time at all; write a duration above zero, such as '2m'")
    return seconds


def parse_size(text: str) -> int:
    """Bytes in `text`: a number with a unit, B, kB, MB, GB, TB (powers of 1000) or KiB, MiB, GiB, TiB (powers of 1024).

    Raises:
        ValueError: the text is no size, or less than one byte.
    """
    size = int(sum(_parts(text, _BYTES, 'a size such as "512MiB" or "8GiB"')))
    if size < 1:
        raise ValueError(f"{text!r} is no memory at all; write a size above zero, such as '8GiB'")
    return size


def _parts(text: str, units: dict[str, float], wanted: str) -> list[float]:
    """Each number of `text` times its unit; `ValueError` where the text is anything else."""
    parts, position = [], 0
    while match := _NUMBER_AND_UNIT.match(text, position):
        number, unit = match.groups()
        if unit not in units:
            raise ValueError(f"{unit!r} is no unit; use one of {', '.join(units)}")
        parts.append(float(number) * units[unit])
        position = match.end()
    if not parts or position != len(text):
        raise ValueError(f"{text!r} is not {wanted}")
    return parts
