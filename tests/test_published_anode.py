"""What is written about the runs of ANODE's suites is what their committed tables hold."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

FOLDER = Path(__file__).parents[1] / "results" / "papers" / "anode"
TEXT = (FOLDER / "README.md").read_text(encoding="utf-8")
ADJOINTS = ("otd-stored", "continuous-adjoint")
FIELDS = (
    ("gaussian-relu", "model.scale", 2.0),
    ("mlp-field", "model.gain", 1.5),
    ("conv-field", "model.kernel_scale", 0.2),
)


def records(name: str) -> pd.DataFrame:
    return pd.read_parquet(FOLDER / name / "records.parquet")


def rows(heading: str, nth: int = 0) -> list[list[str]]:
    """Cells below the head of the nth table under a heading."""
    section = TEXT[TEXT.index(heading) :].partition("\n## ")[0]
    table = re.findall(r"(?:^\|.*\|\n)+", section, re.M)[nth]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()][2:]


def short(value: float) -> str:
    return f"{value:.2g}"


def spread(values: pd.Series) -> str:
    return f"{short(values.median())} ({short(values.min())} to {short(values.max())})"


def test_the_table_of_gradients_is_that_of_the_records():
    frame = records("consistency")
    table = rows("## Gradients of the discrete solution")
    assert [int(row[0]) for row in table] == sorted(frame["steps"].unique())
    for steps, *told in table:
        found = [
            frame[(frame["model"] == model) & (frame[name] == scale) & (frame["solver"] == "euler")
                  & (frame["gradient"] == gradient) & (frame["steps"] == int(steps))]["grad_error_discrete"]
            for model, name, scale in FIELDS for gradient in ADJOINTS
        ]  # fmt: skip
        assert told[:6] == [short(one.item()) for one in found]


def test_the_exact_gradients_are_exact_to_what_is_written():
    frame = records("consistency")
    exact = frame[~frame["gradient"].isin(ADJOINTS)]
    assert exact["grad_error_discrete"].notna().all()
    (count, worst) = re.search(r"In all (\d+) cells .*?\sat most (\S+e-16)", TEXT, re.S).groups()
    assert (int(count), float(worst)) == (len(exact), pytest.approx(exact["grad_error_discrete"].max(), rel=0.01))


def test_the_table_of_eulers_factor_is_that_of_the_records_and_of_the_closed_form():
    frame = records("reversal-scalar")
    euler = frame[(frame["model"] == "linear") & (frame["model.rate"] == 100) & (frame["solver"] == "euler")]
    table = rows("## A number, there and back", 0)
    assert len(table) == euler["steps"].nunique()
    for steps, closed, double, single in table:
        mine = euler[euler["steps"] == int(steps)].set_index("dtype")["roundtrip_factor"]
        exact = (1 - (100 / int(steps)) ** 2) ** int(steps)
        assert closed == f"{exact:.4g}" and double == f"{mine['float64']:.4g}" and single == f"{mine['float32']:.4g}"
        assert mine["float64"] == pytest.approx(exact, rel=1e-10, abs=0)


def test_the_table_of_the_decay_is_that_of_the_records():
    frame = records("reversal-scalar")
    decay = frame[(frame["model"] == "relu-decay") & (frame["solver"] == "dopri5")]
    for tolerance, double, single, _ in rows("## A number, there and back", 1):
        relative, absolute = (float(number) for number in tolerance.split(" / "))
        mine = decay[(decay["rtol"] == relative) & (decay["atol"] == absolute)].set_index("dtype")["roundtrip_error"]
        assert (double, single) == (short(mine["float64"]), short(mine["float32"]))


def test_the_table_of_random_layers_is_that_of_the_records():
    frame = records("reversal-matrix")
    frame = frame[frame["dtype"] == "float64"]
    for size, *told in rows("## A random ReLU layer, there and back"):
        mine = frame[frame["model.dim"] == int(size)]
        columns = ((False, 1e-3), (False, 1e-6), (True, 1e-6))
        found = [
            mine[(mine["model.normalised"].astype(str) == str(normalised)) & (mine["rtol"] == rtol)]["roundtrip_error"]
            for normalised, rtol in columns
        ]
        assert told[:3] == [spread(one) for one in found]


def test_the_table_of_images_is_that_of_the_records():
    frame = records("reversal-image")
    table = rows("## An image, there and back")
    assert len(table) == 4 * 5
    for channels, scale, activation, *told in table:
        mine = frame[
            (frame["model.channels"] == int(channels)) & (frame["model.kernel_scale"] == float(scale))
            & (frame["model.activation"] == activation)
        ]  # fmt: skip
        assert told == [spread(mine[mine["rtol"] == rtol]["roundtrip_error"]) for rtol in (1e-3, 1e-6, 1e-9)]


def trainings(frame: pd.DataFrame, gradient: str) -> pd.DataFrame:
    """Those of a gradient method as the report calls it."""
    name, _, slots = gradient.partition(" (slots=")
    kept = frame["gradient.slots"] == int(slots[:-1]) if slots else frame["gradient.slots"].isna()
    return frame[(frame["gradient"] == name) & kept]


def over_seeds(rows: pd.DataFrame) -> list[str]:
    """Least, median and greatest accuracy, and how many of the five seeds diverged."""
    assert sorted(rows["seed"]) == [0, 1, 2, 3, 4] and rows["outcome"].isin(["ok", "diverged"]).all()
    scores = 100 * rows.loc[rows["outcome"] == "ok", "accuracy_test"].astype(float)
    told = " / ".join(f"{value:.1f}" for value in (scores.min(), scores.median(), scores.max())) if len(scores) else "–"
    return [told, f"{5 - len(scores)} of 5"]


@pytest.fixture(scope="module")
def trained() -> pd.DataFrame:
    frame = records("training")
    frame = frame[(frame["task"] == "train") & (frame["task.learning_rate"] == 0.02)]
    return frame.assign(relu=frame["model.last_relu"].astype(bool))


def test_the_table_of_trainings_is_that_of_the_records(trained):
    asked = trained[~trained["relu"] & (trained["model.scale"] == 1.0)]
    table = rows("## Training on digits")
    assert len(table) == 12
    for norm, steps, gradients, *told in table:
        mine = asked[(asked["model.norm"] == norm) & (asked["steps"] == int(steps))]
        for gradient in gradients.replace("), ", ")|").replace("direct, anode, ", "direct|anode|").split("|"):
            assert over_seeds(trainings(mine, gradient)) == told


def test_the_table_of_what_the_order_depends_on_is_that_of_the_records(trained):
    asked = trained[trained["model.norm"] == "none"]
    table = rows("## Training on digits", 1)
    assert len(table) == 8
    for relu, scale, steps, *told in table:
        mine = asked[
            (asked["relu"] == (relu == "true"))
            & (asked["model.scale"] == float(scale))
            & (asked["steps"] == int(steps))
        ]
        found = [over_seeds(trainings(mine, name)) for name in ("direct", "continuous-adjoint")]
        assert told == [*found[0], *found[1]]


def test_exact_gradients_train_alike_and_the_learning_rate_is_the_baselines_best(trained):
    exact = [
        trainings(trained[trained["experiment"].str.contains("norm and steps")], gradient)
        .set_index(["model.norm", "steps", "seed"])["accuracy_test"]
        .sort_index()
        for gradient in ("direct", "anode", "anode (slots=1)")
    ]
    assert len(exact[0]) == 20 and all((exact[0] == other).all() for other in exact[1:])
    frame = records("training")
    base = frame[frame["experiment"].str.contains("learning rates") & (frame["model.norm"] == "none")]
    assert base.groupby("task.learning_rate")["loss_train"].mean().idxmin() == 0.02
    counts = frame["outcome"].value_counts()
    assert f"{len(frame)} cells, {counts['ok']} `ok` and {counts['diverged']} diverged" in TEXT


@pytest.mark.parametrize(
    ("gradient", "slots", "law"),
    [
        ("direct", False, lambda blocks, steps, _: (blocks * steps,)),
        ("anode", False, lambda blocks, steps, _: (blocks, steps)),
        ("anode", True, lambda blocks, _, slots: (blocks, slots)),
        ("continuous-adjoint", False, lambda blocks, *_: (blocks,)),
    ],
)
def test_the_laws_of_memory_explain_what_is_written(gradient, slots, law):
    """The fits anew, by numpy's least squares."""
    frame = records("memory")
    mine = frame[(frame["gradient"] == gradient) & (frame["gradient.slots"].notna() == slots)]
    held = mine["memory_peak_bytes"].to_numpy(float)
    columns = np.column_stack([
        np.ones(len(mine)),
        *law(*(mine[name].fillna(0).to_numpy(float) for name in ("task.blocks", "steps", "gradient.slots"))),
    ])  # fmt: skip
    left = held - columns @ np.linalg.lstsq(columns, held, rcond=None)[0]
    share = 100 * (1 - left @ left / ((held - held.mean()) @ (held - held.mean())))
    name = f"`{gradient}` with slots" if slots else f"`{gradient}`"
    said = re.search(rf"{re.escape(name)} (?:L N|L \+ N|L \+ c|L), (\d+\.\d+) %", TEXT).group(1)
    assert float(said) == pytest.approx(share, abs=0.0051)


def test_the_table_of_a_training_step_is_that_of_the_records():
    frame = records("network")
    assert (frame["outcome"] == "ok").all()
    asked = frame[frame["experiment"] == "a training step"]
    assert asked["timing_valid"].all() and (asked["timing_processes"] == 3).all()
    table = rows("## A training step of ResNet-18")
    assert len(table) == len(asked)
    for name, memory, time, evaluations, error in table:
        gradient, _, parameter = name.rstrip(")").partition(" (")
        key, _, value = parameter.partition("=")
        one = asked[asked["gradient"] == gradient]
        for column in ("slots", "memory"):
            found = one[f"gradient.{column}"]
            one = one[found.astype("string") == value] if key == column else one[found.isna()]
        (row,) = one.to_dict("records")
        assert memory == f"{row['memory_peak_bytes'] / 2**20:.0f}"
        assert time == "{time_total_s:.2f} ({time_total_low_s:.2f} to {time_total_high_s:.2f})".format_map(row)
        assert evaluations == f"{row['nfe_forward']} + {row['nfe_backward']}"
        assert error == f"{row['grad_error_discrete']:.1e}"


def test_the_table_of_what_the_adjoint_misses_is_that_of_the_records():
    frame = records("network")
    frame = frame[frame["dtype"] == "float64"]
    for norm, gradient, *told in rows("## A training step of ResNet-18", 1):
        mine = frame[(frame["model.norm"] == norm) & (frame["gradient"] == gradient)].sort_values("steps")
        assert list(mine["steps"]) == [1, 2, 5, 10]
        assert told == [short(value) for value in mine["grad_error_discrete"]]
    exact = frame[~frame["gradient"].isin(ADJOINTS)]
    worst, count = re.search(r"to (\S+) in float64 \((\d+) cells", TEXT).groups()
    assert (worst, int(count)) == (f"{exact['grad_error_discrete'].max():.1e}", len(exact))
