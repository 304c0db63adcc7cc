"""The figure of images there and back: which pixels it shows, in which scale, and what stands where there are none."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from odebench.report.draw import draw
from odebench.report.figures.images import there_and_back
from odebench.report.frame import frame_of
from odebench.report.labels import with_labels
from odebench.report.palette import Palette
from tests.report.synthetic import failed, record

RAMP = np.array([[0.0, 0.25], [0.5, 1.0]])
TIPS = ((1e-3, 4.0), (1e-6, 0.02))


def trip(activation: str, tolerance: float, error: float, seed: int = 0) -> dict:
    made = record(
        "reversibility", "mlp-field", "dopri5", None, {"rtol": tolerance, "atol": tolerance, "batch": "joint"},
        parameters={"model": {"activation": activation, "size": 2}},
    )  # fmt: skip
    made["cell"]["seed"] = seed
    made["cell_id"] += str(seed)
    made["parts"]["quality"]["values"]["roundtrip_error"] = error
    return made


def pixels(cell: dict, returned: np.ndarray, reached: np.ndarray = 100 * RAMP) -> pd.DataFrame:
    rows, columns = np.indices(RAMP.shape)
    table = {"row": rows, "column": columns, "initial": RAMP, "reached": reached, "returned": returned}
    return pd.DataFrame({name: values.ravel() for name, values in table.items()}).assign(cell_id=cell["cell_id"])


@pytest.fixture(scope="module")
def made():
    """Two activations, two tolerances; one solve diverged."""
    cells = {(kind, tip): trip(kind, tip, error) for kind in ("relu", "none") for tip, error in TIPS}
    cells["relu", 1e-3] = failed(cells["relu", 1e-3], "diverged", "The state is not finite.")
    kept = [cell for key, cell in cells.items() if key != ("relu", 1e-3)]
    other = trip("none", 1e-6, 0.5, seed=1)
    long = pd.concat([pixels(cell, RAMP + 3.0) for cell in kept] + [pixels(other, -RAMP)])
    return there_and_back(with_labels(frame_of([*cells.values(), other])), long)


def test_a_row_is_an_activation_with_input_output_and_each_grids_return(made):
    (chart,) = made
    assert chart.across == 4
    assert [panel.title for panel in chart.panels[:4]] == [
        "input", "output", "back, tolerance 0.001", "back, tolerance 1e-06",
    ]  # fmt: skip
    assert [panel.y.label for panel in chart.panels[::4]] == ["none", "relu"], "the least lost one first"
    first, reached, _, back = chart.panels[:4]
    assert first.image.values == ((0.0, 0.25), (0.5, 1.0))
    assert (reached.image.low, reached.image.high) == (0.0, 100.0)
    assert back.image.values == ((3.0, 3.25), (3.5, 4.0)), "the first seed's"
    assert (back.image.low, back.image.high) == (0.0, 1.0), "in the scale of the input"
    assert chart.panels[2].x.label == "error 4 times its size" and back.x.label == "error 2 %"


def test_what_has_no_image_says_why(made):
    (chart,) = made
    assert chart.panels[6].image.values == () and chart.panels[6].image.words == "diverged"


def test_what_lies_beyond_the_input_is_drawn_white(made):
    (chart,) = made
    figure = draw(chart, {"solver": Palette(["dopri5"])})
    shown = [axes.images[0].get_array() if axes.images else None for axes in figure.axes]
    np.testing.assert_allclose(shown[0], RAMP)
    np.testing.assert_allclose(shown[1], RAMP)
    np.testing.assert_allclose(shown[3], 1.0)
    assert shown[6] is None and figure.axes[6].texts[0].get_text() == "diverged"


def test_a_folder_without_images_has_no_such_figure():
    frame = with_labels(frame_of([trip("relu", 1e-3, 0.1)]))
    assert there_and_back(frame, pd.DataFrame({"cell_id": [], "iteration": []})) == []
