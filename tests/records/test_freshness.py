"""What could change an answer."""

import pytest

from odebench.errors import RecordError
from odebench.records import freshness, source_hash


def test_freshness_changes_with_every_version_and_source_and_with_nothing_else():
    base = freshness({"odebench": "0.1", "torch": "2.13"}, {"mine": "aa"})
    assert base == freshness({"torch": "2.13", "odebench": "0.1"}, {"mine": "aa"})
    others = {
        freshness({"odebench": "0.2", "torch": "2.13"}, {"mine": "aa"}),
        freshness({"odebench": "0.1", "torch": "2.13"}, {"mine": "ab"}),
        freshness({"odebench": "0.1", "torch": "2.13"}),
        freshness({"odebench": "0.1", "torch": "2.13", "mine": "aa"}),
        freshness({"odebench": "0.1"}, {"torch": "2.13", "mine": "aa"}),
    }
    assert len(others) == 5
    assert base not in others
    assert freshness({"a": "1"}) == freshness({"a": "1"}, {})


def test_the_source_of_a_local_plugin_counts_by_content_and_not_by_place(tmp_path):
    (tmp_path / "a.py").write_text("x = 1\n")
    (tmp_path / "b.py").write_text("x = 1\n")
    assert source_hash(tmp_path / "a.py") == source_hash(tmp_path / "b.py")
    (tmp_path / "b.py").write_text("x = 2\n")
    assert source_hash(tmp_path / "a.py") != source_hash(tmp_path / "b.py")
    with pytest.raises(RecordError, match=r"c\.py: cannot be read"):
        source_hash(tmp_path / "c.py")
