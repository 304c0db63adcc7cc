"""Handwritten digits of 8 × 8 pixels: real data without a download."""

from __future__ import annotations

import functools
import hashlib
import io
import zlib
from importlib import util
from pathlib import Path

import numpy as np
import torch

from odebench.contract import Examples
from odebench.data.dataset import DataError, Dataset, Part

SIZE = 8
GREATEST = 16
"""Pixels are whole numbers from 0 to this."""

TEST_EXAMPLES = 500
_SHA256 = "6ebb3d2fee246a4e99363262ddf8a00a3c41bee6014c373ed9d9216ba7f651b8"


def digits(seed: int, *, size: int = SIZE) -> Dataset:
    """1797 digits of 43 writers, 1297 to learn from and 500 to test with: the same split for every seed.

    Pixels are divided by 16; inputs `(examples, 1, size, size)`. The file is the one that scikit-learn ships; scikit-learn itself
    is not imported, which would take a second.

    Source: E. Alpaydin, C. Kaynak, "Optical recognition of handwritten digits", UCI Machine Learning Repository, 1998,
    doi:10.24432/C50P49 (its test set).

    Args:
        seed: means nothing here.
        size: height and width, a multiple of 8: each pixel becomes a square of equal ones.
    """
    if size < SIZE or size % SIZE:
        raise DataError(f"digits: `size` is {size!r}; it must be a multiple of {SIZE}.")
    return Dataset(
        name="digits", shape=(1, size, size), classes=10, make=lambda part: _enlarged(_part(part), size // SIZE)
    )


def _enlarged(examples: Examples, times: int) -> Examples:
    if times == 1:
        return examples
    inputs = examples.inputs.repeat_interleave(times, -1).repeat_interleave(times, -2)
    return Examples(inputs=inputs, targets=examples.targets)


def _part(part: Part) -> Examples:
    table = _table()
    # NumPy promises that this stream stays what it is in all its versions.
    order = np.random.RandomState(0).permutation(len(table))
    rows = table[order[:TEST_EXAMPLES] if part == "test" else order[TEST_EXAMPLES:]]
    inputs = torch.from_numpy(rows[:, :-1]).double().div_(GREATEST).view(-1, 1, SIZE, SIZE)
    return Examples(inputs=inputs, targets=torch.from_numpy(rows[:, -1]).long())


def _table() -> np.ndarray:
    """Rows of 64 pixels and a class."""
    package = util.find_spec("sklearn")
    if package is None or not package.submodule_search_locations:
        raise DataError("digits: the file ships with scikit-learn, which is not installed: pip install scikit-learn.")
    return _read(Path(package.submodule_search_locations[0]) / "datasets" / "data" / "digits.csv.gz")


@functools.lru_cache(maxsize=1)
def _read(path: Path) -> np.ndarray:
    try:
        text = zlib.decompress(path.read_bytes(), wbits=31)
    except (OSError, zlib.error) as error:
        raise DataError(f"digits: {path} cannot be read: {error}. Install scikit-learn again.") from error
    if hashlib.sha256(text).hexdigest() != _SHA256:
        raise DataError(f"digits: {path} is not the file that this version knows. Install scikit-learn again.")
    table = np.loadtxt(io.BytesIO(text), delimiter=",", dtype=np.uint8)
    table.setflags(write=False)
    return table
