"""Tables, short answers and the page of a folder with trainings and claims."""

from __future__ import annotations

import pytest

from odebench.report.build import write_report
from odebench.report.frame import frame_of
from odebench.report.headline import headline
from odebench.report.labels import with_labels
from odebench.report.tables.trainings import by_test_solver, every_swap, every_training, solvers_tested
from odebench.report.trust import remarks
from tests.report.classroom import adapted, crossing, lesson, paths, swapped, trace, training, write_lesson
from tests.report.synthetic import HOSTILE, failed, record

CLAIMS = """
[[claim]]
name = "two steps are too few"
that = "mean(accuracy_test where solver == 'midpoint' and factor == 1 and trained.steps == 2) < 0.8"
[[claim]]
name = "a false one"
that = "min(accuracy_test where task == 'swap') > 0.9"
[[claim]]
name = "an open one, <script>window.hacked=1</script>"
that = "max(accuracy_test where solver == 'dopri5') > 0.9"
allow = ["diverged"]
"""


def rows_of(records):
    return with_labels(frame_of(records))


def texts(table):
    assert all(len(row) == len(table.headings) for row in table.rows)
    return [[value.text for value in row] for row in table.rows]


def policies():
    """Three trainings whose policy chose the steps, with what midpoint makes of them."""
    made = []
    for seed, (step, accuracy, nfe) in enumerate([(0.01, 0.98, 100.0), (0.02, 0.99, 90.0), (0.04, 0.94, 110.0)]):
        origin = adapted(seed, step, accuracy, nfe)
        made += [origin, swapped(origin, "midpoint", accuracy - 0.01 * (seed + 1), factor=1.0)]
    return made


def test_the_table_of_training_step_and_test_solver():
    table = by_test_solver(rows_of(lesson(steps=(16, 64))))
    assert [heading.label for heading in table.headings][3:7] == [
        "own solver",
        "test: euler",
        "test: midpoint",
        "test: rk4",
    ]
    # With 16 steps midpoint takes 2.5, 2.75 and 3 points off 98.
    assert texts(table) == [
        ["conv1d-net", "euler", "1/16", "98.0 ± 0.0 %", "98.0 ± 0.0 %", "95.2 ± 0.2 %", "95.2 ± 0.2 %", "2.8 ± 0.3 points", "no", "3"],
        ["conv1d-net", "euler", "1/64", "98.0 ± 0.0 %", "98.0 ± 0.0 %", "97.3 ± 0.1 %", "97.3 ± 0.1 %", "0.7 ± 0.1 points",
         "yes, critical step", "3"],
    ]  # fmt: skip
    assert table.rows[0][5].sort == pytest.approx(95.25)


def test_a_solver_that_nobody_tested_here_has_a_dash():
    frames = [
        rows_of(lesson(steps=(16,))),
        rows_of([*(origin := [training(8)]), swapped(origin[0], "rk4", 0.9, factor=1.0)]),
    ]
    assert solvers_tested(frames) == ["euler", "midpoint", "rk4"]
    (row,) = texts(by_test_solver(frames[1], solvers_tested(frames)))
    assert row[3:7] == ["98.0 %", "–", "–", "90.0 %"]


def test_every_test_solver_and_step_has_a_row():
    table = every_swap(rows_of(lesson(steps=(16,))))
    rows = texts(table)
    assert len(rows) == 9
    assert rows[0] == [
        "conv1d-net",
        "euler",
        "1/16",
        "euler",
        "8",
        "× 2",
        "96.6 ± 0.1 %",
        "-1.4 points",
        "-1.5 points",
        "3",
    ]
    assert rows[1][3:8] == ["euler", "16", "× 1", "98.0 ± 0.0 %", "+0.0 points"]


def test_policies_stand_beside_the_points_of_the_grid():
    table = every_training(rows_of(lesson(steps=(16, 64)) + policies()))
    assert texts(table) == [
        ["conv1d-net", "euler", "1/16", "98.0 ± 0.0 %", "16.0 ± 0.0", "2.8 ± 0.3 points", "100", "3"],
        ["conv1d-net", "euler", "1/64", "98.0 ± 0.0 %", "64.0 ± 0.0", "0.7 ± 0.1 points", "100", "3"],
        ["conv1d-net", "euler · step-adaptation", "ends at 0.01 – 0.04", "97.0 ± 2.6 %", "100.0 ± 10.0", "2.0 ± 1.0 points", "400", "3"],
    ]  # fmt: skip


def test_a_training_that_nobody_tested_has_no_gap():
    (row,) = texts(every_training(rows_of([training(8)])))
    assert row[5] == "–"


def test_the_critical_step_is_among_the_short_answers():
    (answer,) = headline(rows_of(lesson()))
    assert answer.question == "coarsest step at which conv1d-net, trained with euler, is a flow"
    assert (answer.answer, answer.tone, answer.trust) == ("1/64", "good", "3 seeds a step")
    assert answer.cost == "worst change of the accuracy, at most 2 points allowed: 1/64: 0.7 points; 1/16: 2.8 points"
    (answer,) = headline(rows_of(lesson(steps=(2, 4))))
    assert (answer.answer, answer.tone) == ("none of those tried", "bad")


def test_solves_beside_trainings_are_answered_as_without_them():
    solves = [
        record("integrate", "mlp-field", "rk4", None, {"steps": steps}, dtype="float32") for steps in (32, 64, 128)
    ]
    alone, among = headline(rows_of(solves)), headline(rows_of(solves + lesson()))
    assert among[: len(alone)] == alone and len(among) == len(alone) + 1


def test_trainings_are_not_blamed_for_what_only_solves_have():
    told = " ".join(remark.text for remark in remarks(rows_of(lesson())))
    assert "Nothing was timed" not in told and "references" not in told
    assert "All 120 cells that are offered ended ok." in told


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    free = policies()
    crossed = crossing(training(2), 7)
    broken = failed(training(4), "diverged", HOSTILE)
    series = {free[0]["cell_id"]: trace(), crossed["cell_id"]: paths()}
    folder = write_lesson(
        tmp_path_factory.mktemp("lesson") / "lesson", [*lesson(), *free, crossed, broken], series, CLAIMS
    )
    return write_report(folder)


def test_the_report_of_trainings_holds_their_figures_only(report):
    stems = sorted(path.stem for path in report.figures if path.suffix == ".png")
    assert [stem.partition("-")[0] for stem in stems] == ["dots", "phase", "refinement", "sawtooth", "seeds"]
    assert [one.family for one in report.skipped] == ["Learning curves"], "there is one gradient method only"


def test_the_page_shows_the_claims_with_verdict_and_evidence(report):
    text = report.index.read_text()
    section = text[text.index('<section id="claims">') : text.index('<section id="trust">')]
    for words in (
        'good">true</b>',
        'bad">false</b>',
        'open">undecided</b>',
        "(3 of 3 rows)",
        "no row is selected.",
        "allowing diverged",
    ):
        assert words in section, words
    assert "&lt;script&gt;window.hacked=1" in section and "<script>window.hacked" not in text
    assert '<a href="#claims">' in text


def test_the_page_has_the_tables_of_trainings_and_none_of_solves(report):
    text = report.index.read_text()
    for key, there in {
        "test-solvers": True,
        "trainings": True,
        "swaps": True,
        "best": False,
        "gradients": False,
        "failures": True,
    }.items():
        assert (f'id="table-{key}"' in text) is there, key


def test_a_page_without_claims_and_trainings_has_neither(tmp_path):
    from tests.report.synthetic import write_folder

    folder = write_folder(tmp_path / "quickstart", [record("integrate", "mlp-field", "rk4", None, {"steps": 32})])
    text = write_report(folder).index.read_text()
    assert 'id="claims"' not in text and "#claims" not in text and 'id="table-trainings"' not in text
    assert 'id="table-best"' in text


def test_claims_that_cannot_be_read_cost_the_page_only_them(tmp_path):
    folder = write_lesson(
        tmp_path / "lesson", lesson(steps=(2,)), {}, CLAIMS.replace("min(accuracy_test where", "min(accuracy_test whre")
    )
    text = write_report(folder).index.read_text()
    assert "The claims cannot be read: " in text and "claim[1].that" in text
    assert 'id="table-swaps"' in text


def test_two_machines_have_their_own_series_and_verdicts(tmp_path):
    from tests.report.synthetic import SERVER

    records = lesson(steps=(2,), seeds=(0,))
    there = [one | {"machine_id": SERVER} for one in records[:-1]]
    folder = write_lesson(tmp_path / "lesson", records + there, {}, CLAIMS)
    text = write_report(folder).index.read_text()
    section = text[text.index('<section id="claims">') : text.index('<section id="trust">')]
    assert section.count('good">true</b>') == 1 and section.count("1 cell of the plan has no record yet") == 3
