"""The plot of dots: at which training step does the accuracy come to depend on the test solver?"""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from odebench.report.chart import Axis, Chart, Panel, Point, Series, Skipped
from odebench.report.critical_step import Critical
from odebench.report.figures.selection import key_of
from odebench.report.learners import critical_steps, seeds_of, size_words, swaps
from odebench.report.style import FAINT, INK

FAMILY = "Training step and test solver"
_CAPTION = (
    "Each model is trained with one step, and tested with several solvers (colours) and steps (marks). Where all marks lie on the "
    "line, the model is a flow; where they scatter, it works with its own solver only. Large marks are means over the seeds, "
    "faint ones single seeds."
)
# Marks point to the finer and to the coarser side; the training's own step is round.
_FINER, _COARSER = ("<", "v", "p", "P"), (">", "^", "h", "X")
_MARKS = 7


def training_step_and_test_solver(frame: pd.DataFrame) -> list[Chart | Skipped]:
    """Test accuracy against the step of the training, a chart for each model and solver of the training."""
    rows = swaps(frame)
    adapted = rows["adapts"].all() and not rows.empty
    rows = rows[~rows["adapts"] & rows["factor"].notna()]
    title = "accuracy by training step and test solver"
    if rows.empty:
        reason = (
            "The step policy changed the step of every training, so no model belongs to one step: see the tables."
            if adapted
            else "No trained model was tested with a multiple of its own step."
        )
        return [Skipped(key=key_of("", "dots"), family=FAMILY, title=title.capitalize(), reason=reason)]
    made: list[Chart | Skipped] = []
    criticals = critical_steps(rows)
    for (model, who, tolerance), group in rows.groupby(["model", "who", "tolerance"], sort=True):
        drawn_factors = _factors(group["factor"])
        shown = group[group["factor"].round(6).isin(drawn_factors)]
        words = "tolerance" if tolerance else "step"
        made.append(
            Chart(
                key=key_of(str(model), "dots", str(who), *(["tolerance"] if tolerance else [])),
                family=FAMILY,
                title=f"{model}, trained with {who}: {title}",
                caption=_CAPTION,
                panels=(
                    Panel(
                        title="",
                        x=Axis(
                            "rtol" if tolerance else "step_size",
                            f"{words} of the training",
                            scale="" if tolerance else "log2",
                        ),
                        y=Axis("accuracy_test"),
                        series=_series(shown, drawn_factors, words),
                    ),
                ),
                palette="solver",
                model=str(model),
                notes=tuple(_notes(group, criticals.get((model, who, tolerance)), bool(tolerance))),
            )
        )
    return made


def _factors(found: pd.Series) -> list[float]:
    """The multiples that are drawn: all where they are few, else those near 1, else 1 alone; rising."""
    every = sorted(found.round(6).unique())
    near = [factor for factor in every if 0.5 <= factor <= 2]
    return next((some for some in (every, near) if len(some) <= _MARKS), [1.0])


def _marks(factors: Iterable[float]) -> dict[float, str]:
    factors = list(factors)
    finer = sorted((factor for factor in factors if factor < 1), reverse=True)
    coarser = sorted(factor for factor in factors if factor > 1)
    marks = dict(zip(finer, _FINER, strict=False)) | dict(zip(coarser, _COARSER, strict=False))
    return {factor: marks.get(factor, "o") for factor in factors}


def _series(rows: pd.DataFrame, factors: list[float], words: str) -> tuple[Series, ...]:
    """Faint seeds, the line of the training's own accuracy, means of every solver and multiple, and the entries of the legend."""
    marks, solvers = _marks(factors), sorted(rows["solver"].unique())
    faint, bold = [], []
    for place, solver in enumerate(solvers):
        for nth, factor in enumerate(factors):
            # Solvers stand a little apart, and their multiples within them, by shares of the way to the next power of two.
            middle = 0.25 * (place - (len(solvers) - 1) / 2)
            aside = 2.0 ** (middle + 0.16 / len(factors) * (nth - (len(factors) - 1) / 2))
            group = rows[(rows["solver"] == solver) & (rows["factor"].round(6) == factor)]
            if group.empty:
                continue
            look = {"name": solver, "marker": marks[factor], "label": "", "joined": False}
            means = [
                Point(x=float(size) * aside, y=seeds_of(same["accuracy"])[0])
                for size, same in group.groupby("size", sort=True)
            ]
            bold.append(Series(**look, points=tuple(means)))
            if group["seed"].nunique() > 1:
                points = tuple(
                    Point(x=float(a) * aside, y=float(b)) for a, b in zip(group["size"], group["accuracy"], strict=True)
                )
                faint.append(Series(**look, points=points, faint=True))
    own = rows.drop_duplicates("training").groupby("size")["own"].mean()
    line = Series(
        name="own", label="own solver and step", points=tuple(Point(x=float(a), y=float(b)) for a, b in own.items()),
        colour=INK, marker="_", marked=False,
    )  # fmt: skip
    legend = [
        Series(name=solver, label=f"tested with {solver}", points=(), joined=False, marker="o") for solver in solvers
    ]
    if len(factors) > 1:
        legend += [
            Series(
                name=f"× {factor}",
                label=f"{words} × {factor:g}",
                points=(),
                joined=False,
                colour=FAINT,
                marker=marks[factor],
            )
            for factor in factors
        ]
    return (*faint, line, *bold, *legend)


def _notes(rows: pd.DataFrame, critical: Critical | None, tolerance: bool) -> Iterable[str]:
    seeds = rows.groupby("size")["seed"].nunique()
    low, high = int(seeds.min()), int(seeds.max())
    yield f"{low if low == high else f'{low} to {high}'} seed{'' if high == 1 else 's'} for each training {'tolerance' if tolerance else 'step'}."
    if critical is not None and critical.findings:
        bound = f"at most {critical.threshold * 100:g} points, mean over the seeds of the worst change"
        if critical.step is None:
            yield f"No training step is small enough ({bound})."
        else:
            yield f"Critical step: {size_words(critical.step, tolerance)} ({bound})."
