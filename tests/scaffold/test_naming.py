"""What a new plugin may be called."""

from __future__ import annotations

import pytest

from odebench.errors import PluginError
from odebench.scaffold import naming_of


@pytest.mark.parametrize(
    ("name", "distribution", "prefix", "package"),
    [
        ("odebench-spirals", "odebench-spirals", "spirals", "odebench_spirals"),
        ("Spiral_Methods", "spiral-methods", "spiral-methods", "spiral_methods"),
        ("spirals.of--mine", "spirals-of-mine", "spirals-of-mine", "spirals_of_mine"),
    ],
)
def test_all_names_follow_from_one(name: str, distribution: str, prefix: str, package: str):
    naming = naming_of(name)
    assert (naming.distribution, naming.prefix, naming.package) == (distribution, prefix, package)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "cannot be the name of a distribution"),
        ("two words", "cannot be the name of a distribution"),
        ("-spirals", "cannot be the name of a distribution"),
        ("../spirals", "cannot be the name of a distribution"),
        ("7th-order", "Begin with a letter, such as 'odebench-7th-order'"),
        ("class", "would be the package 'class', which Python cannot import"),
        ("json", "would be the package 'json', and there is one of this name already"),
        ("numpy", "would be the package 'numpy', and there is one of this name already"),
        ("odebench", "would be the package 'odebench', and there is one of this name already"),
    ],
)
def test_a_name_that_cannot_be_used_is_refused_in_words(name: str, said: str):
    with pytest.raises(PluginError) as told:
        naming_of(name)
    assert said in str(told.value)


def test_the_name_of_an_installed_plugin_is_refused(tmp_path, monkeypatch):
    info = tmp_path / "shelf_of_solvers-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shelf-of-solvers\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text("[odebench]\nshelf = shelf_plugin\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(
        PluginError, match=r"as 'shelf/…', but a plugin 'shelf' of distribution 'shelf-of-solvers' is installed"
    ):
        naming_of("odebench-shelf")
