"""All of a file or nothing."""

import errno
import os

import pytest

from odebench.errors import RecordError
from odebench.records.atomic import remove_temporaries, write_atomic


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path):
    write_atomic(tmp_path / "a.json", b"one", "me")
    write_atomic(tmp_path / "a.json", b"two" * 100_000, "me")
    assert (tmp_path / "a.json").read_bytes() == b"two" * 100_000
    assert os.listdir(tmp_path) == ["a.json"]


def fails(number):
    def raises(*arguments):
        raise OSError(number, os.strerror(number))

    return raises


@pytest.mark.parametrize("call", ["write", "fsync", "replace", "open"])
@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "Free some space"),
        (errno.EDQUOT, "quota"),
        (errno.EROFS, "read-only"),
        (errno.EIO, "Check that disk"),
    ],
)
def test_a_failing_disk_is_said_in_words_and_the_old_file_is_untouched(tmp_path, monkeypatch, call, number, advice):
    write_atomic(tmp_path / "a.json", b"old", "me")
    with monkeypatch.context() as patch:
        patch.setattr(os, call, fails(number))
        with pytest.raises(RecordError, match=rf"a\.json: could not be written: .*{advice}"):
            write_atomic(tmp_path / "a.json", b"new", "me")
    assert (tmp_path / "a.json").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_disk_that_fills_up_half_way_leaves_no_half_file(tmp_path, monkeypatch):
    written = []

    def little(handle, data):
        if len(written) == 3:
            raise OSError(errno.ENOSPC, "full")
        written.append(real(handle, data[:2]))
        return written[-1]

    real = os.write
    monkeypatch.setattr(os, "write", little)
    write_atomic(tmp_path / "short.json", b"12345", "me")
    assert (tmp_path / "short.json").read_bytes() == b"12345"
    with pytest.raises(RecordError, match="No space left on device"):
        write_atomic(tmp_path / "long.json", b"1234567890", "me")
    assert os.listdir(tmp_path) == ["short.json"]


def test_an_interrupt_leaves_no_temporary_file(tmp_path, monkeypatch):
    def interrupt(handle):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(tmp_path / "a.json", b"x", "me")
    assert os.listdir(tmp_path) == []


def test_only_the_owners_leftovers_are_removed(tmp_path):
    for name in (".a.json.me.17-0.tmp", ".a.json.you.17-0.tmp", "a.json", ".hidden"):
        (tmp_path / name).write_text("")
    assert remove_temporaries(tmp_path, "me") == 1
    assert sorted(os.listdir(tmp_path)) == [".a.json.you.17-0.tmp", ".hidden", "a.json"]
