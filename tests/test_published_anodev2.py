"""What is written about the runs of ANODEV2 is what their committed tables hold."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "results" / "papers" / "anodev2"
TEXT = (FOLDER / "README.md").read_text(encoding="utf-8")
CONDITIONS = ["kkt_state", "kkt_weights", "kkt_kernel", "kkt_adjoint", "kkt_memory", "kkt_others", "kkt_coefficients"]
EVOLUTIONS = {
    "none": ("none", "none"),
    "reaction-diffusion-advection": ("reaction-diffusion-advection", "none"),
    "the same with σ = tanh": ("reaction-diffusion-advection", "tanh"),
    "saturating, K(s) = 2 e^(-2s)": ("saturating", "none"),
}


def records(name: str) -> pd.DataFrame:
    return pd.read_parquet(FOLDER / name / "records.parquet")


def rows(heading: str, table: int = 0) -> list[list[str]]:
    """Cells of one of the tables under a heading, without its first two lines."""
    section = TEXT[TEXT.index(heading) :].partition("\n## ")[0]
    found = [block.split("\n") for block in re.findall(r"(?:^\|.*\|\n)+", section, re.M)]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in found[table] if line][2:]


def head(heading: str, table: int = 0) -> list[str]:
    section = TEXT[TEXT.index(heading) :].partition("\n## ")[0]
    return [
        cell.strip() for cell in re.findall(r"(?:^\|.*\|\n)+", section, re.M)[table].split("\n")[0].split("|")[1:-1]
    ]


def close(said: str, found: float, digits: int) -> bool:
    """A figure as it is written, with `digits` after the point; a dash where there is none."""
    if said == "–":
        return bool(pd.isna(found))
    return float(said) == pytest.approx(found, abs=0.51 * 10.0**-digits)


def small(said: str, found: float) -> bool:
    """A figure written with two digits and a power of ten."""
    return float(said) == pytest.approx(float(found), rel=0.06)


def over_seeds(trained: pd.DataFrame, seeds: int) -> str:
    """Least, greatest and mean test accuracy in per cent, and how many diverged."""
    assert sorted(trained["seed"]) == list(range(seeds)) and trained["outcome"].isin(["ok", "diverged"]).all()
    scores = 100 * trained.loc[trained["outcome"] == "ok", "accuracy_test"].astype(float)
    lost = seeds - len(scores)
    told = f"{scores.min():.1f} / {scores.max():.1f}, {scores.mean():.1f}" if len(scores) else "–"
    return told + (f" ({lost} of {seeds} diverged)" if lost else "")


def test_the_table_of_limits_is_that_of_the_records():
    frame = records("reduction")
    assert (frame["outcome"] == "ok").all()
    for weights, configuration, cells, bits, states, gradients, *resnet in rows("## What it reduces to"):
        mine = frame[(frame["experiment"] == weights) & (frame["model.configuration"] == int(configuration))]
        assert (len(mine), mine["held_bits"].sum()) == (int(cells), int(bits))
        assert small(states, mine["held_states"].max()) and small(gradients, mine["held_gradients"].max())
        once = mine[(mine["solver"] == "euler") & (mine["steps"] == 1)]
        for said, name in zip(resnet, ("resnet_states", "resnet_gradients"), strict=True):
            assert small(said, once[name].max())


def test_the_table_of_conditions_is_that_of_the_records():
    frame = records("kkt")
    asked = frame[frame["experiment"] == "conditions"]
    table = rows("## Conditions of optimality")
    assert len(table) == 6
    for word, configuration, worst, *figures in table:
        evolution, sigma = EVOLUTIONS[word]
        mine = asked[
            (asked["model.evolution"] == evolution)
            & (asked["model.nonlinearity"] == sigma)
            & (asked["model.configuration"] == int(configuration))
        ]
        exact, adjoint = mine[mine["gradient"] != "continuous-adjoint"], mine[mine["gradient"] == "continuous-adjoint"]
        assert exact["gradient"].nunique() == 4 and small(worst, exact[CONDITIONS].max().max())
        names = (
            "kkt_adjoint",
            "kkt_memory",
            "kkt_coefficients",
            "kkt_stationary_weights",
            "kkt_stationary_coefficients",
        )
        for said, name, digits in zip(figures, names, (2, 2, 2, 3, 3), strict=True):
            assert close(said, adjoint[name].iloc[0], digits), (word, name)


def test_the_table_of_the_continuous_system_is_that_of_the_records():
    frame = records("kkt")
    asked = frame[frame["experiment"] == "the continuous system"]
    columns = {"z(0)": "kkt_continuous_start", "w(0)": "kkt_continuous_weights", "p": "kkt_continuous_coefficients"}
    steps = [int(word.split()[0]) for word in head("## Conditions of optimality", 1)[2:]]
    for configuration, of, *figures in rows("## Conditions of optimality", 1):
        mine = asked[asked["model.configuration"] == int(configuration)].set_index("steps")[columns[of]]
        assert sorted(mine.index) == steps
        assert all(close(said, mine[count], 3) for said, count in zip(figures, steps, strict=True))


def test_the_table_of_spectral_steps_is_that_of_the_records():
    frame = records("spectral")
    table = rows("## The spectral step")
    assert len(table) == 8
    for points, sigma, semigroup, exact in table:
        mine = frame[(frame["task.size"] == int(points)) & (frame["model.nonlinearity"] == sigma)]
        assert small(semigroup, mine["spectral_semigroup"].max()) and small(exact, mine["spectral_exact"].max())


def test_the_table_of_trainings_is_that_of_the_records():
    frame = records("training")
    networks = [re.fullmatch(r"`(.*)`(, no norm)?", word).groups() for word in head("## Training on digits")[1:]]
    assert len(rows("## Training on digits")) == 5 and len(networks) == 4
    for name, *figures in rows("## Training on digits"):
        for said, (model, bare) in zip(figures, networks, strict=True):
            experiment = name + (bare or "")
            mine = frame[(frame["model"] == model) & (frame["experiment"] == experiment)]
            assert said == over_seeds(mine, 5), (experiment, model)


def test_the_table_of_parameters_is_that_of_the_records():
    frame = records("training")
    for network, before, after, more in rows("## Training on digits", 2):
        mine = frame[(frame["model"] == network.strip("`")) & (frame["model.norm"] == "group")]
        counts = {name: set(group["parameters_trained"]) for name, group in mine.groupby("experiment")}
        old, new = (int(word.replace(",", "")) for word in (before, after))
        assert counts["baseline"] == counts["ANODE"] == counts["reversed neural ODE"] == {old}
        assert counts["ANODEV2, configuration 1"] == counts["ANODEV2, configuration 2"] == {new}
        assert more == f"{100 * (new / old - 1):.2f} %"


def test_the_table_of_coefficients_is_that_of_the_records():
    frame = records("ablation")
    table = rows("## Which coefficients")
    assert len(table) == 9
    for name, *figures in table:
        sigma = name == "all, with σ = tanh"
        mine = frame[frame["model.nonlinearity"] == ("tanh" if sigma else "none")]
        if not sigma:
            mine = mine[mine["model.train"] == name.replace(", ", ",")]
        for said, configuration in zip(figures, (1, 2), strict=True):
            assert said == over_seeds(mine[mine["model.configuration"] == configuration], 5)
