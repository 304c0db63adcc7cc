"""The catalogue: everything is on it, escaped, and the page needs nothing else."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from odebench.errors import RecordError
from odebench.report.catalogue import catalogue, write_catalogue

RK4 = {"from": "tableau", "numerator": ["1", "1", "1/2", "1/6", "1/24"], "denominator": ["1"], "real_end": 2.785,
       "imaginary_end": 2.828, "a_stable": False, "l_stable": False}  # fmt: skip
IMPLICIT = RK4 | {"numerator": ["1"], "denominator": ["1", "-1"], "real_end": None, "imaginary_end": None}


def entry(kind: str, name: str, **more: object) -> dict[str, object]:
    """What `describe` and `details` give, with little in it."""
    common = {"kind": kind, "name": name, "description": f"The {name}.", "text": f"The {name}.", "source": "", "version": "1.0",
              "distribution": "shelf", "plugin": "shelf", "parameters": [], "known_failures": {}, "not_built": None}  # fmt: skip
    own = {
        "solver": {"order": 4, "adaptive": False, "implicit": False, "stability": RK4, "gradients": None,
                   "cost": {"forward": 4.0, "backward": None, "vjps": None, "solver": name}},
        "gradient": {"exact_for_discretisation": True, "memory": "O(1)", "cost": None, "solvers": {"with": [], "without": {}}},
        "model": {"problem": None},
        "task": {"needs_gradient": True},
        "step_policy": {"chooses_first": False},
    }  # fmt: skip
    return common | own[kind] | more


class Cells(HTMLParser):
    """The words of every row of the table with a key."""

    def __init__(self, page: str, key: str) -> None:
        super().__init__()
        self.rows, self._cell = [], None
        self.pictures = []
        self.feed(page[page.index(f'data-table="{key}"') :].partition("</table>")[0])

    def handle_starttag(self, tag, attributes):
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self._cell = ""
        elif tag == "img":
            self.pictures.append(dict(attributes)["src"])
        elif tag == "span":
            self._cell += dict(attributes)["title"] + ": "

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.rows[-1].append(self._cell.strip())

    def handle_data(self, data):
        if self._cell is not None:
            self._cell += data


def test_every_kind_has_its_table_and_nothing_is_fetched():
    page = catalogue([entry(kind, f"my-{kind}") for kind in ("solver", "gradient", "model", "task", "step_policy")])
    for kind in ("solver", "gradient", "model", "task", "step_policy"):
        assert [row[0] for row in Cells(page, kind).rows[1:]] == [f"my-{kind}"]
    assert not re.search(r"""(?:src|href)=["'](?!data:|#)""", page)


def test_a_solver_has_its_picture_and_its_figures():
    pairs = {"with": ["good"], "without": {"bad": "It cannot."}}
    solvers = [entry("solver", "mine", gradients=pairs), entry("solver", "other", stability=IMPLICIT, cost=None),
               entry("solver", "twin"), entry("solver", "none", stability=None)]  # fmt: skip
    page = catalogue([*solvers, entry("gradient", "bad"), entry("gradient", "good")])
    cells = Cells(page, "solver")
    mine, other, _, none = cells.rows[1:]
    assert mine[2:7] == ["4", "4", "2.79", "2.83", "0.696"]
    assert other[3:7] == ["–", "∞", "∞", "–"]
    assert none[1] == "–"
    first, second, third = cells.pictures
    assert first == third != second
    assert Cells(page, "pairs").rows[1] == ["mine", "It cannot.: no", "yes"]


def test_checks_are_a_column_where_they_are_known():
    found = {"passed": 12, "known": 1, "failed": 2, "failures": {"check_x": "It is wrong."}, "ended": "today", "changed": [],
             "unavailable": None}  # fmt: skip
    old = found | {"known": 0, "failed": 0, "failures": {}, "ended": "long ago", "changed": ["torch was 1 and is 2"]}
    away = found | {"unavailable": "There is no folder."}
    page = catalogue([entry("solver", "mine", conformance=found), entry("solver", "other", conformance=None),
                      entry("solver", "old", conformance=old), entry("solver", "away", conformance=away)])  # fmt: skip
    column = Cells(page, "solver").rows[0].index("conformance")
    assert [row[column] for row in Cells(page, "solver").rows[1:]] == [
        "checked at today: 12 passed, 1 known, 2 failed",
        "not checked",
        "checked at long ago; since then: torch was 1 and is 2: 12 passed – out of date",
        "There is no folder.: cannot be used here",
    ]
    assert "Failed check_x: It is wrong." in page
    assert "conformance" not in Cells(catalogue([entry("solver", "mine")]), "solver").rows[0]


def test_words_of_a_plugin_are_words_and_nothing_else():
    evil = "<script>alert(1)</script>"
    page = catalogue([entry("solver", "mine", description=evil, text=evil, source=evil, distribution=evil)],
                     [{"plugin": evil, "message": evil}])  # fmt: skip
    assert page.count("<script>") == 1
    assert "&lt;script&gt;alert(1)" in page


def test_a_folder_in_the_place_of_the_page_is_said_so(tmp_path):
    with pytest.raises(RecordError, match="is a folder"):
        write_catalogue([entry("task", "mine")], tmp_path)
