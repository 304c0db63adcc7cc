"""What is written about the runs of ANODE's consistency and reversal suites is what their committed tables hold."""

from __future__ import annotations

import re
from pathlib import Path

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
