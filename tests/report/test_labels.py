"""Labels tell rows apart by what varies, and say nothing about what does not."""

from odebench.report.frame import frame_of
from odebench.report.labels import grid_words, with_labels
from tests.report.synthetic import record


def labels(*parameters, **options):
    made = [
        record("integrate", "mlp-field", "rk4", None, {"steps": 8}, parameters={"model": one}, **options)
        for one in parameters
    ]
    return list(with_labels(frame_of(made))["model_label"])


def test_a_parameter_that_varies_stands_in_the_label():
    assert labels({"width": 8, "batch": 2}, {"width": 16, "batch": 2}) == [
        "mlp-field (width=8)",
        "mlp-field (width=16)",
    ]


def test_parameters_that_do_not_vary_are_left_out():
    assert labels({"width": 8}, {"width": 8}) == ["mlp-field", "mlp-field"]


def test_a_setting_is_named_only_where_it_varies():
    made = [record("integrate", "mlp-field", "rk4", None, {"steps": 8}, dtype=name) for name in ("float32", "float64")]
    assert list(with_labels(frame_of(made))["setting_label"]) == ["float32", "float64"]
    assert list(with_labels(frame_of(made[:1]))["setting_label"]) == [""]


def test_grids_in_words():
    assert grid_words({"steps": 64}) == "64 steps"
    assert grid_words({"step_size": 0.1}) == "step 0.1"
    assert grid_words({"rtol": 1e-6, "atol": 1e-6}) == "tolerance 1e-06"
    assert grid_words({"rtol": 1e-6, "atol": 1e-9}) == "rtol 1e-06, atol 1e-09"


def test_a_frame_that_is_labelled_twice_keeps_its_rows(frame):
    assert len(with_labels(with_labels(frame))) == len(frame)
