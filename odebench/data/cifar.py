"""CIFAR-10 and CIFAR-100 in their binary format: records of one or two labels and 3 × 32 × 32 pixels, a byte each."""

from __future__ import annotations

import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from odebench.contract import Examples
from odebench.data.dataset import DataError, Dataset, Part
from odebench.data.official import Publication, md5

SHAPE = (3, 32, 32)
PIXELS = 3 * 32 * 32
_PAGE = "https://www.cs.toronto.edu/~kriz/"


@dataclass(frozen=True, kw_only=True)
class _Kind:
    """One of the two sets.

    Attributes:
        publication: the archive.
        archive, archive_md5: its name and sum, as on the data's page.
        folder: the archive's own folder.
        labels: number of values of each label byte of a record; the last one is the class.
        records: in each file.
        files: the files of each part, with their sums.
    """

    publication: Publication
    archive: str
    archive_md5: str
    folder: str
    labels: tuple[int, ...]
    records: dict[Part, int]
    files: dict[Part, dict[str, str]]


def _kind(name: str, words: str, **rest: object) -> _Kind:
    archive, folder = f"{words}-binary.tar.gz", rest["folder"]
    publication = Publication(
        name=name,
        files=archive,
        url=_PAGE,
        put="it into the folder, unpacked or not",
        folders=(".", name, words, str(folder), f"{name}/{folder}"),
    )
    return _Kind(publication=publication, archive=archive, **rest)


# The archives' sums stand on https://www.cs.toronto.edu/~kriz/cifar.html.
_CIFAR10 = _kind(
    "cifar10",
    "cifar-10",
    archive_md5="c32a1d4ab5d03f1284b67883e8d87530",
    folder="cifar-10-batches-bin",
    labels=(10,),
    records={"train": 10000, "test": 10000},
    files={
        "train": {
            "data_batch_1.bin": "5dd7e06a14cb22eb9f671a540d1b7c25",
            "data_batch_2.bin": "5ea93a67294ea407fff1d09f752e9692",
            "data_batch_3.bin": "942cd6a4bcdd0dd3c604fbe906cb4421",
            "data_batch_4.bin": "ae636b3ba5c66a11e91e8cb52e771fcb",
            "data_batch_5.bin": "53f37980c15c3d472c316c40844f3f0d",
        },
        "test": {"test_batch.bin": "803d5f7f4d78ea53de84dbe85f74fb6d"},
    },
)
_CIFAR100 = _kind(
    "cifar100",
    "cifar-100",
    archive_md5="03b5dce01913d631647c71ecec9e9cb8",
    folder="cifar-100-binary",
    labels=(20, 100),
    records={"train": 50000, "test": 10000},
    files={
        "train": {"train.bin": "6172c7755cfe09b2fe270c85cebc1b15"},
        "test": {"test.bin": "4499cfba6c016c1be1438163640a0898"},
    },
)


def cifar10(seed: int, data_dir: Path | str | None = None, *, verify: bool = True) -> Dataset:
    """50,000 and 10,000 colour photographs of 10 kinds of things; pixels in [0, 1], inputs `(examples, 3, 32, 32)`.

    Source: A. Krizhevsky, "Learning multiple layers of features from tiny images", 2009,
    https://www.cs.toronto.edu/~kriz/cifar.html.

    Args:
        seed: means nothing here.
        data_dir: the folder that holds the archive `cifar-10-binary.tar.gz`, or its unpacked folder.
        verify: refuse files that are not the published ones.
    """
    return _dataset(_CIFAR10, data_dir, verify)


def cifar100(seed: int, data_dir: Path | str | None = None, *, verify: bool = True) -> Dataset:
    """As `cifar10`, with 100 kinds of things (the fine labels)."""
    return _dataset(_CIFAR100, data_dir, verify)


class _File(NamedTuple):
    """One file of records.

    Attributes:
        where: for messages.
        content: its bytes.
        md5: the sum that it must have; None where that is known already, or where nobody asks.
    """

    where: str
    content: bytes
    md5: str | None


def _dataset(kind: _Kind, data_dir: Path | str | None, verify: bool) -> Dataset:
    def make(part: Part) -> Examples:
        parts = [_records(kind, part, file, verify) for file in _files(kind, part, data_dir, verify)]
        images = np.concatenate([images for images, _ in parts])
        classes = np.concatenate([classes for _, classes in parts])
        return Examples(
            inputs=torch.from_numpy(images).float().div_(255).view(-1, *SHAPE), targets=torch.from_numpy(classes).long()
        )

    return Dataset(name=kind.publication.name, shape=SHAPE, classes=kind.labels[-1], make=make)


def _files(kind: _Kind, part: Part, data_dir: Path | str | None, verify: bool) -> list[_File]:
    publication, sums = kind.publication, kind.files[part]
    first = publication.find((next(iter(sums)), kind.archive), data_dir)
    try:
        if first.name == kind.archive:
            return _unpacked(kind, first, tuple(sums), verify)
        paths = {name: first.parent / name for name in sums}
        missing = [name for name, path in paths.items() if not path.is_file()]
        if missing:
            raise DataError(f"{publication.name}: {first.parent} has no {', '.join(missing)}. {publication.advice}")
        return [_File(str(path), path.read_bytes(), sums[name] if verify else None) for name, path in paths.items()]
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise DataError(
            f"{publication.name}: {first} cannot be read: {error}. The download may have been cut off. {publication.advice}"
        ) from error


def _unpacked(kind: _Kind, path: Path, names: tuple[str, ...], verify: bool) -> list[_File]:
    """The files of these names in the archive, which is read and never extracted."""
    publication = kind.publication
    if verify:
        publication.check(path, md5(path), kind.archive_md5)
    wanted = {f"{kind.folder}/{name}": name for name in names}
    found: dict[str, bytes] = {}
    with tarfile.open(path, mode="r|gz") as archive:
        for member in archive:
            name = wanted.get(member.name.removeprefix("./"))
            if name is not None and member.isfile():
                found[name] = archive.extractfile(member).read()
    missing = [name for name in names if name not in found]
    if missing:
        raise DataError(
            f"{publication.name}: {path} holds no {kind.folder}/{', '.join(missing)}. It is another archive, perhaps the one for "
            f"Python. {publication.advice}"
        )
    return [_File(f"{kind.folder}/{name} in {path}", found[name], None) for name in names]


def _records(kind: _Kind, part: Part, file: _File, verify: bool) -> tuple[np.ndarray, np.ndarray]:
    """Pixels and classes of one file."""
    publication, size, expected = kind.publication, len(kind.labels) + PIXELS, kind.records[part]
    whole, rest = divmod(len(file.content), size)
    if rest or not whole or (verify and whole != expected):
        cut = "It was cut off, or is another file" if len(file.content) < expected * size else "It is another file"
        raise DataError(
            f"{publication.name}: {file.where} has {len(file.content)} bytes: {whole} records of {size} bytes, and {rest} bytes "
            f"more. The published file has {expected} records, {expected * size} bytes. {cut}. {publication.advice}"
        )
    table = np.frombuffer(file.content, dtype=np.uint8).reshape(whole, size)
    for column, values in enumerate(kind.labels):
        greatest = int(table[:, column].max())
        if greatest >= values:
            raise DataError(
                f"{publication.name}: {file.where} has the label {greatest} in byte {column} of a record, which holds 0 to "
                f"{values - 1}. It is another file. {publication.advice}"
            )
    if file.md5 is not None:
        publication.check(file.where, md5(file.content), file.md5)
    return table[:, len(kind.labels) :], table[:, len(kind.labels) - 1]
