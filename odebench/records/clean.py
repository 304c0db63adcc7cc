"""What a worker sent, made fit to be stored: finite numbers, scrubbed and shortened texts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from odebench.errors import RecordError
from odebench.records.record import Part, Round


def clean_part(name: str, raw: Mapping[str, Any] | Part | Round, scrub: Callable[[str], str]) -> Part | Round:
    """The part that `raw` describes.

    A value that is not finite becomes null, with the reason in `reasons`; a sample that is not finite becomes null and makes its
    round invalid; any other number that is not finite becomes null. All texts are scrubbed.

    Args:
        name: "quality", "memory" or "timing"; the latter takes one round.
        raw: JSON values as the worker sent them, or a part.
        scrub: takes secrets out of a text and shortens it.

    Raises:
        RecordError: it is no such part.
    """
    data = raw.model_dump(mode="json") if isinstance(raw, Part | Round) else dict(raw)
    if name == "timing":
        _explain_samples(data)
    elif isinstance(data.get("values"), Mapping):
        lost = {column: value for column, value in data["values"].items() if _not_finite(value)}
        data["reasons"] = {column: f"It is {value}, not a finite number." for column, value in lost.items()} | dict(
            data.get("reasons") or {}
        )
    try:
        return (Round if name == "timing" else Part).model_validate(storable(data, scrub))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise RecordError(
            f"the worker's {name} part has a wrong `{'.'.join(map(str, first['loc']))}`: {first['msg']}. This is a bug of whoever "
            f"measured it."
        ) from None


def storable(value: Any, scrub: Callable[[str], str]) -> Any:
    """A deep copy of JSON values with texts scrubbed and numbers that are not finite as null; keys stay as they are."""
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, Mapping):
        return {key: storable(item, scrub) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [storable(item, scrub) for item in value]
    return None if _not_finite(value) else value


def _explain_samples(data: dict[str, Any]) -> None:
    samples = data.get("samples")
    if not isinstance(samples, Mapping):
        return
    lost = [
        column
        for column, values in samples.items()
        if isinstance(values, list | tuple) and any(map(_not_finite, values))
    ]
    if lost:
        data["valid"] = False
        data["reason_invalid"] = data.get("reason_invalid") or f"A sample of {', '.join(lost)} is not a finite number."


def _not_finite(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)
