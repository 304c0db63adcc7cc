"""Made-up results, read once: a small quickstart with every way to fail."""

from __future__ import annotations

import pytest

from odebench.report.build import write_report
from odebench.report.frame import frame_of
from odebench.report.labels import with_labels
from tests.report.synthetic import quickstart, write_folder

MODELS = ("van-der-pol", "mlp-field")
SOLVERS = ("euler", "rk4", "bosh3", "dopri5")


@pytest.fixture(scope="session")
def records():
    return quickstart(models=MODELS, solvers=SOLVERS)


@pytest.fixture(scope="session")
def frame(records):
    """What `load` gives."""
    return frame_of(records)


@pytest.fixture(scope="session")
def labelled(frame):
    """What figures and tables are made of."""
    return with_labels(frame)


@pytest.fixture(scope="session")
def folder(records, tmp_path_factory):
    """A result folder without a report."""
    return write_folder(tmp_path_factory.mktemp("results") / "quickstart", records)


@pytest.fixture(scope="session")
def report(folder, tmp_path_factory):
    """A whole report of the folder."""
    return write_report(folder, into=tmp_path_factory.mktemp("report"))
