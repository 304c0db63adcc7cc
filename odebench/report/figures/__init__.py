"""Figures of the report, one module a family; each turns labelled rows into charts, or says why there is none."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from odebench.report.chart import Chart, Skipped
from odebench.report.figures import (
    curves,
    dots,
    gradient_error,
    images,
    memory,
    overview,
    phase,
    refinement,
    roundtrip,
    sawtooth,
    seeds,
    times,
    work_precision,
)

# In the order of the page. These are of solves that were measured, and not asked of trainings.
FAMILIES: tuple[Callable[[pd.DataFrame], list[Chart | Skipped]], ...] = (
    overview.overview,
    work_precision.against_evaluations,
    work_precision.against_time,
    gradient_error.discrete,
    gradient_error.continuous,
    memory.against_steps,
    times.forward_and_backward,
    roundtrip.roundtrip,
)

# Of solves, from the long columns that their cells kept.
KEPT_FAMILIES: tuple[Callable[[pd.DataFrame, pd.DataFrame], list[Chart | Skipped]], ...] = (images.there_and_back,)

# Of trainings, and of what became of the trained models; they may look at the long columns of the cells too.
TRAINING_FAMILIES: tuple[Callable[[pd.DataFrame, pd.DataFrame], list[Chart | Skipped]], ...] = (
    curves.curves,
    lambda frame, _: seeds.over_seeds(frame),
    lambda frame, _: dots.training_step_and_test_solver(frame),
    lambda frame, _: refinement.against_test_steps(frame),
    sawtooth.sawtooth,
    phase.trajectories,
)
