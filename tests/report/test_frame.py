"""Records become rows: every column there, medians of pooled samples, what is missing is null."""

import json

import pandas as pd
import pytest

from odebench.errors import RecordError
from odebench.report.columns import DERIVED, DOCUMENTED
from odebench.report.frame import frame_of, load, write
from tests.report.synthetic import failed, record, write_folder

RK4 = ("gradient", "mlp-field", "rk4", "direct", {"steps": 64})


def values(made, part="quality"):
    return made["parts"][part]["values"]


def one_row(made):
    return frame_of([made]).iloc[0]


def test_a_row_a_record_with_all_documented_columns_in_order(frame, records):
    documented = [one.name for one in (*DOCUMENTED, *DERIVED)]
    assert list(frame.columns[: len(documented)]) == documented
    assert len(frame) == len(records)


def test_columns_have_their_nullable_dtypes(frame):
    for one in (*DOCUMENTED, *DERIVED):
        assert str(frame[one.name].dtype) == one.dtype, one.name


def test_identity_comes_from_the_cell():
    row = one_row(record(*RK4, parameters={"model": {"width": 32, "activation": "tanh"}}))
    assert (row["task"], row["model"], row["solver"], row["gradient"]) == ("gradient", "mlp-field", "rk4", "direct")
    assert (row["steps"], row["device"], row["dtype"], row["threads"], row["seed"]) == (64, "cpu", "float64", 1, 0)
    assert (row["model.width"], row["model.activation"]) == (32, "tanh")
    assert pd.isna(row["rtol"])
    assert row["odebench_version"] == "0.1.0"
    assert row["plugin_versions"] == "torch 2.13.0"


def test_a_tolerance_fills_rtol_and_atol_and_its_batch_mode_stays_visible():
    row = one_row(record("integrate", "mlp-field", "dopri5", None, {"rtol": 1e-3, "atol": 1e-6, "batch": "joint"}))
    assert (row["rtol"], row["atol"], row["grid.batch"]) == (1e-3, 1e-6, "joint")
    assert pd.isna(row["steps"])
    assert pd.isna(row["gradient"])


def test_parameters_take_the_narrowest_dtype_that_holds_them():
    made = [
        record(*RK4, parameters={"model": {"width": width, "scale": scale, "sizes": [1, 2], "norm": norm}})
        for width, scale, norm in [(8, 1, True), (16, 0.5, False)]
    ]
    table = frame_of(made)
    assert str(table["model.width"].dtype) == "Int64"
    assert str(table["model.scale"].dtype) == "Float64"
    assert str(table["model.norm"].dtype) == "boolean"
    assert list(table["model.sizes"]) == ["[1, 2]", "[1, 2]"]


def test_a_failed_cell_keeps_its_reason_and_has_null_figures_never_0():
    row = one_row(failed(record(*RK4), "timeout", "It was stopped after 120 s."))
    assert (row["outcome"], row["reason"]) == ("timeout", "It was stopped after 120 s.")
    for name in ("error_final", "nfe_forward", "memory_peak_bytes", "time_total_s", "timing_valid"):
        assert pd.isna(row[name]), name


def test_quality_is_kept_where_a_later_part_failed():
    made = record(*RK4)
    made["parts"]["memory"] = {"outcome": "out_of_memory", "reason": "too much", "values": {}, "reasons": {}}
    made["outcome"], made["reason"] = "out_of_memory", "too much"
    row = one_row(made)
    assert row["outcome"] == "out_of_memory"
    assert row["error_final"] > 0
    assert pd.isna(row["memory_peak_bytes"])


def test_why_a_figure_is_null_is_told():
    made = record(*RK4)
    values(made)["grad_error_discrete"] = None
    made["parts"]["quality"]["reasons"]["grad_error_discrete"] = "the solver is opaque"
    row = one_row(made)
    assert pd.isna(row["grad_error_discrete"])
    assert "grad_error_discrete: the solver is opaque" in row["missing"]


@pytest.mark.parametrize("wrong", ["abc", float("nan"), float("inf"), True, [1]])
def test_a_value_that_is_no_number_becomes_null_with_a_reason(wrong):
    made = record(*RK4)
    values(made)["error_final"] = wrong
    row = one_row(made)
    assert pd.isna(row["error_final"])
    assert "error_final" in row["missing"]


def test_a_count_that_is_not_whole_becomes_null_with_a_reason():
    made = record(*RK4)
    values(made)["nfe_forward"] = 12.5
    row = one_row(made)
    assert pd.isna(row["nfe_forward"])
    assert "nfe_forward" in row["missing"]


def test_a_figure_cannot_take_the_name_of_an_identity_column():
    made = record(*RK4)
    values(made)["solver"] = "mine"
    row = one_row(made)
    assert row["solver"] == "rk4"
    assert "solver" in row["missing"]


def test_figures_of_a_plugin_come_after_the_documented_columns():
    made = record(*RK4)
    values(made)["energy_drift"] = 0.5
    values(made)["phase"] = "chaotic"
    table = frame_of([made])
    assert table["energy_drift"].iloc[0] == 0.5
    assert table["phase"].iloc[0] == "chaotic"
    assert list(table.columns).index("energy_drift") > list(table.columns).index("missing")


def timed(rounds):
    """A record whose timing rounds hold these samples; a round is (samples, valid)."""
    made = record(*RK4)
    made["parts"]["timing"] = {
        "rounds": [
            {
                "round": number,
                "outcome": "ok",
                "reason": None,
                "samples": {"time_forward_s": samples},
                "time_first_s": 9.0,
                "time_prepare_s": 0.5,
                "cpu_over_wall": 1.0,
                "valid": valid,
                "reason_invalid": None if valid else "another process ran",
                "seconds": 1.0,
            }
            for number, (samples, valid) in enumerate(rounds)
        ]
    }
    return made


def test_times_are_medians_of_the_pooled_samples_and_never_hold_the_first_call():
    row = one_row(timed([([1.0, 2.0, 3.0], True), ([2.0, 4.0], True), ([5.0], True)]))
    assert row["time_forward_s"] == 2.5
    assert (row["time_first_s"], row["time_prepare_s"]) == (9.0, 0.5)
    assert row["time_forward_min_s"] == 1.0
    assert row["time_forward_low_s"] <= 2.5 <= row["time_forward_high_s"]
    assert (row["timing_processes"], row["timing_samples"]) == (3, 6)
    assert not row["timing_indicative"]


def test_fewer_than_three_processes_are_indicative():
    assert one_row(timed([([1.0, 2.0], True), ([1.0], True)]))["timing_indicative"]


def test_invalid_rounds_are_left_out_while_there_are_valid_ones():
    row = one_row(timed([([1.0, 1.0], True), ([100.0, 100.0, 100.0], False)]))
    assert row["time_forward_s"] == 1.0
    assert row["timing_valid"]


def test_with_only_invalid_rounds_the_time_is_shown_as_invalid_and_says_why():
    row = one_row(timed([([100.0], False)]))
    assert row["time_forward_s"] == 100.0
    assert not row["timing_valid"]
    assert "another process ran" in row["missing"]


def test_load_reads_what_a_run_wrote(folder, frame):
    loaded = load(folder).sort_values(["cell_id"]).reset_index(drop=True)
    pd.testing.assert_frame_equal(loaded, frame.sort_values("cell_id").reset_index(drop=True))


def test_a_broken_file_costs_itself_and_is_named(tmp_path):
    made = [record(*RK4), record("integrate", "mlp-field", "rk4", None, {"steps": 64})]
    written = write_folder(tmp_path / "run", made)
    broken = next((written / "cells").glob(f"{made[0]['cell_id']}*"))
    broken.write_text('{"schema": 1, "cell_id')
    (written / "cells" / ".half.json.tmp").write_text("{")
    loaded = load(written)
    assert list(loaded["cell_id"]) == [made[1]["cell_id"]]
    assert len(loaded.attrs["faults"]) == 1
    assert broken.name in loaded.attrs["faults"][0]


def test_a_folder_without_records_is_refused_in_words(tmp_path):
    with pytest.raises(RecordError, match="no record that can be read"):
        load(tmp_path)
    with pytest.raises(RecordError, match="is no folder"):
        load(tmp_path / "missing")


def test_the_tables_are_rebuilt_and_hold_every_column(tmp_path):
    made = record(*RK4)
    written = write_folder(tmp_path / "run", [made])
    parquet, csv = write(written)
    values(made)["error_final"] = 0.25
    next((written / "cells").glob("*.json")).write_text(json.dumps(made))
    assert (parquet, csv) == write(written)
    loaded = load(written)
    for table in (pd.read_parquet(parquet), pd.read_csv(csv)):
        assert list(table.columns) == list(loaded.columns)
        assert list(table["error_final"]) == [0.25]
    assert sorted(path.name for path in written.iterdir() if path.is_file()) == [
        "records.csv",
        "records.parquet",
        "run.json",
    ]


def test_yes_or_no_of_a_task_is_a_boolean_column_and_nothing_else_fits_it():
    from odebench.report.frame import _fitting

    assert _fitting("separable", True) == (True, True)
    assert _fitting("separable", False) == (True, False)
    assert _fitting("separable", 1.0) == (False, None)
