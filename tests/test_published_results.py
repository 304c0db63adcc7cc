"""What is written about the runs of the papers is what their committed tables hold."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "results" / "papers" / "ott2021"
TEXT = (FOLDER / "README.md").read_text(encoding="utf-8")


def records(name: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Trainings and what needs them, of one run."""
    frame = pd.read_parquet(FOLDER / name / "records.parquet")
    assert (frame["outcome"] == "ok").all()
    return frame[frame["task"] == "train"], frame[frame["task"] != "train"]


def rows(heading: str) -> list[list[str]]:
    """Cells of the table under a heading."""
    section = TEXT[TEXT.index(heading) :].partition("\n## ")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in re.findall(r"^\|.*\|$", section, re.M)]


def per_cent(values: pd.Series) -> str:
    return f"{100 * values.mean():.1f} ({', '.join(f'{100 * value:.1f}' for value in values)})"


def test_the_table_of_solvers_is_that_of_the_records():
    trained, swaps = records("swap")
    table = rows("## Another solver than one's own")[2:]
    assert [int(row[0]) for row in table] == sorted(trained["steps"].unique())
    for steps, own, midpoint, rk4, worst in table:
        mine = swaps[swaps["trained.steps"] == int(steps)].sort_values("seed")
        same = mine[mine["factor"] == 1.0]
        assert own == per_cent(trained[trained["steps"] == int(steps)].sort_values("seed")["accuracy_test"])
        assert midpoint == per_cent(same[same["solver"] == "midpoint"]["accuracy_test"])
        assert rk4 == per_cent(same[same["solver"] == "rk4"]["accuracy_test"])
        changes = mine[mine["factor"] <= 1.0].groupby("seed")["accuracy_change"].agg(lambda found: found.abs().max())
        assert float(worst) == pytest.approx(100 * changes.mean(), abs=0.051)


def test_the_table_of_test_steps_is_that_of_the_records():
    _, swaps = records("refinement")
    head, _, two, _, many, _ = rows("## The number of steps in the test")
    for row, trained in ((two, 2), (many, 256)):
        assert row[0] == f"trained with {trained}"
        for steps, said in zip(head[1:], row[1:], strict=True):
            found = swaps[(swaps["trained.steps"] == trained) & (swaps["steps"] == int(steps))]["accuracy_test"]
            assert float(said) == pytest.approx(100 * found.mean(), abs=0.051)


def test_the_table_of_step_adaptation_is_that_of_the_records():
    trained, needing = records("step-adaptation")
    verdicts = needing[needing["task"] == "validate"].set_index("seed")
    trained = trained.set_index("seed")
    *seeds, mean, _ = rows("## Step adaptation")[2:]
    assert [int(row[0]) for row in seeds] == sorted(trained.index)
    for seed, accuracy, evaluations, steps, change, verdict in seeds:
        one, found = trained.loc[int(seed)], verdicts.loc[int(seed)]
        assert accuracy == f"{100 * one['accuracy_test']:.1f} %"
        assert float(evaluations) == pytest.approx(one["nfe_mean"], abs=0.051)
        assert int(steps) == one["steps_final"]
        told = [float(number.replace("−", "-")) for number in re.findall(r"[−\d.]+", change.replace("95 %", ""))]
        expected = [100 * found[name] for name in ("worst_change", "worst_change_low", "worst_change_high")]
        assert told == pytest.approx(expected, abs=0.051)
        assert verdict == found["verdict"]
    spread = trained["accuracy_test"]
    assert mean[1] == f"{100 * spread.mean():.1f} ± {100 * spread.std():.1f} %"
    assert mean[2] == f"{trained['nfe_mean'].mean():.1f} ± {trained['nfe_mean'].std():.1f}"


def test_the_table_of_digits_is_that_of_the_records():
    trained, needing = records("digits")
    swaps = needing[needing["task"] == "swap"]
    table = rows("## Digits")[2:]
    assert len(table) == 1 + trained["steps"].nunique()
    for name, own, midpoint, rk4, worst in table:
        pick = "step-adaptation" if name == "adapted" else "fixed"
        mine = swaps[swaps["trained.policy"] == pick]
        theirs = trained[trained["policy"] == pick]
        if name != "adapted":
            mine, theirs = mine[mine["trained.steps"] == int(name)], theirs[theirs["steps"] == int(name)]
        same = mine[mine["factor"] == 1.0]
        midpoints, rk4s = (same[same["solver"] == solver]["accuracy_test"] for solver in ("midpoint", "rk4"))
        for said, found in ((own, theirs["accuracy_test"]), (midpoint, midpoints), (rk4, rk4s)):
            assert said == f"{100 * found.mean():.1f} ± {100 * found.std():.1f}"
        changes = mine[mine["factor"] <= 1.0].groupby("seed")["accuracy_change"].agg(lambda found: found.abs().max())
        assert float(worst) == pytest.approx(100 * changes.mean(), abs=0.051)
    adapted = trained[trained["policy"] == "step-adaptation"]["nfe_mean"]
    assert f"{adapted.mean():.1f} ± {adapted.std():.1f} evaluations an iteration" in TEXT


def test_the_table_of_crossings_is_that_of_the_records():
    _, counted = records("crossings")
    for steps, *seeds, fine in rows("## Crossings")[2:]:
        mine = counted[counted["trained.steps"] == int(steps)].sort_values("seed")
        assert [int(number) for number in seeds] == mine["crossings"].tolist()
        assert int(fine) == mine["crossings_fine"].max()


def test_the_exclusive_or_is_separated_by_the_longer_step_only():
    frame = pd.read_parquet(FOLDER / "xor-fan" / "records.parquet")
    asked = frame[(frame["task"] == "separability") & (frame["solver"] == "euler")]
    euler = asked.assign(exponent=lambda found: np.log10(found["step_size"]).round(2))
    for exponent, separable in ((-2.5, True), (-3.5, False)):
        assert euler[euler["exponent"] == exponent]["separable"].tolist() == [separable] * 2
