"""What the runner is made of, piece by piece."""

from __future__ import annotations

import os
import platform
import random
import signal
import subprocess
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from odebench.errors import DivergedError, FieldError, IncompatibleError, MeasurementError
from odebench.outcome import Outcome
from odebench.plan.cell import Cell, Choice
from odebench.plan.estimate import GUESSED_S, START_S
from odebench.plan.plan import PlannedCell
from odebench.run import devices, global_state, work
from odebench.run.failures import failure_of
from odebench.run.output import Output
from odebench.run.processes import descendants
from odebench.run.request import Request
from odebench.run.schedule import Meter, timing_order
from odebench.run.work import Queue, Work, has_room

CHANGES = {
    "torch's grad mode": (lambda: torch.set_grad_enabled(False), lambda: torch.set_grad_enabled(True)),
    "torch's default dtype": (
        lambda: torch.set_default_dtype(torch.float64), lambda: torch.set_default_dtype(torch.float32),
    ),
    "torch's default device": (lambda: torch.set_default_device("meta"), lambda: torch.set_default_device(None)),
    "torch's number of threads": (lambda: torch.set_num_threads(2), lambda: torch.set_num_threads(1)),
    "torch's random state": (lambda: torch.rand(1), lambda: None),
    "torch's deterministic mode": (
        lambda: torch.use_deterministic_algorithms(True), lambda: torch.use_deterministic_algorithms(False),
    ),
    "torch's anomaly detection": (
        lambda: torch.autograd.set_detect_anomaly(True), lambda: torch.autograd.set_detect_anomaly(False),
    ),
    "torch's precision of matrix products": (
        lambda: torch.set_float32_matmul_precision("high"), lambda: torch.set_float32_matmul_precision("highest"),
    ),
    "torch's backends": (
        lambda: setattr(torch.backends.mkldnn, "enabled", False),
        lambda: setattr(torch.backends.mkldnn, "enabled", True),
    ),
    "the treatment of denormal numbers": (
        lambda: torch.set_flush_denormal(True), lambda: torch.set_flush_denormal(False),
    ),
    "Python's random state": (random.random, lambda: None),
    "numpy's random state": (np.random.rand, lambda: None),
    "the environment variables": (
        lambda: os.environ.update(ODEBENCH_TEST="1"), lambda: os.environ.pop("ODEBENCH_TEST"),
    ),
    "the signal handlers": (
        lambda: signal.signal(signal.SIGUSR1, signal.SIG_IGN), lambda: signal.signal(signal.SIGUSR1, signal.SIG_DFL),
    ),
    "an alarm": (
        lambda: signal.setitimer(signal.ITIMER_REAL, 100.0), lambda: signal.setitimer(signal.ITIMER_REAL, 0.0),
    ),
    "the trace function": (lambda: sys.settrace(lambda *a: None), lambda: sys.settrace(None)),
    "the recursion limit": (lambda: sys.setrecursionlimit(5000), lambda: sys.setrecursionlimit(1000)),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_each_change_of_global_state_is_told_by_name(name):
    change, undo = CHANGES[name]
    limit = sys.getrecursionlimit()
    before = global_state.snapshot()
    change()
    try:
        assert name in global_state.differences(before, global_state.snapshot())
    finally:
        undo()
        sys.setrecursionlimit(limit)


def test_a_thread_that_stays_is_told():
    stop = threading.Event()
    before = global_state.snapshot()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    try:
        assert global_state.differences(before, global_state.snapshot()) == ["the number of Python threads"]
    finally:
        stop.set()
        thread.join()


def test_honest_work_changes_no_global_state():
    before = global_state.snapshot()
    y = torch.ones(4, requires_grad=True)
    with torch.no_grad(), torch.autograd.set_detect_anomaly(True, check_nan=False):
        pass
    torch.func.vmap(torch.sin)(y.detach())
    y.exp().sum().backward()
    assert global_state.differences(before, global_state.snapshot()) == []


@pytest.mark.parametrize(
    ("error", "outcome", "reason"),
    [
        (IncompatibleError("rk4 takes no tolerance."), Outcome.UNSUPPORTED, "rk4 takes no tolerance."),
        (DivergedError("Too many steps."), Outcome.DIVERGED, "Too many steps."),
        (FieldError("The field returned a list."), Outcome.ERROR, "The field returned a list."),
        (MeasurementError("It cheated."), Outcome.ERROR, "It cheated."),
        (MemoryError(), Outcome.OUT_OF_MEMORY, "MemoryError"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes."),
         Outcome.OUT_OF_MEMORY, "RuntimeError: DefaultCPUAllocator"),
        (RuntimeError("shapes do not match"), Outcome.ERROR, "RuntimeError: shapes do not match"),
        (SystemExit(3), Outcome.ERROR, "It tried to leave the process: sys.exit(3)."),
        (KeyboardInterrupt(), Outcome.ERROR, "KeyboardInterrupt"),
        (ValueError("x" * 5000), Outcome.ERROR, "ValueError: xxx"),
    ],
)  # fmt: skip
def test_which_outcome_an_error_is(error, outcome, reason):
    failure = failure_of(error)
    assert failure.outcome is outcome
    assert failure.reason.startswith(reason) and len(failure.reason) <= 600


def test_an_error_that_cannot_say_what_it_is_is_still_one():
    class MuteError(Exception):
        def __str__(self):
            raise RuntimeError("no words")

    assert "its text could not be had: RuntimeError" in failure_of(MuteError()).reason


def test_output_keeps_both_ends_in_bounded_memory():
    output = Output(kept=8)
    for index in range(1000):
        output.add(b"%04d" % index)
    assert output.size == 4000
    assert output.text() == "00000001\n… 3984 bytes left out …\n09980999"


@pytest.mark.parametrize("size", [0, 5, 8, 9, 16, 17])
def test_short_output_is_whole(size):
    output = Output(kept=8)
    for byte in range(size):
        output.add(bytes([65 + byte]))
    text = output.text()
    assert (text == "".join(chr(65 + byte) for byte in range(size))) is (size <= 16)


def test_descendants_are_found_in_whatever_session():
    child = subprocess.Popen(["sh", "-c", "setsid sleep 30 & wait"])
    try:
        found = []
        while not any(process.parent == child.pid and process.session != os.getsid(0) for process in found):
            found = descendants(os.getpid())
        assert child.pid in {process.pid for process in found}
    finally:
        for process in descendants(child.pid):
            os.kill(process.pid, signal.SIGKILL)
        child.kill()
        child.wait()


def a_cell(model: str = "decay", steps: int = 1) -> Cell:
    choice = Choice(name="x")
    return Cell(task=choice, model=Choice(name=model), solver=choice, gradient=None, grid={"steps": steps}, device="cpu",
                dtype="float32", threads=1, seed=0)  # fmt: skip


def test_a_request_survives_the_crossing(tmp_path):
    request = Request(part="timing", cell=a_cell(), prefixes=("a",), local_files=("b.py",), memory_bytes=5, repeats=3, round=2,
                      fingerprints={"0": {"ys": [0.1, 2.0, -3e-300]}})  # fmt: skip
    request.write(tmp_path / "1")
    assert Request.read(tmp_path / "1") == request


def test_rounds_are_shuffled_within_a_model_and_never_across():
    rounds = [(a_cell(model, steps), number) for model in "ab" for steps in range(1, 6) for number in range(3)]
    order = timing_order(rounds, "suite")
    assert order == timing_order(rounds, "suite") and order != rounds
    assert sorted(map(str, order)) == sorted(map(str, rounds))
    models = [cell.model.name for cell, _ in order]
    assert models == ["a"] * 15 + ["b"] * 15
    assert order[:15] != [(cell, number) for cell, number in rounds if cell.model.name == "a"]


def test_the_meter_learns_from_what_parts_took():
    meter = Meter({"quality": 4, "memory": 4, "timing": 2}, workers=2)
    for _ in range(2):
        meter.finish("quality", 10.0)
    meter.drop("timing")
    progress = meter.progress()
    assert (progress.done, progress.total, meter.measured) == (3, 10, 2)
    assert progress.remaining_s == pytest.approx(
        2 * (10.0 + START_S) / 2 + 4 * (GUESSED_S["memory"] + START_S) / 2 + GUESSED_S["timing"] + START_S
    )


def test_devices_that_are_not_there_are_refused_in_words(monkeypatch):
    monkeypatch.setattr(devices, "accelerator_names", lambda: ("Some GPU",))
    assert devices.device_reason("cpu") is None
    assert devices.device_reason("cuda") is None
    assert devices.device_reason("cuda:0") is None
    assert devices.device_reason("cuda:1") == "This machine has 1 CUDA device, numbered from 0, and no 'cuda:1'."
    assert devices.device_reason("tpu") == "The device 'tpu' is not known; known are cpu, cuda and mps."
    monkeypatch.setattr(devices, "accelerator_names", lambda: ())
    assert devices.device_reason("cuda") == "This machine has no CUDA device that torch can use."


def test_the_meter_weighs_parts_by_their_size_and_believes_what_they_tell():
    """Trainings with 2 and with 256 steps are of one kind: the small ones, done first, say how long the large ones take."""
    meter = Meter({"quality": 0, "train": 4}, 2, sizes={"train": 2 * 10.0 + 2 * 100.0}, guesses={"train": 60.0})
    assert meter.progress().remaining_s == pytest.approx(4 * (60.0 + START_S) / 2)
    meter.finish("train", 5.0, size=10.0)
    assert meter.progress().remaining_s == pytest.approx((210.0 * 0.5 + 3 * START_S) / 2)
    meter.follow(7, "train", elapsed_s=20.0, remaining_s=30.0, size=100.0)
    rate = (5.0 + 20.0 + 30.0) / (10.0 + 100.0)
    assert meter.progress().remaining_s == pytest.approx((30.0 + rate * 110.0 + 2 * START_S) / 2)
    meter.finish("train", 55.0, size=10.0)
    meter.drop("train", size=100.0)
    assert meter.progress().remaining_s == pytest.approx(30.0), "never less than the longest that runs"
    meter.finish("train", 50.0, size=100.0)
    meter.forget(7)
    assert meter.progress().remaining_s == 0.0 and meter.progress().done == 4


def work_of(cell_of, study: bool, **cell) -> Work:
    planned = PlannedCell(cell=replace(cell_of(), **cell), experiments=("x",))
    return Work(planned=planned, identity=None, record=None, missing=[], artefact=object() if study else None)


def test_studies_fill_the_cores_and_other_parts_run_two_at_a_time(cell_of, monkeypatch):
    monkeypatch.setattr(work, "usable_cores", lambda: 4)
    one, two = work_of(cell_of, True, threads=1), work_of(cell_of, True, threads=2)
    gpu, plain = work_of(cell_of, True, device="cuda:0"), work_of(cell_of, False)
    assert has_room(one, [one] * 3) and not has_room(one, [one] * 4)
    assert has_room(two, [two]) and not has_room(two, [two, one])
    assert has_room(work_of(cell_of, True, threads=64), []), "one alone always runs"
    assert has_room(plain, [plain]) and not has_room(plain, [plain, plain])
    assert has_room(plain, [one] * 3) and not has_room(plain, [one] * 4)
    assert has_room(gpu, [one]) and not has_room(gpu, [gpu]) and has_room(one, [gpu])


def test_a_queue_passes_over_what_must_wait_and_forgets_what_is_settled(cell_of):
    first, second, third = (work_of(cell_of, False, seed=seed) for seed in range(3))
    queue = Queue([first, second, third])
    answers = {first: False, second: None, third: True}
    assert queue.next([], answers.__getitem__) is third and len(queue) == 1
    assert queue.next([], answers.__getitem__) is None and len(queue) == 1
    assert queue.next([], lambda work: True) is first and len(queue) == 0


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="what freed memory costs is told of glibc")
def test_a_timing_process_keeps_the_memory_it_frees() -> None:
    script = (
        "import resource, torch; from odebench.run.timing import hold_memory; torch.set_num_threads(1); hold_memory()\n"
        "faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "several = lambda: len([torch.ones(2**19) for _ in range(8)])\n"
        "[several() for _ in range(3)]; before = faults(); [several() for _ in range(10)]; print(faults() - before)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 50, "pages of blocks of 2 MiB were asked for again"
