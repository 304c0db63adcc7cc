"""Columns as a task gives them, as a part stores them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from odebench.contract import Unknown


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
