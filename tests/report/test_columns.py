"""The table of columns is complete, and speaks for columns that it does not list."""

import re

import pytest

from odebench.report.columns import COLUMNS, COMPILED, DERIVED, DOCUMENTED, EVOLVING, TRAINING, Kind, column
from odebench.tasks.kkt import Kkt
from odebench.tasks.reduction import Reduction
from odebench.tasks.spectral import Spectral

# The names that users see, in their order: a change here breaks somebody's script.
NAMES = """
cell_id suite experiment task model solver gradient steps step_size rtol atol device dtype threads seed
outcome reason error_final error_trajectory_max error_trajectory_rms reference reference_digits
grad_error_y0 grad_error_params grad_error_discrete grad_cosine
nfe_forward nfe_backward nfe_method vjps steps_accepted steps_rejected
memory_peak_bytes memory_forward_bytes memory_left_bytes memory_method
time_prepare_s time_first_s time_forward_s time_backward_s time_total_s timing_valid
roundtrip_error roundtrip_factor loss_train accuracy_train accuracy_test time_to_target_s nfe_to_target
machine_id odebench_version plugin_versions
"""


def test_the_documented_names_and_their_order_never_change():
    assert " ".join(one.name for one in DOCUMENTED) == " ".join(NAMES.split())


def test_no_column_is_described_twice():
    assert len(COLUMNS) == sum(map(len, (DOCUMENTED, DERIVED, COMPILED, TRAINING, EVOLVING)))


def test_what_tasks_of_evolving_weights_give_is_documented():
    """Their docstrings name each figure; `…` stands for several."""
    told = " ".join(task.__doc__ for task in (Kkt, Reduction, Spectral))
    named = set(re.findall(r"`((?:kkt|held|resnet|spectral)_\w+)`", told))
    assert named <= {one.name for one in EVOLVING}
    assert {one.name for one in EVOLVING} - named == {
        f"kkt_continuous_{name}" for name in ("start", "weights", "coefficients")
    }


@pytest.mark.parametrize("one", COLUMNS.values(), ids=lambda one: one.name)
def test_every_column_has_a_sentence_a_label_and_a_unit_that_its_name_tells(one):
    assert one.meaning.endswith(".")
    assert one.label
    assert one.unit == ("s" if one.name.endswith("_s") else "bytes" if one.name.endswith("_bytes") else "")


@pytest.mark.parametrize(
    ("name", "kind", "unit"),
    [
        ("model.width", Kind.PARAMETER, ""),
        ("solver.base", Kind.PARAMETER, ""),
        ("time_of_theirs_s", Kind.SECONDS, "s"),
        ("cache_bytes", Kind.BYTES, "bytes"),
        ("error_of_energy", Kind.ERROR, ""),
        ("entropy", Kind.SCORE, ""),
        ("policy.threshold", Kind.PARAMETER, ""),
        ("trained.time_iteration_s", Kind.SECONDS, "s"),
        ("trained.policy.threshold", Kind.PARAMETER, ""),
    ],
)
def test_a_column_of_a_plugin_is_described_from_its_name(name, kind, unit):
    assert (column(name).kind, column(name).unit) == (kind, unit)


def test_a_column_of_the_training_says_that_it_is_the_trainings():
    own, joined = column("accuracy_test"), column("trained.accuracy_test")
    assert (joined.name, joined.label) == ("trained.accuracy_test", f"{own.label} of the training")
    assert (joined.kind, joined.dtype, joined.better) == (own.kind, own.dtype, own.better)
    assert joined.meaning == f"Of the training that it needs: {own.meaning}"
