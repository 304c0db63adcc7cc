"""Figures from figures: intervals of timed samples, bytes per step, observed orders, the noise floor of the times."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

REPLICATES = 1000
LEVEL = 0.95
# Three processes can bracket a median; fewer say nothing about the next one.
PROCESSES_FOR_PROOF = 3
_EPS = {"float64": 2.0**-52, "float32": 2.0**-23, "bfloat16": 2.0**-7, "float16": 2.0**-10}


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A median with its 95 % interval, in the unit of the samples.

    Attributes:
        value: median of all samples.
        low: lower end.
        high: upper end.
        least: the smallest sample.
        processes: how many processes the samples come from.
        samples: how many samples there are.
        outliers: samples more than three scaled median deviations above the median; counted, never dropped.
    """

    value: float
    low: float
    high: float
    least: float
    processes: int
    samples: int
    outliers: int

    @property
    def indicative(self) -> bool:
        """Whether too few processes stand behind it to prove a difference."""
        return self.processes < PROCESSES_FOR_PROOF


@dataclass(frozen=True, kw_only=True)
class Line:
    """A straight line by least squares, y = slope x + intercept.

    Attributes:
        slope: in y's unit per unit of x.
        intercept: in y's unit.
        explained: share of y's variance that the line explains, 1 where y does not vary.
        points: how many distinct x it rests on; with two it always explains everything.
    """

    slope: float
    intercept: float
    explained: float
    points: int


def eps(dtype: str) -> float:
    """Distance from 1 to the next number of a format, that of float64 for a format we do not know."""
    return _EPS.get(dtype, _EPS["float64"])


def to_rounding(dtype: str, evaluations: float, amplified: float = 0.0) -> float:
    """The largest relative difference that counts as equal: 100 units times the root of the evaluations.

    The unit is eps(dtype), or what the problem itself makes of one such unit, `amplified`, where that is more.
    """
    return 100.0 * max(eps(dtype), float(amplified)) * max(float(evaluations), 1.0) ** 0.5


def interval(processes: Sequence[Sequence[float]], *, seed: int = 0) -> Interval | None:
    """Median and 95 % interval of samples grouped by the process that took them; None where there is no sample.

    The bootstrap resamples processes and then samples in them, because the variance between processes dominates. With
    one process there is nothing to resample: the interval is the spread of its samples.
    """
    groups = [np.asarray(group, dtype=float) for group in processes if len(group)]
    if not groups:
        return None
    pooled = np.concatenate(groups)
    medians = pooled if len(groups) == 1 else _bootstrap_medians(groups, np.random.default_rng(seed))
    low, high = np.quantile(medians, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    value = float(np.median(pooled))
    # 1.4826 makes the median deviation of a normal law its standard deviation.
    spread = 1.4826 * float(np.median(np.abs(pooled - value)))
    return Interval(
        value=value,
        # Quantiles of few replicates may exclude the median itself by a rounding.
        low=min(float(low), value),
        high=max(float(high), value),
        least=float(pooled.min()),
        processes=len(groups),
        samples=len(pooled),
        outliers=int((pooled > value + 3 * spread).sum()),
    )


def _bootstrap_medians(groups: list[np.ndarray], random: np.random.Generator) -> np.ndarray:
    """Medians of `REPLICATES` resamples, processes first, then samples in each; shape `(REPLICATES,)`."""
    sizes = np.array([len(group) for group in groups])
    padded = np.full((len(groups), sizes.max()), np.nan)
    for row, group in zip(padded, groups, strict=True):
        row[: len(group)] = group
    chosen = random.integers(len(groups), size=(REPLICATES, len(groups)))
    # Floor of a uniform number times the size: every process keeps its own number of samples.
    picks = (random.random((REPLICATES, len(groups), sizes.max())) * sizes[chosen][..., None]).astype(int)
    samples = padded[chosen[..., None], picks]
    beyond = np.arange(sizes.max()) >= sizes[chosen][..., None]
    samples[beyond] = np.nan
    return np.nanmedian(samples.reshape(REPLICATES, -1), axis=1)


def seed_of(text: str) -> int:
    """A seed that is the same in every process for the same text."""
    return zlib.crc32(text.encode())


def fit_line(x: Sequence[float], y: Sequence[float]) -> Line | None:
    """Least squares of y against x; None with fewer than two distinct x."""
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    distinct = len(np.unique(x))
    if distinct < 2:
        return None
    centred = x - x.mean()
    slope = float((centred * (y - y.mean())).sum() / (centred**2).sum())
    intercept = float(y.mean() - slope * x.mean())
    varies = float(((y - y.mean()) ** 2).sum())
    left = float(((y - slope * x - intercept) ** 2).sum())
    return Line(
        slope=slope, intercept=intercept, explained=1.0 if varies == 0 else 1.0 - left / varies, points=distinct
    )


def memory_line(rows: pd.DataFrame) -> Line | None:
    """Fitted line of peak memory against accepted steps, without the record of the grid, which every solve returns."""
    beyond = rows["memory_peak_bytes"].astype(float) - rows["memory_grid_bytes"].fillna(0).astype(float)
    return fit_line(rows["steps_accepted"].astype(float), beyond)


def observed_order(steps: Sequence[float], errors: Sequence[float], dtype: str) -> tuple[float | None, int]:
    """Median slope of log error against log(1 / steps) in the asymptotic window, and how many slopes it rests on.

    The window holds relative errors between 1e3 eps(dtype) and 1e-2: below them rounding speaks, above them the error
    is not yet asymptotic. Three slopes make a measurement; with fewer it is a hint.
    """
    table = pd.DataFrame({"steps": steps, "error": errors}, dtype=float).dropna().groupby("steps").median()
    inside = table[(table["error"] >= 1e3 * eps(dtype)) & (table["error"] <= 1e-2)].sort_index()
    if len(inside) < 2:
        return None, 0
    slopes = -np.diff(np.log(inside["error"].to_numpy())) / np.diff(np.log(inside.index.to_numpy()))
    return float(np.median(slopes)), len(slopes)


def noise_floor(frame: pd.DataFrame) -> float | None:
    """The factor by which the times of one and the same cell differ; None where the suite times no twins.

    Twins are rows that agree in everything but a parameter named `twin`. With ten pairs or more it is the 95 % quantile
    of the ratio of their times, with fewer the widest ratio that their intervals allow. A smaller difference between
    two methods is indistinguishable from none.
    """
    marks = [name for name in frame.columns if name.endswith(".twin")]
    if not marks:
        return None
    timed = frame[frame["time_total_s"].notna() & frame[marks].notna().any(axis=1)]
    identity = [
        name
        for name in ("task", "model", "solver", "gradient", "steps", "step_size", "rtol", "atol", "device", "dtype",
                     "threads", "compile", "seed", "machine_id", *_parameters(frame))
        if name in frame.columns and name not in marks
    ]  # fmt: skip
    pairs = [
        (first, second)
        for _, group in timed.groupby(identity, dropna=False)
        for first, second in zip(group.to_dict("records")[::2], group.to_dict("records")[1::2], strict=False)
    ]
    if not pairs:
        return None
    if len(pairs) >= 10:
        ratios = [abs(np.log(a["time_total_s"] / b["time_total_s"])) for a, b in pairs]
        return float(np.exp(np.quantile(ratios, LEVEL)))
    return float(
        max(
            max(a["time_total_high_s"] / b["time_total_low_s"], b["time_total_high_s"] / a["time_total_low_s"])
            for a, b in pairs
        )
    )


def _parameters(frame: pd.DataFrame) -> list[str]:
    """Columns of a frame that hold parameters of a choice."""
    return [name for name in frame.columns if "." in name]
