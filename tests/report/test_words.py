"""Tables, short answers and remarks: what the report says in words."""

from dataclasses import replace

import pytest

from odebench.report.frame import frame_of
from odebench.report.gradient_summary import summarise
from odebench.report.headline import headline
from odebench.report.labels import with_labels
from odebench.report.quantity import shown
from odebench.report.tables.cells import every_cell, failures
from odebench.report.tables.methods import gradient_methods, memory_laws, memory_range, orders
from odebench.report.tables.solvers import best_at_equal_error, every_solver_at_equal_error
from odebench.report.trust import remarks
from tests.report.synthetic import LAPTOP, SERVER, failed, record


def integrations(solver="rk4", steps=(32, 64, 128, 256), **options):
    return [record("integrate", "mlp-field", solver, None, {"steps": n}, **options) for n in steps]


def texts(table):
    return [[value.text for value in row] for row in table.rows]


def made(*groups):
    return with_labels(frame_of([one for group in groups for one in group]))


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("error_final", 1.234e-5, "1.2e-05"),
        ("error_final", 0.0, "0"),
        ("nfe_forward", 12345, "12,345"),
        ("memory_peak_bytes", 512, "512 bytes"),
        ("memory_peak_bytes", 4 * 2**20, "4 MiB"),
        ("time_total_s", 0.0032, "3.2 ms"),
        ("time_total_s", 4e-6, "4 µs"),
        ("timing_valid", False, "no"),
        ("error_final", None, "–"),
        ("model.width", 32.0, "32"),
    ],
)
def test_values_in_words(name, value, words):
    assert shown(name, value) == words


def test_every_table_has_as_many_values_as_headings_or_says_why_it_is_empty(labelled):
    makers = (
        best_at_equal_error,
        every_solver_at_equal_error,
        gradient_methods,
        memory_laws,
        orders,
        failures,
        every_cell,
    )
    for maker in makers:
        table = maker(labelled)
        assert table.rows, table.key
        assert {len(row) for row in table.rows} == {len(table.headings)}, table.key
        nothing = maker(made([failed(integrations()[0], "crashed", "signal 11")]))
        assert nothing.rows or nothing.empty.endswith("."), table.key


def test_the_best_solver_of_each_model_and_error():
    rows = texts(best_at_equal_error(made(integrations("rk4"), integrations("euler"))))
    assert [row[:3] for row in rows] == [["mlp-field", "≤ 0.001", "rk4"], ["mlp-field", "≤ 1e-06", "rk4"]]
    rows = texts(best_at_equal_error(made(integrations("euler"))))
    assert [row[2] for row in rows] == ["none gets there"] * 2


def test_the_observed_order_of_a_made_up_solver():
    (row,) = texts(orders(made(integrations("rk4"))))
    assert float(row[2]) == pytest.approx(4, abs=0.4)


def test_failures_come_with_reason_and_cell_and_before_what_is_not_offered(labelled):
    rows = texts(failures(labelled))
    assert [row[0] for row in rows][-1] == "unsupported"
    assert len(rows) == 7
    assert ["diverged", "The state is not finite after step 17 of 32."] in [row[:2] for row in rows]
    assert all(len(row[-1]) == 16 for row in rows)


def test_all_cells_are_listed_with_the_figures_that_anybody_filled(labelled):
    table = every_cell(labelled)
    headings = [heading.label for heading in table.headings]
    assert len(table.rows) == len(labelled)
    assert "error_final" in headings and "roundtrip_error" in headings
    assert "accuracy_test" not in headings


def test_the_short_answer_names_solver_cost_and_trust(frame):
    answers = headline(frame)
    solver = next(one for one in answers if one.question == "solver for mlp-field at error ≤ 0.001")
    assert solver.answer in {"rk4", "dopri5"}
    assert "evaluations" in solver.cost and "(indicative)" in solver.cost
    assert "14 digits" in solver.trust
    methods = {one.answer: one for one in answers if one.question == "gradient method, all models"}
    assert methods["direct"].trust.startswith("exact")
    assert methods["continuous-adjoint"].trust.startswith("not exact")
    assert "16 bytes a step" in methods["continuous-adjoint"].cost


def test_an_unreached_error_is_no_answer():
    answers = headline(frame_of(integrations("euler")))
    assert [one.answer for one in answers] == ["none gets there"] * 2
    assert all("least error" in one.cost for one in answers)


def test_times_that_were_disturbed_are_not_told_and_one_row_says_so():
    one = integrations()
    assert not [answer for answer in headline(frame_of(one)) if answer.question == "times"]
    for cell in one:
        cell["parts"]["timing"]["rounds"][0]["valid"] = False
    answers = headline(frame_of(one))
    assert not any("ms" in answer.cost for answer in answers)
    assert [answer.question for answer in answers].count("times") == 1
    assert (answers[-1].answer, answers[-1].cost) == ("4 of 4 disturbed", "no time is told above")


def test_a_solver_whose_finer_grids_were_disturbed_has_no_time_rather_than_an_infinite_one():
    one = integrations()
    for cell in one[1:]:
        cell["parts"]["timing"]["rounds"][0]["valid"] = False
    answers = headline(frame_of(one))
    assert answers[1].answer == "rk4" and answers[1].cost.endswith("evaluations")
    assert answers[-1].cost == "times that are missing above were disturbed"
    times = {row[1]: row[4] for row in texts(every_solver_at_equal_error(made(one)))}
    assert times["≤ 0.001"].startswith("≤ 2.") and times["≤ 1e-06"] == "–"


def test_sizes_of_one_unit_name_it_once(labelled):
    (row,) = [one for one in summarise(labelled) if not one.model and one.gradient == "direct"]
    assert memory_range(row) == "4 – 16 KiB"
    assert memory_range(replace(row, bytes_low=100.0)) == "100 bytes – 16 KiB"
    assert memory_range(replace(row, bytes_low=row.bytes_high)) == "16 KiB"


def test_machines_are_answered_one_by_one():
    answers = headline(frame_of(integrations(machine=LAPTOP) + integrations(machine=SERVER)))
    assert len(answers) == 4
    assert {one.question.split(":")[0] for one in answers} == {f"machine {LAPTOP[:8]}", f"machine {SERVER[:8]}"}


def said(frame):
    return {one.text: one.tone for one in remarks(frame)}


def test_remarks_on_a_clean_run_hold_nothing_bad():
    clean = made([one for n in (1,) for one in integrations(processes=n * 7, slowdown=100)])
    assert "bad" not in {tone for text, tone in said(clean).items() if "spread" not in text}
    assert "All 4 cells that are offered ended ok." in said(clean)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda one: one["parts"]["quality"]["values"].update(nfe_method="declared"), "only declared"),
        (lambda one: one["parts"]["quality"]["values"].update(reference_digits=None), "No digits are known"),
        (lambda one: one["parts"]["memory"]["values"].update(memory_left_bytes=64), "left memory behind"),
        (lambda one: one["parts"]["timing"]["rounds"][0].update(valid=False), "disturbed"),
        (lambda one: one["parts"].update(timing={"rounds": []}), "Nothing was timed"),
        (lambda one: one.update(outcome="timeout", reason="too slow"), "1 of 1 cells failed (1 timeout)"),
    ],
)
def test_what_speaks_against_the_figures_is_said(change, words):
    one = integrations(steps=(32,))[0]
    assert not any(words in text for text in said(made([one])))
    change(one)
    assert any(words in text for text in said(made([one])))
