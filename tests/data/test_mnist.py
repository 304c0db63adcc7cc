"""MNIST and Fashion-MNIST files, written small in the true format."""

from __future__ import annotations

import gzip
import hashlib
import struct

import numpy as np
import pytest
import torch

from odebench import data
from odebench.data import DataError
from odebench.data import mnist as module

IMAGES, LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"
AS_IT_IS = {"name": "mnist", "verify": False}


def idx(array: np.ndarray) -> bytes:
    """The file of an array: 0, 0, 8 for bytes, the number of dimensions, each size in 4 bytes, big end first."""
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def arrays(count: int = 5) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(count)
    return generator.integers(0, 256, (count, 28, 28)), generator.integers(0, 10, count)


@pytest.fixture
def folder(tmp_path):
    """A folder with five test images."""
    (tmp_path / "mnist").mkdir()
    images, labels = arrays()
    (tmp_path / "mnist" / IMAGES).write_bytes(idx(images))
    (tmp_path / "mnist" / LABELS).write_bytes(idx(labels))
    return tmp_path


def loaded_test(folder, table=AS_IT_IS):
    return data.load(table, 0, data_dir=folder).test


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("mnist", "mnist"),
        ("mnist", "MNIST/raw"),
        ("fashion-mnist", "fashion-mnist"),
        ("fashion-mnist", "FashionMNIST/raw"),
    ],
)
def test_images_and_labels_are_read(tmp_path, name, place, packed):
    images, labels = arrays(7)
    (tmp_path / place).mkdir(parents=True)
    for file, array in ((IMAGES, images), (LABELS, labels)):
        content = gzip.compress(idx(array)) if packed else idx(array)
        (tmp_path / place / (file + ".gz" * packed)).write_bytes(content)
    found = loaded_test(tmp_path, {"name": name, "verify": False})
    assert found.targets.tolist() == labels.tolist()
    assert torch.equal(found.inputs, (torch.from_numpy(images).float() / 255).unsqueeze(1))


def test_the_two_sets_are_not_taken_for_each_other(folder):
    with pytest.raises(DataError, match="fashion-mnist: found no train-images"):
        _ = data.load({"name": "fashion-mnist", "verify": False}, 0, data_dir=folder).train


def test_files_that_were_not_published_are_refused_unless_it_is_said(folder, monkeypatch):
    monkeypatch.setitem(module._EXAMPLES, "test", 5)
    with pytest.raises(DataError, match="is not the published file") as raised:
        loaded_test(folder, "mnist")
    assert 'data = { name = "mnist", verify = false }' in str(raised.value)
    for file, array in zip((IMAGES, LABELS), arrays(), strict=True):
        monkeypatch.setitem(module._MD5["mnist"], file, hashlib.md5(idx(array)).hexdigest())
    assert len(loaded_test(folder, "mnist")) == 5


def test_fewer_examples_than_were_published_are_refused(folder):
    with pytest.raises(DataError, match="has 5 examples; the published file has 10000"):
        loaded_test(folder, "mnist")


def test_labels_in_the_place_of_images_are_refused(folder):
    (folder / "mnist" / IMAGES).write_bytes(idx(arrays()[1]))
    with pytest.raises(DataError, match="begins with the bytes 00 00 08 01; .* begins with 00 00 08 03"):
        loaded_test(folder)


@pytest.mark.parametrize("content", [b"", b"\x00\x00", b"<html>not found</html>", struct.pack(">BBBB", 0, 0, 13, 3)])
def test_what_is_no_idx_file_is_refused(folder, content):
    (folder / "mnist" / IMAGES).write_bytes(content)
    with pytest.raises(DataError, match="begins with the bytes"):
        loaded_test(folder)


@pytest.mark.parametrize("kept", [4, 12, 15])
def test_a_header_that_was_cut_off_is_refused(folder, kept):
    path = folder / "mnist" / IMAGES
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(DataError, match="says that it holds nothing"):
        loaded_test(folder)


@pytest.mark.parametrize(
    ("change", "word"), [(lambda c: c[:-1], "it was cut off"), (lambda c: c + b"!", "behind its end")]
)
@pytest.mark.parametrize("file", [IMAGES, LABELS])
def test_a_file_of_the_wrong_length_is_refused(folder, file, change, word):
    path = folder / "mnist" / file
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DataError, match=word):
        loaded_test(folder)


def test_a_packed_file_that_was_cut_off_is_refused(folder):
    path = folder / "mnist" / IMAGES
    packed = gzip.compress(path.read_bytes())
    path.unlink()
    (folder / "mnist" / f"{IMAGES}.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(DataError, match="cannot be read.*may have been cut off"):
        loaded_test(folder)


def test_images_of_another_size_and_none_are_refused(folder):
    for array, word in ((np.zeros((5, 14, 28)), "5 × 14 × 28"), (np.zeros((0, 28, 28)), "0 × 28 × 28")):
        (folder / "mnist" / IMAGES).write_bytes(idx(array))
        with pytest.raises(DataError, match=word):
            loaded_test(folder)


def test_labels_of_other_images_are_refused(folder):
    (folder / "mnist" / LABELS).write_bytes(idx(arrays(6)[1]))
    with pytest.raises(DataError, match="has 5 images, and beside it there are 6 labels"):
        loaded_test(folder)


def test_a_label_out_of_range_is_refused(folder):
    (folder / "mnist" / LABELS).write_bytes(idx(np.array((0, 1, 10, 3, 4))))
    with pytest.raises(DataError, match="there is a label 10"):
        loaded_test(folder)


def test_without_files_it_says_what_to_download_and_where_it_belongs(tmp_path):
    with pytest.raises(DataError, match="put them into fashion-mnist in the folder") as raised:
        _ = data.load("fashion-mnist", 0, data_dir=tmp_path).train
    assert "train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, t10k" in str(raised.value)
