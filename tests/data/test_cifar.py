"""CIFAR files, written small in the true format."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile

import numpy as np
import pytest
import torch

from odebench import data
from odebench.data import DataError
from odebench.data import cifar as module

TRAIN10 = [f"data_batch_{k}.bin" for k in range(1, 6)]
AS_IT_IS = {"name": "cifar10", "verify": False}
AS_IT_IS_100 = {"name": "cifar100", "verify": False}


def records(count: int, seed: int, classes: tuple[int, ...] = (10,)) -> tuple[bytes, np.ndarray, np.ndarray]:
    """A file, its pixels and its classes."""
    generator = np.random.default_rng(seed)
    labels = np.stack([generator.integers(0, n, count) for n in classes], 1).astype(np.uint8)
    pixels = generator.integers(0, 256, (count, 3072)).astype(np.uint8)
    return b"".join(bytes(row) + bytes(image) for row, image in zip(labels, pixels, strict=True)), pixels, labels[:, -1]


@pytest.fixture
def folder(tmp_path):
    """A folder with CIFAR-10 of three records a file."""
    inner = tmp_path / "cifar-10-batches-bin"
    inner.mkdir()
    for index, name in enumerate([*TRAIN10, "test_batch.bin"]):
        (inner / name).write_bytes(records(3, index)[0])
    return tmp_path


def pack(path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def test_records_are_a_label_and_three_planes_of_pixels(folder):
    loaded = data.load(AS_IT_IS, 0, data_dir=folder)
    assert (loaded.shape, loaded.classes) == ((3, 32, 32), 10)
    _, pixels, classes = records(3, 5)
    assert torch.equal(loaded.test.targets, torch.from_numpy(classes).long())
    expected = torch.from_numpy(pixels).float() / 255
    assert torch.equal(loaded.test.inputs.flatten(1), expected)
    # Plane by plane, row by row: green, second row, fourth column.
    assert loaded.test.inputs[1, 1, 1, 3].item() == expected[1, 1024 + 32 + 3].item()


def test_the_training_data_are_the_five_files_in_their_order(folder):
    train = data.load(AS_IT_IS, 0, data_dir=folder).train
    expected = np.concatenate([records(3, index)[2] for index in range(5)])
    assert train.targets.tolist() == expected.tolist()


def test_cifar100_has_two_labels_of_which_the_fine_one_counts(tmp_path):
    (tmp_path / "cifar-100-binary").mkdir()
    for index, name in enumerate(("train.bin", "test.bin")):
        (tmp_path / "cifar-100-binary" / name).write_bytes(records(4, index, (20, 100))[0])
    loaded = data.load(AS_IT_IS_100, 0, data_dir=tmp_path)
    assert loaded.classes == 100
    for index, part in enumerate((loaded.train, loaded.test)):
        _, pixels, fine = records(4, index, (20, 100))
        assert part.targets.tolist() == fine.tolist()
        assert torch.equal(part.inputs.flatten(1), torch.from_numpy(pixels).float() / 255)


def test_the_archive_is_read_as_it_was_downloaded(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("archive")
    inner = folder / "cifar-10-batches-bin"
    members = {f"cifar-10-batches-bin/{path.name}": path.read_bytes() for path in inner.iterdir()}
    pack(other / "cifar-10-binary.tar.gz", {"cifar-10-batches-bin/readme.html": b"<p>"} | members)
    packed, plain = (data.load(AS_IT_IS, 0, data_dir=place) for place in (other, folder))
    assert torch.equal(packed.train.inputs, plain.train.inputs)
    assert torch.equal(packed.test.targets, plain.test.targets)
    assert [path.name for path in other.iterdir()] == ["cifar-10-binary.tar.gz"]


def test_files_that_were_not_published_are_refused_unless_it_is_said(folder, monkeypatch):
    monkeypatch.setitem(module._CIFAR10.records, "test", 3)
    with pytest.raises(DataError, match="is not the published file") as raised:
        _ = data.load("cifar10", 0, data_dir=folder).test
    message = str(raised.value)
    assert 'data = { name = "cifar10", verify = false }' in message
    assert "803d5f7f4d78ea53de84dbe85f74fb6d" in message
    monkeypatch.setitem(module._CIFAR10.files["test"], "test_batch.bin", hashlib.md5(records(3, 5)[0]).hexdigest())
    assert len(data.load("cifar10", 0, data_dir=folder).test) == 3


def test_an_archive_that_was_not_published_is_refused(tmp_path):
    pack(tmp_path / "cifar-10-binary.tar.gz", {"cifar-10-batches-bin/test_batch.bin": records(3, 5)[0]})
    with pytest.raises(DataError, match="its MD5 is .*c32a1d4ab5d03f1284b67883e8d87530"):
        _ = data.load("cifar10", 0, data_dir=tmp_path).test


def test_the_sums_are_those_of_the_datas_page():
    assert module._CIFAR10.archive_md5 == "c32a1d4ab5d03f1284b67883e8d87530"
    assert module._CIFAR100.archive_md5 == "03b5dce01913d631647c71ecec9e9cb8"


@pytest.mark.parametrize("verify", [True, False])
def test_a_file_that_was_cut_off_is_refused(folder, verify):
    path = folder / "cifar-10-batches-bin" / "test_batch.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"9218 bytes: 2 records of 3073 bytes, and 3072 bytes more.* cut off"):
        _ = data.load({"name": "cifar10", "verify": verify}, 0, data_dir=folder).test


def test_an_empty_file_is_refused(folder):
    (folder / "cifar-10-batches-bin" / "test_batch.bin").write_bytes(b"")
    with pytest.raises(DataError, match="has 0 bytes"):
        _ = data.load(AS_IT_IS, 0, data_dir=folder).test


def test_whole_records_are_not_enough_where_the_published_file_is_wanted(folder):
    with pytest.raises(DataError, match=r"The published file has 10000 records, 30730000 bytes"):
        _ = data.load("cifar10", 0, data_dir=folder).test


@pytest.mark.parametrize(
    ("table", "classes", "byte"), [(AS_IT_IS, (11,), 0), (AS_IT_IS_100, (21, 100), 0), (AS_IT_IS_100, (20, 101), 1)]
)
def test_a_label_out_of_range_is_refused(tmp_path, table, classes, byte):
    content = bytearray(records(2, 0, tuple(n - 1 for n in classes))[0])
    content[byte] = classes[byte] - 1
    name = "test_batch.bin" if table is AS_IT_IS else "test.bin"
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=f"label {classes[byte] - 1} in byte {byte} of a record"):
        _ = data.load(table, 0, data_dir=tmp_path).test


def test_a_training_file_that_is_missing_is_named(folder):
    (folder / "cifar-10-batches-bin" / "data_batch_4.bin").unlink()
    with pytest.raises(DataError, match=r"no data_batch_4\.bin"):
        _ = data.load(AS_IT_IS, 0, data_dir=folder).train


def test_the_archive_for_python_is_refused(tmp_path):
    pack(tmp_path / "cifar-10-binary.tar.gz", {"cifar-10-batches-py/test_batch": b"\x80\x02}q\x01."})
    with pytest.raises(DataError, match="perhaps the one for Python"):
        _ = data.load(AS_IT_IS, 0, data_dir=tmp_path).test


@pytest.mark.parametrize("content", [b"no archive at all", gzip.compress(b"no tar"), b""])
def test_what_is_no_archive_is_refused(tmp_path, content):
    (tmp_path / "cifar-10-binary.tar.gz").write_bytes(content)
    with pytest.raises(DataError, match="cannot be read|perhaps the one for Python"):
        _ = data.load(AS_IT_IS, 0, data_dir=tmp_path).test


def test_an_archive_that_was_cut_off_is_refused(tmp_path):
    path = tmp_path / "cifar-10-binary.tar.gz"
    pack(path, {"cifar-10-batches-bin/test_batch.bin": records(30, 5)[0]})
    path.write_bytes(path.read_bytes()[:-20000])
    with pytest.raises(DataError, match="may have been cut off"):
        _ = data.load(AS_IT_IS, 0, data_dir=tmp_path).test


def test_a_folder_is_found_by_the_environment(folder, monkeypatch):
    monkeypatch.setenv("ODEBENCH_DATA", str(folder))
    assert len(data.load(AS_IT_IS, 0).test) == 3


def test_without_a_folder_it_says_how_to_give_one_and_what_to_download(monkeypatch):
    monkeypatch.delenv("ODEBENCH_DATA", raising=False)
    with pytest.raises(DataError, match="set ODEBENCH_DATA") as raised:
        _ = data.load("cifar10", 0).train
    assert "Download cifar-10-binary.tar.gz from https://www.cs.toronto.edu/~kriz/ and put it" in str(raised.value)


def test_a_folder_that_is_not_there_and_an_empty_one_are_told_apart(tmp_path):
    with pytest.raises(DataError, match="there is no folder"):
        _ = data.load("cifar10", 0, data_dir=tmp_path / "nowhere").train
    with pytest.raises(DataError, match=r"found no data_batch_1\.bin or cifar-10-binary\.tar\.gz in .*looked into"):
        _ = data.load("cifar10", 0, data_dir=tmp_path).train


def test_the_test_data_do_not_ask_for_the_training_files(folder):
    for name in TRAIN10:
        (folder / "cifar-10-batches-bin" / name).unlink()
    assert len(data.load(AS_IT_IS, 0, data_dir=folder).test) == 3
