"""Verdicts on claims: hand-computed figures, what leaves a claim undecided, and the rows that are counted as evidence."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from odebench.plan.schema import Claim
from odebench.report.claims import Verdict, judge, judge_source, overall
from odebench.report.frame import frame_of
from odebench.report.sources import sources_of
from tests.report.synthetic import LAPTOP, SERVER, SUITE, failed, record, write_folder


def table(**changes):
    """Two solvers on four seeds each, with accuracies that add up easily; the last row diverged."""
    columns = {
        "cell_id": (pd.array([f"cell{place}" for place in range(8)], dtype="string")),
        "outcome": pd.array(["ok"] * 7 + ["diverged"], dtype="string"),
        "reason": pd.array([None] * 7 + ["The state is not finite."], dtype="string"),
        "missing": pd.array([None] * 8, dtype="string"),
        "solver": pd.array(["euler", "midpoint"] * 4, dtype="string"),
        "solver_label": pd.array(["euler", "midpoint"] * 4, dtype="string"),
        "seed": pd.array([0, 0, 1, 1, 2, 2, 3, 3], dtype="Int64"),
        "model.width": pd.array([32] * 8, dtype="Int64"),
        "accuracy_test": pd.array([1.0, 0.5, 0.75, 0.75, 0.5, 0.25, 0.25, None], dtype="Float64"),
        "separable": pd.array([True, False, True, True, True, False, True, None], dtype="boolean"),
        "crossings": pd.array([None] * 8, dtype="string"),
    }
    return pd.DataFrame(columns | changes)


def verdict(that, *allow, frame=None, missing=0):
    (judged,) = judge(table() if frame is None else frame, [Claim(name="it", that=that, allow=allow)], missing)
    return judged


@pytest.mark.parametrize(
    ("figure", "value"),
    [
        ("min(accuracy_test where solver == 'euler')", 0.25),
        ("max(accuracy_test where solver == 'euler')", 1.0),
        ("mean(accuracy_test where solver == 'euler')", 0.625),
        ("median(accuracy_test where solver == 'euler')", 0.625),
        ("sum(accuracy_test where solver == 'euler')", 2.5),
        # Deviations .375 .125 -.125 -.375: squares sum to .3125, over n - 1 = 3.
        ("std(accuracy_test where solver == 'euler')", (0.3125 / 3) ** 0.5),
        # Between the second and the third of 0.25 0.5 0.75 1.
        ("quantile(accuracy_test, 0.5 where solver == 'euler')", 0.625),
        ("quantile(accuracy_test, 1 where solver == 'euler')", 1.0),
        ("count(where seed < 2)", 4.0),
        ("count(solver where seed < 3)", 6.0),
        ("count(accuracy_test < 0.6 where seed < 3)", 3.0),
        ("count(separable where seed < 3)", 4.0),
        ("share(accuracy_test >= 0.75 where solver == 'euler')", 0.5),
        ("max(abs(accuracy_test - 1) * 2 ** seed where solver == 'euler')", 6.0),
        ("mean(model.width where seed == 0)", 32.0),
        ("mean(accuracy_test where solver == 'euler' and seed < 2) - mean(accuracy_test where seed == 1)", 0.125),
        # Of each seed the worse solver: .5, .75, .25.
        ("mean(min(accuracy_test by seed) where seed < 3)", 0.5),
        ("count(min(accuracy_test by seed) < 0.6 where seed < 3)", 2.0),
        # Paired by seed: .5, 0, .25.
        (
            "max(mean(accuracy_test by seed where solver == 'euler') - mean(accuracy_test by seed where solver != 'euler')"
            " where seed < 3)",
            0.5,
        ),
        ("max(count(by solver, seed) where seed < 3)", 1.0),
        ("quantile(mean(accuracy_test by solver), 0 where seed < 3)", 0.5),
        ("log2(sum(model.width where seed < 2)) + sqrt(4) - exp(0) / 2 + abs(-1) + log10(100) + log(1)", 11.5),
        ("-min(seed) + 2 ** 3", 8.0),
    ],
)
def test_figures_are_what_a_hand_computes(figure, value):
    frame = table().iloc[:7]
    for claim, expected in (
        (f"abs({figure} - {value!r}) < 1e-12", Verdict.TRUE),
        (f"{figure} > {value!r} + 1", Verdict.FALSE),
    ):
        judged = verdict(claim, frame=frame)
        assert (judged.verdict, judged.reasons) == (expected, ()), judged


@pytest.mark.parametrize("order", [1, 2, 4.5])
def test_slope_is_that_of_logarithms(order):
    steps = 2.0 ** np.arange(3, 11)
    frame = table(
        outcome=pd.array(["ok"] * 8, dtype="string"),
        seed=pd.array(steps.astype(int), dtype="Int64"),
        accuracy_test=pd.array(3.0 * steps**-order, dtype="Float64"),
    )
    assert verdict(f"abs(slope(accuracy_test, seed) + {order}) < 1e-9", frame=frame).verdict is Verdict.TRUE
    noisy = frame.assign(accuracy_test=frame["accuracy_test"] * np.array([1.1, 0.9] * 4))
    expected = np.polyfit(np.log(steps), np.log(noisy["accuracy_test"].to_numpy(dtype=float)), 1)[0]
    (evidence,) = verdict("slope(accuracy_test, seed) < 0", frame=noisy).evidence
    assert evidence.value == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("that", "expected"),
    [
        ("all(separable where solver == 'euler')", Verdict.TRUE),
        ("all(separable where seed < 3)", Verdict.FALSE),
        ("any(separable where solver != 'euler' and seed < 3)", Verdict.TRUE),
        ("not all(separable where seed < 3) and max(seed) == 3", Verdict.TRUE),
        ("max(accuracy_test where seed < 3) > 2 or min(seed) == 0", Verdict.TRUE),
        ("0.2 < min(accuracy_test) <= 0.25 < max(accuracy_test) where seed < 3", Verdict.TRUE),
        ("min(seed) != 0", Verdict.FALSE),
        ("all(min(accuracy_test by seed) > 0.2) where seed < 3", Verdict.TRUE),
    ],
)
def test_truths_are_joined(that, expected):
    assert verdict(that, frame=table().iloc[:7]).verdict is expected


def test_the_condition_at_the_end_holds_for_every_aggregate():
    judged = verdict("max(accuracy_test where solver == 'euler') > min(accuracy_test) where seed < 2")
    assert [(one.text, one.value, one.used, one.selected) for one in judged.evidence] == [
        ("max(accuracy_test where solver == 'euler')", 1.0, 2, 2),
        ("min(accuracy_test)", 0.5, 4, 4),
    ]
    assert [(one.figure, one.rows) for one in judged.evidence] == [("1", "2 of 2 rows"), ("0.5", "4 of 4 rows")]


def test_evidence_of_groups_counts_rows_and_groups():
    (evidence,) = verdict("mean(min(accuracy_test by seed)) > 0 where seed < 3").evidence
    assert (evidence.used, evidence.selected, evidence.groups) == (6, 6, 3)
    assert evidence.rows == "6 of 6 rows, in 3 groups"


@pytest.mark.parametrize(
    ("that", "words"),
    [
        ("max(accuracy_test where solver == 'rk4') > 0", "no row is selected"),
        (
            "mean(accuracy_test) > 0",
            "1 of 8 selected rows did not end ok (1 diverged), such as cell cell7: The state is not",
        ),
        ("count() == 8", "did not end ok"),
        ("max(crossings where seed < 3) > 0", "6 of 6 selected rows have no crossings, such as cell cell0"),
        ("all(crossings > 1 where seed < 3)", "have no crossings > 1"),
        (
            "max(acuracy_test where seed < 3) > 0",
            "'acuracy_test' is a column that these results do not have; did you mean 'acc",
        ),
        ("max(seed where solvr == 'a') > 0", "did you mean 'solver'?"),
        ("max(seed where solver_label == 'a') > 0", "did you mean 'solver'?"),
        ("max(solver where seed < 3) > 0", "'solver' is text, and a number is wanted"),
        ("max(separable where seed < 3) > 0", "'separable' is yes or no, and a number is wanted"),
        ("max(seed where solver == euler) > 0", "'euler' is a value, not a column: put it in quotes"),
        ("max(seed where solver > 3) > 0", "'solver' is text and '3' is not"),
        ("max(seed where seed) > 0", "alone is no condition"),
        ("mean(log(seed) where seed < 3) > 0", "2 of 6 selected rows have no log(seed), such as cell cell0"),
        ("max(1 / (seed - 1) where seed < 3) > 0", "have no 1 / (seed - 1), such as cell cell2"),
        ("max(seed) / min(seed) > 0 where seed < 3", "'max(seed) / min(seed)' has no value: it is not a finite number"),
        ("log(min(seed) - 1) > 0 where seed < 3", "has no value"),
        ("std(seed where seed == 0 and solver == 'euler') > 0", "std needs two"),
        ("slope(seed, model.width where seed < 3) > 0", "a value is not above 0"),
        ("slope(accuracy_test, model.width where seed < 3) > 0", "slope needs two different values"),
        ("mean(min(seed by crossings)) > 0 where seed < 3", "a selected row has no crossings to be grouped by"),
        (
            "mean(min(seed by seed) - min(seed by seed where solver == 'euler' and seed > 0)) >= 0 where seed < 3",
            "a group is there",
        ),
        ("mean(1 / min(seed by seed)) > 0 where seed < 3", "no finite number"),
    ],
)
def test_what_leaves_a_claim_undecided_is_told(that, words):
    judged = verdict(that)
    assert judged.verdict is Verdict.UNDECIDED
    assert words in " ".join(judged.reasons)
    assert judged.evidence, "the evidence is shown all the same"


def test_a_missing_figure_is_told_with_the_record_s_own_reason():
    frame = table(accuracy_test=pd.array([None] * 8, dtype="Float64"))
    frame["missing"] = pd.array(["accuracy_test: the test set is empty"] * 8, dtype="string")
    (reason,) = verdict("max(accuracy_test where seed < 3) > 0", frame=frame).reasons
    assert "(accuracy_test: the test set is empty)." in reason


def test_an_undecided_part_leaves_the_whole_undecided_and_its_other_figures_shown():
    judged = verdict("min(seed where seed < 3) == 0 or max(accuracy_test) > 0")
    assert judged.verdict is Verdict.UNDECIDED
    assert [(one.value, one.used, one.selected) for one in judged.evidence] == [(0.0, 6, 6), (None, 0, 8)]


def test_an_allowed_outcome_is_left_out_where_it_holds_no_value_and_counts_where_it_does():
    judged = verdict("mean(accuracy_test where solver == 'midpoint') == 0.5", "diverged")
    (evidence,) = judged.evidence
    assert (judged.verdict, evidence.used, evidence.selected) == (Verdict.TRUE, 3, 4)
    assert verdict("count(outcome == 'diverged') == 1 and count() == 8", "diverged").verdict is Verdict.TRUE
    assert verdict("count(outcome == 'diverged') == 1", "timeout").verdict is Verdict.UNDECIDED
    # Nothing but allowed failures is no evidence.
    assert verdict("max(accuracy_test where outcome == 'diverged') > 0", "diverged").verdict is Verdict.UNDECIDED
    assert verdict("mean(min(accuracy_test by seed)) > 0", "diverged").evidence[0].rows == "7 of 8 rows, in 4 groups"


def test_a_null_in_a_row_that_ended_ok_is_never_allowed():
    frame = table(accuracy_test=pd.array([None, *[0.5] * 7], dtype="Float64"))
    assert verdict("mean(accuracy_test) > 0", "diverged", frame=frame).verdict is Verdict.UNDECIDED


def test_nothing_is_decided_before_the_plan_is_done():
    judged = verdict("min(seed) == 0 where seed < 3", missing=2)
    assert judged.verdict is Verdict.UNDECIDED
    assert "2 cells of the plan have no record yet" in judged.reasons[0]
    assert judged.evidence[0].value == 0.0


def test_false_wins_over_undecided_and_that_over_true():
    true, false, undecided = (
        verdict(that) for that in ("min(seed) == 0 where seed < 3", "min(seed) == 1 where seed < 3", "min(seed) == 0")
    )
    assert overall([true, undecided, false]) is Verdict.FALSE
    assert overall([true, undecided]) is Verdict.UNDECIDED
    assert overall([true, true]) is Verdict.TRUE


def test_rows_of_a_real_frame_are_judged_machine_by_machine(tmp_path, monkeypatch):
    made = [
        record("integrate", "mlp-field", "rk4", None, {"steps": steps}, machine=machine)
        for machine in (LAPTOP, SERVER)
        for steps in (32, 64, 128)
    ]
    made[4] = failed(made[4], "timeout", "It took too long.")
    claim = "\n[[claim]]\nname = 'order'\nthat = \"slope(error_final, steps where solver == 'rk4') < -3\"\n"
    monkeypatch.setattr("tests.report.synthetic.SUITE", SUITE + claim)
    folder = write_folder(tmp_path / "results", made)
    verdicts = {source.machine_id: judge_source(source)[0] for source in sources_of([folder])}
    assert {machine: one.verdict for machine, one in verdicts.items()} == {
        LAPTOP: Verdict.TRUE,
        SERVER: Verdict.UNDECIDED,
    }
    assert verdicts[LAPTOP].evidence[0].value == pytest.approx(-4, abs=0.3)
    assert frame_of(made)["outcome"].tolist().count("timeout") == 1


def test_a_cell_of_the_plan_without_a_record_leaves_the_claims_open(tmp_path, monkeypatch):
    made = [record("integrate", "mlp-field", "rk4", None, {"steps": steps}) for steps in (32, 64)]
    claim = "\n[[claim]]\nname = 'small'\nthat = 'max(error_final) < 1'\n"
    monkeypatch.setattr("tests.report.synthetic.SUITE", SUITE + claim)
    folder = write_folder(tmp_path / "results", made)
    (source,) = sources_of([folder])
    assert judge_source(source)[0].verdict is Verdict.TRUE
    next((folder / "cells").iterdir()).unlink()
    (source,) = sources_of([folder])
    assert "1 cell of the plan has no record yet" in judge_source(source)[0].reasons[0]
