"""Figures of the report, one module a family; each turns labelled rows into charts, or says why there is none."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from odebench.report.chart import Chart, Skipped
from odebench.report.figures import gradient_error, memory, overview, roundtrip, times, work_precision

# In the order of the page.
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
