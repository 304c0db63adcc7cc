"""MNIST and Fashion-MNIST in their own format, idx: a header of big-endian numbers, then a byte for each pixel or label."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import torch

from odebench.contract import Examples
from odebench.data.dataset import DataError, Dataset, Part
from odebench.data.official import Publication, md5

SHAPE = (1, 28, 28)
CLASSES = 10
_EXAMPLES: dict[Part, int] = {"train": 60000, "test": 10000}
_FILES: dict[Part, tuple[str, str]] = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


def _publication(name: str, torchvision: str, url: str) -> Publication:
    return Publication(
        name=name,
        files=", ".join(f"{file}.gz" for files in _FILES.values() for file in files),
        url=url,
        put=f"them into {name} in the folder, unpacked or not",
        folders=(name, f"{torchvision}/raw"),
    )


_MNIST = _publication("mnist", "MNIST", "https://ossci-datasets.s3.amazonaws.com/mnist/")
_FASHION = _publication("fashion-mnist", "FashionMNIST", "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/")
# Of the unpacked files, so that it does not matter who packed them.
_MD5 = {
    _MNIST.name: {
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    },
    _FASHION.name: {
        "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
        "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
        "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
    },
}


def mnist(seed: int, data_dir: Path | str | None = None, *, verify: bool = True) -> Dataset:
    """60,000 and 10,000 handwritten digits; pixels in [0, 1], inputs `(examples, 1, 28, 28)`.

    Source: Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of handwritten digits", 1998.

    Args:
        seed: means nothing here.
        data_dir: the folder in which `mnist` holds the four files `train-images-idx3-ubyte`, …, each of them plain or `.gz`.
        verify: refuse files that are not the published ones.
    """
    return _dataset(_MNIST, data_dir, verify)


def fashion_mnist(seed: int, data_dir: Path | str | None = None, *, verify: bool = True) -> Dataset:
    """As `mnist`, with pictures of ten kinds of clothes, in the folder `fashion-mnist`.

    Source: H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST", 2017, arXiv:1708.07747.
    """
    return _dataset(_FASHION, data_dir, verify)


def _dataset(publication: Publication, data_dir: Path | str | None, verify: bool) -> Dataset:
    def make(part: Part) -> Examples:
        (images, where), (classes, _) = (
            _array(publication, name, _EXAMPLES[part], sizes, data_dir, verify)
            for name, sizes in zip(_FILES[part], (SHAPE[1:], ()), strict=True)
        )
        if len(images) != len(classes):
            raise DataError(
                f"{publication.name}: {where} has {len(images)} images, and beside it there are {len(classes)} labels. They do "
                f"not belong together. {publication.advice}"
            )
        if classes.max() >= CLASSES:
            raise DataError(
                f"{publication.name}: there is a label {classes.max()} beside {where}; labels are 0 to {CLASSES - 1}. It is "
                f"another file. {publication.advice}"
            )
        inputs = torch.from_numpy(images.astype(np.float32)).div_(255).view(-1, *SHAPE)
        return Examples(inputs=inputs, targets=torch.from_numpy(classes.astype(np.int64)))

    return Dataset(name=publication.name, shape=SHAPE, classes=CLASSES, make=make)


def _array(
    publication: Publication,
    name: str,
    examples: int,
    sizes: tuple[int, ...],
    data_dir: Path | str | None,
    verify: bool,
) -> tuple[np.ndarray, Path]:
    """The array in one file, `(examples, *sizes)`, and where it was found."""
    path = publication.find((name, f"{name}.gz"), data_dir)
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = zlib.decompress(content, wbits=31)
    except (OSError, zlib.error) as error:
        raise DataError(
            f"{publication.name}: {path} cannot be read: {error}. The download may have been cut off. {publication.advice}"
        ) from error
    array = _parsed(publication, path, content, sizes)
    if verify:
        if len(array) != examples:
            raise DataError(
                f"{publication.name}: {path} has {len(array)} examples; the published file has {examples}. It is another file. "
                f"{publication.advice}"
            )
        publication.check(path, md5(content), _MD5[publication.name][name])
    return array, path


def _parsed(publication: Publication, path: Path, content: bytes, sizes: tuple[int, ...]) -> np.ndarray:
    """The array that an idx file describes.

    The header: two zero bytes, the type of the numbers (8: bytes), how many dimensions, and the size of each in 4 bytes.
    """
    dimensions = 1 + len(sizes)
    header = 4 + 4 * dimensions
    expected = bytes((0, 0, 8, dimensions))
    if content[:4] != expected:
        raise DataError(
            f"{publication.name}: {path} begins with the bytes {content[:4].hex(' ') or '(none)'}; an idx file of bytes in "
            f"{dimensions} dimensions begins with {expected.hex(' ')}. It is another file. {publication.advice}"
        )
    shape = tuple(np.frombuffer(content[4:header], dtype=">u4").tolist()) if len(content) >= header else ()
    if shape[1:] != sizes or not shape or not shape[0]:
        raise DataError(
            f"{publication.name}: {path} says that it holds {' × '.join(map(str, shape)) or 'nothing'}; expected "
            f"{' × '.join(('examples', *map(str, sizes)))}. {publication.advice}"
        )
    needed = header + int(np.prod(shape, dtype=np.int64))
    if len(content) != needed:
        cut = "it was cut off" if len(content) < needed else "there is something behind its end"
        raise DataError(
            f"{publication.name}: {path} has {len(content)} bytes where its header promises {needed}: {cut}. {publication.advice}"
        )
    return np.frombuffer(content, dtype=np.uint8, offset=header).reshape(shape)
