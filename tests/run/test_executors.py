"""What a child does to itself stays there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from odebench.run import processes
from odebench.run.executors import Environment, Executors
from odebench.run.request import Request

FILES = tuple(str(Path(__file__).parent / name) for name in ("fakes.py", "hostile_plugins.py"))


def running(command: str) -> list[int]:
    """Processes with this command line, of whatever parent."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            if words == command and state != "Z":
                found.append(int(entry.name))
    return found


def test_a_part_gives_its_result(do):
    ended = do("honest")
    assert (ended.result["outcome"], ended.result["values"]["nfe_forward"]) == ("ok", 8)
    assert 0 < ended.seconds <= ended.waited_s


def test_an_endless_loop_is_stopped_at_the_limit(do):
    ended = do("endless-deaf", limit_s=0.5)
    assert ended.result["outcome"] == "timeout"
    assert ended.result["reason"] == "It was stopped after 0.5 s, the limit of the suite."
    assert 0.5 <= ended.seconds < 3


def test_a_crash_tells_its_signal_and_where_it_was(do):
    result = do("segmentation-fault").result
    assert (result["outcome"], result["reason"]) == ("crashed", "Its process was killed by SIGSEGV.")
    assert "Segmentation fault" in result["traceback"]
    assert "hostile_plugins.py" in result["traceback"]


def test_leaving_with_success_is_no_success(do):
    result = do("leaves").result
    assert result["outcome"] == "crashed"
    assert result["reason"] == "Its process left with exit code 0 and without a result."


@pytest.mark.parametrize("solver", ["eats-memory", "eats-python-memory"])
def test_memory_ends_at_the_limit(do, solver):
    result = do(solver, memory_bytes=2**28).result
    assert result["outcome"] == "out_of_memory"


def test_of_megabytes_of_output_both_ends_are_kept(do):
    result = do("prints").result
    assert (result["outcome"], result["reason"]) == ("error", "It printed 24.0 MiB; the limit is 1 MiB.")
    assert result["traceback"].startswith("the beginning")
    assert result["traceback"].endswith("the end\n")
    assert len(result["traceback"]) < 40_000
    assert result["values"]["nfe_forward"] == 8, "what was counted is worth keeping"


def test_what_a_cell_leaves_running_is_killed_and_told(do):
    assert running("sleep 4711") == []
    result = do("survives").result
    assert result["outcome"] == "error"
    assert "running, which had to be killed" in result["reason"]
    assert running("sleep 4711") == []


def test_a_child_that_kills_its_supervisor_is_to_blame_and_its_neighbour_is_not(executors, cell_of):
    """Both are tried again, each alone."""
    for solver in ("kills-its-parent", "endless", "honest"):
        executors.submit(Request(part="quality", cell=cell_of(solver), local_files=FILES), 3.0)
    ended = {one.request.cell.solver.name: one.result for one in all_of(executors, 3)}
    assert {name: result["outcome"] for name, result in ended.items()} == {
        "kills-its-parent": "crashed", "endless": "timeout", "honest": "ok",
    }  # fmt: skip
    assert ended["kills-its-parent"]["reason"] == "It took the process along that supervises it."


def all_of(executors, count: int) -> list:
    """So many ended parts; fails where one does not end within two minutes."""
    ended = []
    while len(ended) < count:
        more = executors.wait(120.0)
        assert more, f"{len(ended)} of {count} ended"
        ended += more
    return ended


def test_ending_one_supervisor_leaves_the_others_at_work(cell_of):
    """They share a folder, and the first to go must not take it along."""
    with Executors() as executors:
        for threads in (1, 2):
            executors.submit(Request(part="quality", cell=cell_of(threads=threads), local_files=FILES), 20.0)
        ended = all_of(executors, 2)
        executors._dismiss(executors._servers[0])
        for threads in (1, 2):
            executors.submit(Request(part="quality", cell=cell_of(threads=threads), local_files=FILES), 20.0)
        ended += all_of(executors, 2)
    assert [one.result["outcome"] for one in ended] == ["ok"] * 4


def test_a_fresh_interpreter_gives_the_same_as_a_fork(cell_of, do):
    forked = do("plain-euler", gradient="plain").result
    with Executors("spawn") as executors:
        asked = Request(part="quality", cell=cell_of("plain-euler", gradient="plain"), local_files=FILES)
        executors.submit(asked, 20.0)
        (ended,) = executors.wait()
    for name in ("outcome", "values", "fingerprints"):
        assert ended.result[name] == forked[name]


def test_a_fork_is_nearly_free(do):
    """Design: 12 to 20 ms on an idle machine, where a new interpreter takes over a second."""
    seconds = min(do("raises").waited_s for _ in range(5))
    assert seconds < 0.5


def test_a_supervisor_has_one_thread_and_children_have_theirs(do):
    """One that had started threads would leave its children without them, and they would hang."""
    assert do("honest", threads=2).result["outcome"] == "ok"
    assert Environment(threads=2).variables()["OMP_NUM_THREADS"] == "2"
    assert Environment(threads=2).variables()["OPENBLAS_NUM_THREADS"] == "1"


def below(pid: int) -> set[int]:
    return {process.pid for process in processes.descendants(pid)}


def wait_until_dead(pids: set[int]) -> set[int]:
    """Those that are alive after ten seconds."""
    gone_by = time.monotonic() + 10
    while (alive := {pid for pid in pids if Path(f"/proc/{pid}").exists()}) and time.monotonic() < gone_by:
        time.sleep(0.02)
    return alive


def test_closing_leaves_neither_processes_nor_files(cell_of, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = below(os.getpid())
    with Executors() as executors:
        executors.submit(Request(part="quality", cell=cell_of("endless"), local_files=FILES), 60.0)
        while len(mine := below(os.getpid()) - before) < 2:  # A supervisor and its child.
            assert executors.wait(0.1) == []
        assert list(tmp_path.glob("odebench-*"))
    assert wait_until_dead(mine) == set()
    assert list(tmp_path.glob("odebench-*")) == []


def test_children_die_with_the_launcher(tmp_path):
    """SIGKILL leaves it no time to say goodbye."""
    code = (
        "import sys, json\n"
        "from odebench.plan.cell import Cell, Choice\n"
        "from odebench.run.executors import Executors\n"
        "from odebench.run.request import Request\n"
        "cell = Cell(task=Choice(name='integrate'), model=Choice(name='plain-decay'), solver=Choice(name='endless'),\n"
        "            gradient=None, grid={'steps': 8}, device='cpu', dtype='float32', threads=1, seed=0)\n"
        "executors = Executors()\n"
        f"executors.submit(Request(part='quality', cell=cell, local_files={FILES!r}), 600.0)\n"
        "executors.wait(600.0)\n"
    )
    environment = os.environ | {"TMPDIR": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])}
    launcher = subprocess.Popen([sys.executable, "-c", code], env=environment)
    try:
        while len(children := below(launcher.pid)) < 2:  # A supervisor and its child.
            assert launcher.poll() is None
            time.sleep(0.05)
        launcher.send_signal(signal.SIGKILL)
        assert wait_until_dead(children) == set()
        assert list(tmp_path.glob("odebench-*")) == [], "nor does it leave files"
    finally:
        launcher.kill()
        launcher.wait()
