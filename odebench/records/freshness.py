"""What could change an answer: a record of other freshness is measured again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from odebench.errors import RecordError
from odebench.plan.cell import canonical_json, short_hash


def freshness(versions: Mapping[str, str], sources: Mapping[str, str] | None = None) -> str:
    """16 hexadecimal digits that hash what could change a cell's answer; the order of the mappings does not matter.

    Args:
        versions: of odebench, torch and the distributions that the cell uses, by name.
        sources: hashes of the local plugin files that it uses, by registered name, as `source_hash` gives them. Their paths stay
            out: the same file elsewhere gives the same answers.
    """
    return short_hash(canonical_json({"sources": dict(sources or {}), "versions": dict(versions)}))


def source_hash(file: Path) -> str:
    """SHA-256 of a local plugin's file, hexadecimal.

    Raises:
        RecordError: the file cannot be read.
    """
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise RecordError(
            f"{file}: cannot be read: {error.strerror}. A local plugin must stay where the suite names it."
        ) from error
