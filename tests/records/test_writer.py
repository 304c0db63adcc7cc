"""Writing and reading a folder of results."""

import errno
import json
import os
from dataclasses import replace

import pytest

from odebench.errors import RecordError
from odebench.outcome import Outcome
from odebench.records import Part, Record, RecordFault, ResultFolder, ResultWriter, Round

GOOD = Part(outcome=Outcome.OK, values={"error_final": 0.5}, seconds=0.1)


def files(folder):
    return sorted(file.name for file in folder.path.glob("*/*.json") if file.parent.name != "machines")


def test_parts_are_merged_into_one_record_and_read_back(writer, record, machine):
    asked = record()
    with writer() as writing:
        assert writing.begin(asked) == asked
        assert files(writing.folder) == [], "nothing is stored before a part comes"
        writing.put_part(asked.cell_id, "quality", {"outcome": "ok", "values": {"error_final": 0.5}, "seconds": 0.1})
        writing.put_part(asked.cell_id, "timing", {"outcome": "ok", "round": 1, "samples": {"time_forward_s": [0.1]}})
        stored = writing.put_part(asked.cell_id, "timing", {"outcome": "crashed", "round": 0, "reason": "signal 11"})
        folder = writing.folder
    assert files(folder) == [f"{asked.cell_id}.{machine.id}.json"]
    assert folder.read_record(asked.cell_id, machine.id) == stored
    assert (stored.outcome, stored.reason) == (Outcome.CRASHED, "signal 11")
    assert stored.parts.quality.values == {"error_final": 0.5}
    assert [one.round for one in stored.parts.timing.rounds] == [0, 1]
    assert list(folder.iter_records()) == [stored]
    assert folder.read_machines() == {machine.id: machine.to_json()}
    assert folder.read_record("0" * 16, machine.id) is None


def test_running_again_keeps_what_is_fresh_and_tells_who_asks_now(writer, record):
    with writer() as writing:
        writing.begin(record())
        stored = writing.put_part(record().cell_id, "quality", GOOD)
    with writer() as writing:
        again = writing.begin(record(experiments=("renamed", "second")))
        assert again.parts == stored.parts
        assert again.experiments == ("renamed", "second")
        assert list(writing.folder.iter_records()) == [again]
        assert list(writing.folder.iter_records(history=True)) == []


def test_an_unchanged_record_is_not_written_again(writer, record):
    with writer() as writing:
        writing.begin(record())
        writing.put_part(record().cell_id, "quality", GOOD)
        file = writing.folder.cell_file(record().cell_id, writing.machine.id)
        before = file.stat().st_ino
        writing.begin(record())
        assert file.stat().st_ino == before


def test_other_freshness_is_measured_again_and_the_old_record_retained(writer, record, machine):
    old, new = record(), record(freshness="e" * 16, versions={"torch": "2.14.0"})
    with writer() as writing:
        writing.begin(old)
        first = writing.put_part(old.cell_id, "quality", GOOD)
        assert writing.begin(new) == new
        second = writing.put_part(new.cell_id, "quality", {"outcome": "diverged", "reason": "inf"})
        folder = writing.folder
    assert list(folder.iter_records()) == [second]
    assert list(folder.iter_records(history=True)) == [first]
    assert (folder.history / f"{old.cell_id}.{machine.id}.{'f' * 16}.json").exists()


def test_force_measures_anew_and_never_overwrites_history(writer, record):
    kept = []
    with writer() as writing:
        for number in range(4):
            assert writing.begin(record(), force=True).parts.quality is None
            kept.append(writing.put_part(record().cell_id, "quality", Part(outcome=Outcome.OK, values={"x": number})))
        folder = writing.folder
    assert list(folder.iter_records()) == kept[-1:]
    assert sorted(old.parts.quality.values["x"] for old in folder.iter_records(history=True)) == [0, 1, 2]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"schema": 1}', b'{"schema": 99}', b"null"])
def test_a_broken_file_costs_itself_only_and_is_moved_aside_by_the_next_run(writer, record, machine, content):
    with writer() as writing:
        for seed in range(3):
            writing.begin(record(seed))
            writing.put_part(record(seed).cell_id, "quality", GOOD)
        folder = writing.folder
    broken = folder.cell_file(record(1).cell_id, machine.id)
    broken.write_bytes(content)
    found = list(folder.iter_records())
    (fault,) = [one for one in found if isinstance(one, RecordFault)]
    assert fault.file == broken
    assert "`odebench run` measures its cell again" in fault.reason
    assert sum(isinstance(one, Record) for one in found) == 2
    assert folder.read_record(record(1).cell_id, machine.id) == fault
    assert broken.exists(), "reading moves nothing"
    with writer() as writing:
        assert writing.begin(record(1)) == record(1)
        assert (folder.corrupt / broken.name).read_bytes() == content
        writing.put_part(record(1).cell_id, "quality", GOOD)
    assert all(isinstance(one, Record) for one in folder.iter_records())


def test_a_renamed_record_is_a_fault(writer, record, machine):
    with writer() as writing:
        writing.begin(record())
        writing.put_part(record().cell_id, "quality", GOOD)
        folder = writing.folder
    os.rename(folder.cell_file(record().cell_id, machine.id), folder.cell_file("0" * 16, machine.id))
    (fault,) = folder.iter_records()
    assert f"It holds cell {record().cell_id}" in fault.reason


def test_a_settled_cell_has_outcome_and_reason_and_no_parts(writer, record):
    with writer() as writing:
        settled = writing.settle(record(), Outcome.UNSUPPORTED, "This machine has no CUDA.")
        assert (settled.outcome, settled.reason, settled.outcome_of) == (
            Outcome.UNSUPPORTED,
            "This machine has no CUDA.",
            {},
        )
        assert settled.to_json()["parts"] == {}
        assert list(writing.folder.iter_records()) == [settled]
        inode = writing.folder.cell_file(record().cell_id, writing.machine.id).stat().st_ino
        assert writing.settle(record(), Outcome.UNSUPPORTED, "This machine has no CUDA.") == settled
        assert writing.folder.cell_file(record().cell_id, writing.machine.id).stat().st_ino == inode
        measured = writing.begin(record())
        assert measured.outcome is Outcome.UNSUPPORTED
        assert writing.put_part(record().cell_id, "quality", GOOD).outcome is Outcome.OK


def test_settling_a_measured_cell_retains_what_was_measured(writer, record):
    with writer() as writing:
        writing.begin(record())
        measured = writing.put_part(record().cell_id, "quality", GOOD)
        blocked = writing.settle(record(), Outcome.BLOCKED, "Its training failed.")
        assert list(writing.folder.iter_records()) == [blocked]
        assert list(writing.folder.iter_records(history=True)) == [measured]


def test_texts_are_scrubbed_on_their_way_to_the_disk(tmp_path, machine, record):
    with ResultWriter(tmp_path / "results", machine, scrub=lambda text: text.replace("alice", "<user>")) as writing:
        writing.begin(record())
        writing.put_part(
            record().cell_id, "quality", {"outcome": "error", "reason": "alice", "traceback": "/home/alice"}
        )
        writing.settle(record(1), Outcome.ERROR, "alice", "in alice")
        folder = writing.folder
    assert all("alice" not in file.read_text() for file in folder.cells.iterdir())
    assert all("<user>" in file.read_text() for file in folder.cells.iterdir())


def test_a_full_disk_leaves_the_old_record_untouched(writer, record, monkeypatch):
    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    with writer() as writing:
        writing.begin(record())
        stored = writing.put_part(record().cell_id, "quality", GOOD)
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(RecordError, match="No space left on device. Free some space"):
                writing.put_part(record().cell_id, "memory", GOOD)
        assert list(writing.folder.iter_records()) == [stored]
        retried = writing.put_part(record().cell_id, "memory", GOOD)
        assert list(writing.folder.iter_records()) == [retried]
        assert [file.name for file in writing.folder.cells.iterdir() if file.name.startswith(".")] == []


def test_run_json_keeps_every_text_of_the_suite(writer):
    with writer() as writing:
        first = writing.begin_run("trial", "text 1", "1" * 64, plugins={"odebench": "0.1.0"}, cells=["a"])
    with writer() as writing:
        writing.begin_run("trial", "text 2", "2" * 64, budget_name="quick", overrides=["budget.repeats=1"])
        run = writing.begin_run("trial", "text 1", "1" * 64, cells=["b"])
        folder = writing.folder
    assert folder.read_run() == run
    assert (run.created, run.text, run.cells) == (first.created, "text 1", ("b",))
    assert [old.text for old in run.history] == ["text 1", "text 2"]
    assert first.plugins == {"odebench": "0.1.0"}


def test_a_folder_of_another_suite_is_refused(writer):
    with writer() as writing:
        writing.begin_run("trial", "text", "1" * 64)
        with pytest.raises(RecordError, match=r"results of the suite 'trial', not of 'other'.*--into"):
            writing.begin_run("other", "text", "1" * 64)
        assert writing.folder.read_run().suite == "trial"


@pytest.mark.parametrize(
    ("content", "message"), [("{", "Delete it"), ('{"schema": 9}', "newer odebench"), ('{"schema": 1}', "`suite`")]
)
def test_a_broken_run_json_is_said_in_words(writer, content, message):
    with writer() as writing:
        writing.folder.run_file.write_text(content)
        with pytest.raises(RecordError, match=message):
            writing.begin_run("trial", "text", "1" * 64)


def test_a_folder_without_results_is_said_in_words(tmp_path):
    with pytest.raises(RecordError, match=r"no results here, for there is no run\.json"):
        ResultFolder(tmp_path).read_run()
    assert list(ResultFolder(tmp_path / "none").iter_records()) == []


def test_somebodys_documents_are_not_made_a_folder_of_results(tmp_path, machine):
    (tmp_path / "thesis.tex").write_text("")
    with (
        pytest.raises(RecordError, match=r"is not empty and holds no results, but thesis\.tex"),
        ResultWriter(tmp_path, machine),
    ):
        pass
    assert os.listdir(tmp_path) == ["thesis.tex"]
    with pytest.raises(RecordError, match="is a file"), ResultWriter(tmp_path / "thesis.tex", machine):
        pass


def test_a_run_that_was_killed_before_run_json_can_go_on(writer):
    with writer():
        pass
    with writer() as writing:
        writing.begin_run("trial", "text", "1" * 64)


def test_leftovers_of_a_kill_are_removed_and_other_machines_files_are_not(writer, machine):
    with writer() as writing:
        mine = writing.folder.cells / f".x.json.{machine.id}.99-0.tmp"
        other = writing.folder.cells / f".x.json.{'0' * 16}.99-0.tmp"
    mine.write_text("{")
    other.write_text("{")
    with writer():
        assert not mine.exists()
        assert other.exists()


def test_two_writers_on_one_machine_are_refused_and_on_two_are_not(writer, tmp_path, machine, record):
    other = replace(machine, cores=64)
    with writer() as writing:
        with pytest.raises(RecordError, match="another run is writing here"), writer():
            pass
        with ResultWriter(tmp_path / "results", other, scrub=str) as second:
            second.begin(record(machine_id=other.id))
            second.put_part(record().cell_id, "quality", GOOD)
        writing.begin(record())
        writing.put_part(record().cell_id, "quality", GOOD)
        assert len(list(writing.folder.iter_records())) == 2
        with pytest.raises(RecordError, match="Records stay with their machine"):
            writing.begin(record(machine_id=other.id))


def test_nothing_is_written_without_the_lock_or_before_a_cell_is_begun(writer, record):
    with writer() as writing:
        with pytest.raises(RecordError, match="before the cell was begun"):
            writing.put_part(record().cell_id, "quality", GOOD)
        writing.begin(record())
    with pytest.raises(RecordError, match="without the folder's lock"):
        writing.put_part(record().cell_id, "quality", GOOD)


def test_the_lock_is_given_back_when_entering_fails(writer, monkeypatch):
    def full(handle):
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(RecordError, match="Free some space"), writer():
            pass
    with writer():
        pass


def test_stored_files_are_plain_json_with_the_schema_first(writer, record):
    with writer() as writing:
        writing.begin(record())
        writing.put_part(record().cell_id, "timing", Round(round=0, outcome=Outcome.OK))
        (file,) = writing.folder.cells.iterdir()
    assert next(iter(json.loads(file.read_text()))) == "schema"
