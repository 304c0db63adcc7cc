"""One run at a time."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from odebench.errors import RecordError
from odebench.records.lock import FolderLock

HOLD = """
import os, subprocess, sys, time
sys.path[:] = {path!r}
from odebench.records.lock import FolderLock
from pathlib import Path
lock = FolderLock(Path({folder!r}), "m")
lock.acquire()
child = 0
{then}
print("held", child, flush=True)
time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Starts processes that hold the lock and run `then`, which may set `child`; ends them and their children."""
    started, children = [], []

    def start(then=""):
        code = HOLD.format(path=sys.path, folder=str(tmp_path), then=then)
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        started.append(process)
        word, child = process.stdout.readline().split()
        assert word == "held"
        children.extend([int(child)] if int(child) else [])
        return process

    yield start
    for child in children:
        os.kill(child, signal.SIGKILL)
    for process in started:
        process.kill()
        process.communicate()


def test_a_second_run_is_refused_in_words(tmp_path, holder):
    process = holder()
    with pytest.raises(RecordError) as error:
        FolderLock(tmp_path, "m").acquire()
    message = str(error.value)
    assert message.startswith(f"{tmp_path}: another run is writing here (process {process.pid} on ")
    assert "since 20" in message
    assert "--into" in message


def test_a_killed_run_leaves_no_stale_lock(tmp_path, holder):
    process = holder()
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    with FolderLock(tmp_path, "m") as lock:
        assert lock.held
        assert json.loads(lock.path.read_text())["pid"] == os.getpid()


@pytest.mark.parametrize(
    "then",
    [
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], close_fds=False).pid",
        "child = os.fork()\nif child == 0:\n    time.sleep(60)\n    os._exit(0)",
    ],
    ids=["a program that was started", "a fork"],
)
def test_children_do_not_keep_the_lock_of_a_dead_parent(tmp_path, holder, then):
    process = holder(then)
    with pytest.raises(RecordError):
        FolderLock(tmp_path, "m").acquire()
    # A fork closes its copy as its first act, but may not have come to act yet.
    time.sleep(0.2)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    with FolderLock(tmp_path, "m") as lock:
        assert lock.held


def test_a_forked_child_does_not_hold_it_and_does_not_release_it(tmp_path):
    with FolderLock(tmp_path, "m") as lock:
        child = os.fork()
        if child == 0:
            os._exit(1 if lock.held else 0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        with pytest.raises(RecordError):
            FolderLock(tmp_path, "m").acquire()


def test_machines_write_one_folder_without_meeting(tmp_path):
    with FolderLock(tmp_path, "one"), FolderLock(tmp_path, "two") as other:
        assert other.held


def test_a_released_lock_can_be_taken_again(tmp_path):
    lock = FolderLock(tmp_path, "m")
    with lock:
        pass
    assert not lock.held
    lock.release()
    with lock:
        assert lock.held


def test_a_place_for_the_lock_that_cannot_be_made_is_said_in_words(tmp_path):
    (tmp_path / "locks").write_text("")
    with pytest.raises(RecordError, match="cannot be made: .*--into"):
        FolderLock(tmp_path, "m").acquire()


def test_a_holder_that_has_not_told_its_name_is_refused_too(tmp_path, holder):
    holder()
    (tmp_path / "locks" / "m.lock").write_text("{")
    with pytest.raises(RecordError, match="another run is writing here\\. Wait"):
        FolderLock(tmp_path, "m").acquire()
