"""Cells of the compiled engine beside the same ones without: columns, labels, tables."""

from __future__ import annotations

import copy

import pytest

from odebench.report.frame import frame_of
from odebench.report.gradient_summary import summarise
from odebench.report.labels import with_labels
from odebench.report.tables.compiled import compiled_engine
from tests.report.synthetic import record

QUESTION = ("gradient", "lotka-volterra", "rk4", "direct", {"steps": 64})


def compiled(question=QUESTION, faster=10.0, asked=True, fallback=None, prepare_s=9.0, valid=True):
    """The record of the same question, compiled: times are those without over `faster`."""
    other = copy.deepcopy(record(*question))
    other["cell"]["compile"] = asked
    other["cell_id"] = f"c0de{other['cell_id'][4:]}"
    values = other["parts"]["quality"]["values"]
    values |= {"compiled": fallback is None, "nfe_backward": values["nfe_forward"]}
    if fallback is not None:
        values["compile_fallback_reason"] = fallback
    for one in other["parts"]["timing"]["rounds"]:
        one["valid"] = valid
        one["time_prepare_s"] = prepare_s if fallback is None else None
        one["samples"] = {name: [s / faster for s in samples] for name, samples in one["samples"].items()}
    return other


def test_calls_until_compilation_has_paid_are_compile_time_over_what_a_call_saves():
    frame = frame_of([record(*QUESTION), compiled()])
    eager, fast = frame.to_dict("records")
    assert (eager["compile"], eager["compiled"]) == ("false", False)
    assert (fast["compile"], fast["compiled"]) == ("true", True)
    assert fast["break_even_calls"] == pytest.approx(9.0 / (0.9 * eager["time_total_s"]))
    assert frame["break_even_calls"].isna().tolist() == [True, False]


@pytest.mark.parametrize(
    ("records", "why"),
    [
        ([compiled()], "the same cell without compile was not timed"),
        ([record("gradient", "lotka-volterra", "rk4", "direct", {"steps": 32}), compiled()], "was not timed"),
        ([record(*QUESTION, machine="5e" * 8), compiled()], "was not timed"),
        ([record(*QUESTION), compiled(faster=0.5)], "the compiled solve is not faster"),
        ([record(*QUESTION), compiled(valid=False)], "one of the two timings was disturbed"),
        ([record(*QUESTION), compiled(prepare_s=None)], "the time of the compilation is not known"),
    ],
)
def test_where_compilation_never_pays_or_nobody_knows_the_reason_is_told(records, why):
    row = frame_of(records).iloc[-1]
    assert row.isna()["break_even_calls"]
    assert f"break_even_calls: {why}" in row["missing"] or why in row["missing"]


def test_suites_without_compiled_cells_have_no_such_columns():
    assert not {"compile", "compiled", "break_even_calls"} & set(frame_of([record(*QUESTION)]).columns)


def test_labels_tell_compiled_cells_apart_where_both_are_there():
    labelled = with_labels(frame_of([record(*QUESTION), compiled()]))
    assert labelled["solver_label"].tolist() == ["rk4", "rk4, compiled"]
    assert labelled["eager_label"].tolist() == ["rk4", "rk4"]
    assert with_labels(frame_of([compiled()]))["solver_label"].tolist() == ["rk4"]


def test_the_table_of_gradient_methods_compares_compiled_with_eager():
    summaries = {one.gradient: one for one in summarise(with_labels(frame_of([record(*QUESTION), compiled()])))}
    assert summaries["direct"].baseline == "direct"
    assert summaries["direct"].time_ratio == pytest.approx(1.0)
    assert summaries["direct, compiled"].time_ratio == pytest.approx(0.1)


def test_the_table_of_the_engine_has_a_row_for_each_cell_that_asked():
    why = "The field is not one graph: At field.py, line 3."
    other = ("integrate", "van-der-pol", "rk4", None, {"steps": 32})
    table = compiled_engine(
        with_labels(
            frame_of([record(*QUESTION), compiled(), record(*other), compiled(other, asked="auto", fallback=why)])
        )
    )
    fast, fallen = [[value.text for value in row] for row in table.rows]
    older = compiled()
    told = compiled()
    told["parts"]["quality"]["values"]["compiled_as"] = "kernel and loop"
    tables = [compiled_engine(with_labels(frame_of([record(*QUESTION), one]))) for one in (older, told)]
    assert [table.rows[0][5].text for table in tables] == ["yes", "kernel and loop"]
    assert (fast[5], fast[8], fast[9], fast[11]) == ("yes", "0.1 ×", "9 s", "1 ×")
    assert (fallen[5], fallen[7], fallen[-1]) == ("no", "–", why)
