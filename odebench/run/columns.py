"""Columns as a task gives them, as a part stores them."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from odebench.contract import Unknown
from odebench.errors import MeasurementError

#: Long columns of a cell, in the folder of whoever made them.
SERIES_FILE = "series.npz"


def values_and_reasons(columns: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Values by column, and for each null among them why it is null: it is unknown, or not finite."""
    values: dict[str, Any] = {}
    reasons: dict[str, str] = {}
    for name, value in columns.items():
        if isinstance(value, Unknown):
            values[name], reasons[name] = None, value.reason
        elif isinstance(value, float) and not math.isfinite(value):
            values[name], reasons[name] = None, f"It is {value}."
        else:
            values[name] = value
    return values, reasons


def series_content(columns: Mapping[str, np.ndarray]) -> bytes:
    """Long columns as numpy's archive, which whoever reads it refuses to unpickle.

    Raises:
        MeasurementError: a column holds Python objects.
    """
    objects = [name for name, column in columns.items() if np.asarray(column).dtype.kind == "O"]
    if objects:
        raise MeasurementError(
            f"Its series holds Python objects in {', '.join(objects)}. Give arrays of numbers or of texts."
        )
    content = io.BytesIO()
    np.savez(content, **columns)
    return content.getvalue()


def read_series(folder: Path) -> dict[str, np.ndarray] | None:
    """The long columns in `folder`, by name; None where there are none that can be read."""
    try:
        with np.load(folder / SERIES_FILE, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, KeyError):
        return None
