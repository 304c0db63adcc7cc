"""Series of cells: what is stored of them, and what a broken file costs."""

import errno
import json
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import odebench
from odebench.errors import RecordError
from odebench.outcome import Outcome
from odebench.records import Part, RecordFault, ResultFolder, ResultWriter, read_series

LOSSES = {"iteration": np.arange(3), "loss": np.array([1.5, np.nan, -np.inf]), "note": ["a", None, "b"]}


def stored(writer, *records, columns=LOSSES):
    """A folder with a series of each record."""
    with writer() as writing:
        for record in records:
            writing.begin(record)
            writing.put_series(record.cell_id, columns)
        return writing.folder


def test_a_series_comes_back_as_one_long_table(writer, record, machine):
    folder = stored(writer, record(0), record(1))
    frame = odebench.load_series(folder.path)
    ids = sorted([record(0).cell_id, record(1).cell_id])
    assert list(frame.columns) == ["cell_id", "machine_id", "iteration", "loss", "note"]
    assert list(frame.cell_id) == [ids[0]] * 3 + [ids[1]] * 3
    assert set(frame.machine_id) == {machine.id}
    assert list(frame.iteration) == [0, 1, 2] * 2
    assert [str(dtype) for dtype in frame.dtypes] == ["string", "string", "Int64", "Float64", "string"]
    assert frame.attrs["faults"] == []


def test_numbers_that_are_not_finite_are_null_and_texts_are_scrubbed(tmp_path, record, machine):
    with ResultWriter(tmp_path / "results", machine, scrub=lambda text: text.replace("secret", "…")) as writing:
        writing.begin(record())
        writing.put_series(record().cell_id, LOSSES | {"note": ["a secret", None, "b"]})
    frame = odebench.load_series(tmp_path / "results")
    assert frame.loss.isna().tolist() == [False, True, True]
    assert frame.loss[0] == 1.5
    assert (frame.note[0], frame.note[2]) == ("a …", "b")
    assert pd.isna(frame.note[1])


def test_another_library_reads_the_file_and_finds_whose_it_is(writer, record, machine):
    folder = stored(writer, record())
    table = pa.parquet.read_table(folder.series_file(record().cell_id, machine.id))
    assert table.to_pydict() == {"iteration": [0, 1, 2], "loss": [1.5, None, None], "note": ["a", None, "b"]}
    assert json.loads(table.schema.metadata[b"odebench"]) == {
        "schema": 1, "cell_id": record().cell_id, "machine_id": machine.id, "freshness": "f" * 16,
    }  # fmt: skip


FLOATS = st.one_of(st.floats(), st.none())
COLUMN = st.one_of(
    st.lists(FLOATS, min_size=4, max_size=4),
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=4, max_size=4),
    st.lists(st.booleans(), min_size=4, max_size=4),
    st.lists(st.text("aZ é\u2028", max_size=5) | st.none(), min_size=4, max_size=4),
    st.lists(st.floats(width=32), min_size=4, max_size=4).map(lambda values: np.array(values, dtype=np.float32)),
    st.lists(st.integers(0, 255), min_size=4, max_size=4).map(lambda values: np.array(values, dtype=np.uint8)),
)


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(columns=st.dictionaries(st.text("abc_", min_size=1, max_size=3), COLUMN, min_size=1, max_size=3))
def test_every_value_survives_exactly_or_is_null(columns, tmp_path_factory, record, machine):
    folder = stored(lambda: ResultWriter(tmp_path_factory.mktemp("r"), machine, scrub=str), record(), columns=columns)
    frame = odebench.load_series(folder.path)
    for name, values in columns.items():
        want = [v.item() if isinstance(v, np.generic) else v for v in values]
        want = [None if isinstance(v, float) and not np.isfinite(v) else v for v in want]
        got = [None if pd.isna(v) else v for v in frame[name]]
        assert got == want


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"loss": [1.0], "iteration": [1, 2]}, "its columns are of unequal length: loss 1, iteration 2"),
        ({"cell_id": ["x"]}, "a column is called 'cell_id', which is taken"),
        ({"loss": np.zeros((2, 2))}, r"column 'loss' has the shape \(2, 2\)"),
        ({"loss": [1.0, None, "x"]}, "column 'loss' holds a str among others"),
        ({"loss": [object()]}, "column 'loss' holds a object among others"),
        ({"when": np.array(["2020-01-01"], dtype="datetime64[D]")}, r"column 'when' is of datetime64\[D\]"),
        ({"z": np.array([1j])}, "column 'z' is of complex128"),
    ],
)
def test_what_is_no_series_is_refused_and_what_was_stored_stays(writer, record, columns, message):
    folder = stored(writer, record())
    with writer() as writing:
        writing.begin(record())
        with pytest.raises(RecordError, match=f"the series of cell {record().cell_id}: {message}"):
            writing.put_series(record().cell_id, columns)
    assert list(odebench.load_series(folder.path).iteration) == [0, 1, 2]


def test_a_series_belongs_to_a_cell_that_was_begun(writer, record):
    with writer() as writing, pytest.raises(RecordError, match="a series came before the cell was begun"):
        writing.put_series(record().cell_id, LOSSES)


def test_no_columns_store_no_file(writer, record):
    folder = stored(writer, record(), columns={})
    assert list(folder.series.iterdir()) == []
    frame = odebench.load_series(folder.path)
    assert (list(frame.columns), len(frame)) == (["cell_id", "machine_id"], 0)


def test_a_folder_that_is_none_is_an_error_and_one_from_before_there_were_series_is_not(tmp_path):
    with pytest.raises(RecordError, match="nowhere: is no folder"):
        odebench.load_series(tmp_path / "nowhere")
    assert len(odebench.load_series(tmp_path)) == 0


def test_columns_that_other_cells_do_not_have_are_null_and_unlike_types_are_joined(writer, record):
    first, second = sorted([record(0), record(1)], key=lambda one: one.cell_id)
    stored(writer, first, columns={"loss": [1, 2], "rate": [0.5, None], "grid": ["a", "b"]})
    folder = stored(writer, second, columns={"loss": [0.5], "time_s": [3.0], "grid": [7]})
    frame = odebench.load_series(folder.path)
    assert list(frame.loss) == [1.0, 2.0, 0.5]
    assert frame.time_s.isna().tolist() == [True, True, False]
    assert list(frame.grid) == ["a", "b", "7"]


def test_a_file_cut_short_anywhere_costs_itself_and_is_told(writer, record, machine):
    folder = stored(writer, record(0), record(1))
    broken = folder.series_file(record(0).cell_id, machine.id)
    whole = broken.read_bytes()
    for length in [*range(0, len(whole), 37), len(whole) - 1]:
        broken.write_bytes(whole[:length])
        frame = odebench.load_series(folder.path)
        assert set(frame.cell_id) == {record(1).cell_id}
        (fault,) = frame.attrs["faults"]
        assert fault.startswith(f"{broken}: It is ")
        assert "`odebench run --force` writes it again" in fault


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda file: file.rename(file.with_name("0" * 16 + file.name[16:])), "it was renamed"),
        (lambda file: pa.parquet.write_table(pa.table({"a": [1]}), file), "is no series"),
        (lambda file: pa.parquet.write_table(pa.table({"a": [1]}).replace_schema_metadata({b"odebench": b"[]"}), file), "is no series"),
        (lambda file: pa.parquet.write_table(pa.table({"a": [1]}).replace_schema_metadata({b"odebench": json.dumps({"schema": 2, "cell_id": file.name[:16], "machine_id": file.name[17:33]}).encode()}), file), "Its schema is 2, and this odebench reads up to 1"),
        (lambda file: file.write_text("{}"), "is no series"),
        (lambda file: (file.unlink(), file.mkdir()), "cannot be read"),
    ],
)  # fmt: skip
def test_a_file_that_is_none_of_ours_is_a_fault(writer, record, machine, spoil, reason):
    folder = stored(writer, record())
    spoil(folder.series_file(record().cell_id, machine.id))
    (fault,) = read_series(folder)
    assert isinstance(fault, RecordFault)
    assert reason in fault.reason


def test_a_full_disk_leaves_what_was_stored(writer, record, monkeypatch):
    folder = stored(writer, record())
    with writer() as writing:
        writing.begin(record())

        def full(handle, content):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "write", full)
        with pytest.raises(RecordError, match="No space left"):
            writing.put_series(record().cell_id, {"loss": [9.0]})
        monkeypatch.undo()
    assert list(odebench.load_series(folder.path).iteration) == [0, 1, 2]
    assert list(folder.series.glob(".*")) == []


def test_measuring_anew_moves_the_series_to_the_history_with_its_record(writer, record, machine):
    with writer() as writing:
        for force in (False, True):
            writing.begin(record(), force=force)
            writing.put_series(record().cell_id, {"loss": [float(force)]})
            writing.put_part(record().cell_id, "quality", Part(outcome=Outcome.OK))
        writing.begin(record(freshness="e" * 16))
        folder = writing.folder
    name = f"{record().cell_id}.{machine.id}.{'f' * 16}"
    old = [pa.parquet.read_table(folder.history / f"{name}{end}").to_pydict() for end in (".parquet", ".2.parquet")]
    assert old == [{"loss": [0.0]}, {"loss": [1.0]}]
    assert len(odebench.load_series(folder.path)) == 0
    assert [one.outcome for one in folder.iter_records(history=True)] == [Outcome.OK] * 2


WRITES = """
import sys
sys.path[:] = {path!r}
from odebench.records import Machine, Record, ResultWriter
machine = Machine(**{machine!r})
with ResultWriter({folder!r}, machine) as writer:
    cells = [Record(cell_id=f"{{n:016x}}", cell={{}}, suite="s", experiments=("e",), freshness="0", machine_id=machine.id) for n in (1, 2)]
    for cell in cells:
        writer.begin(cell)
    for turn in range(100_000):
        writer.put_series(cells[turn % 2].cell_id, {{"turn": [turn] * 2000}})
        print(turn, flush=True)
"""


def test_kills_while_a_series_is_replaced_leave_the_old_one_or_the_new_one(tmp_path, machine):
    dice = random.Random(5)
    folder = ResultFolder(tmp_path / "results")
    facts = {key: value for key, value in machine.to_json().items() if key != "id"}
    for _ in range(4):
        code = WRITES.format(path=sys.path, machine=facts, folder=str(folder.path))
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
            told = "".join(process.stdout.readline() for _ in range(dice.randrange(3, 12)))
            time.sleep(dice.uniform(0, 0.02))
            os.kill(process.pid, signal.SIGKILL)
            told += process.stdout.read()
        last = int(told.split("\n")[-2])
        frame = odebench.load_series(folder.path)
        assert frame.attrs["faults"] == []
        assert frame.groupby("cell_id").turn.nunique().tolist() == [1, 1]
        assert set(frame.turn) in ({last - 1, last}, {last, last + 1})
