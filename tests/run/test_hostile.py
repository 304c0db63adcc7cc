"""A suite of solvers that break every rule: each costs its own cells and becomes a record, and the healthy ones are untouched."""

from __future__ import annotations

from pathlib import Path

import pytest

from odebench.outcome import Outcome
from odebench.records import ResultFolder
from odebench.report.frame import load

# What each ends as, and what its record says.
EXPECTED = {
    "raises": ("error", "ValueError: I never liked this field."),
    "not-a-number": ("diverged", "The solution is not finite."),
    "endless": ("timeout", "It was stopped after 5 s, the limit of the suite."),
    "endless-deaf": ("timeout", "It was stopped after 5 s, the limit of the suite."),
    "eats-memory": ("out_of_memory", "can't allocate memory"),
    "eats-python-memory": ("out_of_memory", "MemoryError"),
    "leaves": ("crashed", "left with exit code 0 and without a result"),
    "segmentation-fault": ("crashed", "killed by SIGSEGV"),
    "aborts": ("crashed", "killed by SIGABRT"),
    "prints": ("error", "It printed 24.0 MiB; the limit is 1 MiB."),
    "changes-state": ("error", "torch's default dtype, the treatment of denormal numbers"),
    "patches": ("error", "the methods of torch.Tensor"),
    "remembers": ("error", "8 evaluations at first, and 0 from another initial state"),
    "remembers-by-state": ("error", "8 evaluations at first, and 0 with other parameters"),
    "honest-until-timed": ("error", "Under the clock it gave another answer than before"),
    "unwraps-by-closure": ("error", "Uncounted evaluations"),
    "unwraps-by-collector": ("error", "Uncounted evaluations"),
    "unwraps-blindly": ("error", "It changed Python's profile function"),
    "lazy": ("error", "Its ys is a LazyTensor"),
    "leaves-thread": ("error", "the number of Python threads"),
    "mutates-state": ("error", "the initial state is not what it was"),
    "mutates-parameters": ("error", "a parameter of the field is not what it was"),
    "quits": ("error", "It tried to leave the process: sys.exit('enough')."),
    "interrupts": ("error", "KeyboardInterrupt"),
    "survives": ("error", "running, which had to be killed"),
    "kills-its-parent": ("crashed", "It took the process along that supervises it."),
    "deletes-files": ("error", "the working directory"),
    "fills-the-disk": ("error", "File too large"),
    "wrong-shape": ("error", "Its ys has shape (3, 1, 2)"),
    "wrong-type": ("error", "has no attribute 'ys'"),
}
HEALTHY = ("honest", "plain-euler", "rk4", "dopri5")


@pytest.mark.slow
def test_every_hostile_solver_costs_one_cell_and_no_healthy_one(plan_of, run, tmp_path, monkeypatch):
    bystander = tmp_path / "here" / "precious.txt"
    bystander.parent.mkdir()
    bystander.write_text("of the user")
    monkeypatch.chdir(bystander.parent)
    names = [*EXPECTED, *HEALTHY, "uses-threads"]
    plan = plan_of(
        f"""
        [[experiment]]
        name = "hostile"
        task = "integrate"
        model = "plain-decay"
        solver = {[*names[::2], *names[1::2]]}
        steps = 8
        tolerance = 1e-4
        """.replace("'", '"')
    )
    object.__setattr__(
        plan.suite, "budget", plan.suite.budget.model_copy(update={"timeout_s": 5.0, "memory_bytes": 2**28})
    )

    summary = run(plan)

    frame = load(tmp_path / "results").set_index("solver")
    assert len(frame) == len(names) == summary.cells
    found = {name: (frame.outcome[name], frame.reason[name]) for name in EXPECTED}
    wrong = {
        name: found[name]
        for name, (outcome, words) in EXPECTED.items()
        if found[name][0] != outcome or words not in found[name][1]
    }
    assert wrong == {}
    assert list(frame.outcome[list(HEALTHY)]) == ["ok"] * len(HEALTHY)
    assert frame.error_final[list(HEALTHY)].notna().all()
    assert frame.time_total_s[list(HEALTHY)].notna().all()
    assert summary.outcomes[Outcome.OK] == len(HEALTHY) + 1
    assert bystander.read_text() == "of the user"


def test_threads_behind_the_clock_make_a_timing_invalid(do):
    result = do("uses-threads", "timing", request={"repeats": 2}).result
    assert (result["outcome"], result["valid"]) == ("ok", False)
    assert "with 1 thread given" in result["reason_invalid"]


def test_a_hostile_cell_is_stored_with_its_traceback(plan_of, run, tmp_path: Path):
    plan = plan_of(
        """
        [[experiment]]
        name = "hostile"
        task = "integrate"
        model = "plain-decay"
        solver = "raises"
        steps = 8
        """
    )
    run(plan)
    (record,) = ResultFolder(tmp_path / "results").iter_records()
    assert record.outcome is Outcome.ERROR
    assert "I never liked this field" in record.traceback
    assert "hostile_plugins.py" in record.traceback
    assert record.parts.memory is None and record.parts.timing is None
