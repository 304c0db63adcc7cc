"""The whole report: everything in one page, nothing from outside, hostile words harmless, machines side by side."""

import html.parser
import itertools
import json
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure

from odebench.errors import RecordError
from odebench.report.build import file_stem, write_report
from tests.report.synthetic import HOSTILE, LAPTOP, SERVER, record, write_folder


def integrations(machine=LAPTOP, model="mlp-field", **options):
    return [record("integrate", model, "rk4", None, {"steps": n}, machine=machine, **options) for n in (32, 64)]


class Reader(html.parser.HTMLParser):
    """Collects elements and their attributes, and the text in elements of one tag."""

    def __init__(self, text):
        super().__init__()
        self.elements = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))


@pytest.fixture(scope="module")
def text(report):
    return report.index.read_text()


def test_the_page_needs_nothing_from_outside(text):
    for tag, attributes in Reader(text).elements:
        for name in ("src", "href", "action", "data", "poster"):
            value = attributes.get(name) or ""
            assert not re.match(r"(https?:)?//", value), (tag, value)
        if tag == "img":
            assert attributes["src"].startswith("data:image/svg+xml;base64,")
    assert "@import" not in text and "url(" not in text


def test_links_lead_somewhere(report, text):
    elements = Reader(text).elements
    ids = {attributes.get("id") for _, attributes in elements}
    for tag, attributes in elements:
        if tag == "a":
            target = attributes["href"]
            assert target[1:] in ids if target.startswith("#") else (report.index.parent / target).is_file(), target


def test_every_figure_lies_beside_the_page_as_png_and_svg(report):
    assert {path.suffix for path in report.figures} == {".png", ".svg"}
    assert all(path.is_file() and path.parent == report.index.parent / "figures" for path in report.figures)
    # Two models: a figure each of all, evaluations, time, same grid, y0, memory, times, round trip; one has parameters.
    assert len(report.figures) == 2 * (2 * 8 + 1)


def test_the_overview_of_each_model_comes_first(report, text):
    assert [path.name for path in report.figures[:4]] == [
        "overview-mlp-field.png",
        "overview-mlp-field.svg",
        "overview-van-der-pol.png",
        "overview-van-der-pol.svg",
    ]
    images = [attributes["alt"] for tag, attributes in Reader(text).elements if tag == "img"]
    assert images[0].startswith("mlp-field: which solver, which gradient method, at which cost.")


def test_every_picture_has_words_for_those_who_cannot_see_it(text):
    images = [attributes for tag, attributes in Reader(text).elements if tag == "img"]
    assert len(images) == 17
    assert all(len(one["alt"]) > 60 for one in images)
    assert len({one["alt"] for one in images}) == 17


def test_headings_descend_without_a_gap(text):
    levels = [int(tag[1]) for tag, _ in Reader(text).elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_hostile_words_stay_words(text):
    assert "window.hacked" in text
    assert "<script>window.hacked" not in text
    assert text.count("<script") == 1


def test_hostile_names_stay_words_everywhere(tmp_path):
    made = integrations()
    for one in made:
        for owner in ("model", "solver", "task"):
            one["cell"][owner]["name"] = f'{HOSTILE}" onmouseover="hack()" x="../../{owner}'
        one["parts"]["quality"]["values"]["reference"] = HOSTILE
        one["suite"] = HOSTILE
    folder = write_folder(tmp_path / "run", made)
    run = json.loads((folder / "run.json").read_text())
    run["text"] = f"[suite]\ntitle = '''{HOSTILE}'''\n"
    (folder / "run.json").write_text(json.dumps(run))
    paths = write_report(folder)
    elements = Reader(paths.index.read_text()).elements
    assert sum(tag == "script" for tag, _ in elements) == 1
    assert not [attributes for _, attributes in elements if any(name.startswith("on") for name in attributes)]
    assert all(path.parent == folder / "report" / "figures" for path in paths.figures)


def test_what_was_run_and_where_is_told(text):
    for words in (
        "Which solver, which gradient method?",
        "odebench run quickstart.toml --budget quick --set budget.repeats=5",
        "Example CPU · 2 cores · 8 GiB",
        "timeout 20s",
        "2026-01-05 11:00:00 UTC",
        "odebench-torchdiffeq 0.1.0",
        "torch 2.13.0",
        "CPython 3.11.2",
    ):
        assert words in text, words


def test_every_column_is_in_the_glossary(text, frame):
    for name in frame.columns:
        assert "." in name or f"<code>{name}</code>" in text, name


def test_a_figure_with_nothing_to_draw_is_skipped_with_a_reason_on_the_page(tmp_path):
    paths = write_report(write_folder(tmp_path / "run", integrations()))
    page = paths.index.read_text()
    assert {one.family for one in paths.skipped} == {"Round trip"}
    assert all(one.reason in page for one in paths.skipped)


def test_machines_of_one_folder_stand_side_by_side_with_the_same_axes(tmp_path):
    folder = write_folder(tmp_path / "run", integrations(LAPTOP) + integrations(SERVER, slowdown=50))
    paths = write_report(folder)
    page = paths.index.read_text()
    assert page.count(f"machine {LAPTOP[:8]}") > 5 and page.count(f"machine {SERVER[:8]}") > 5
    times = [path for path in paths.figures if "time-forward" in path.name and path.suffix == ".svg"]
    assert len(times) == 2
    ticks = [re.findall(r"<!-- ([\d.,⁻·⁰¹²³⁴⁵⁶⁷⁸⁹]+) -->", path.read_text()) for path in times]
    assert ticks[0] == ticks[1] and ticks[0]


def test_folders_are_side_by_side_in_the_place_that_was_asked_for(tmp_path):
    folders = [write_folder(tmp_path / name, integrations()) for name in ("before", "after")]
    paths = write_report(folders, into=tmp_path / "both")
    page = paths.index.read_text()
    assert paths.index == tmp_path / "both" / "index.html"
    assert "before, machine" in page and "after, machine" in page
    assert [path.parent for path in paths.tables] == [folders[0], folders[0], folders[1], folders[1]]


def test_a_damaged_file_and_records_of_an_older_suite_are_told(tmp_path):
    old = record("integrate", "mlp-field", "euler", None, {"steps": 8})
    folder = write_folder(tmp_path / "run", [*integrations(), old])
    run = json.loads((folder / "run.json").read_text())
    run["cells"] = [one["cell_id"] for one in integrations()]
    (folder / "run.json").write_text(json.dumps(run))
    (folder / "cells" / f"{'0' * 16}.{LAPTOP}.json").write_text("{}")
    page = write_report(folder).index.read_text()
    assert "1 records of earlier versions of the suite are left out" in page
    assert "A file could not be used" in page
    assert "2 cells · 2 ok" in page


def test_a_report_is_made_anew_and_leaves_nothing_of_the_old_one(tmp_path):
    folder = write_folder(tmp_path / "run", integrations())
    first = write_report(folder)
    stray = first.figures[0].parent / "old.png"
    stray.touch()
    assert write_report(folder).figures == first.figures
    assert not stray.exists()


def test_somebodys_folder_is_not_turned_into_a_report(tmp_path):
    folder = write_folder(tmp_path / "run", integrations())
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("dear")
    with pytest.raises(RecordError, match=r"thesis\.txt"):
        write_report(folder, into=tmp_path / "mine")


def test_no_folder_and_an_empty_folder_are_refused(tmp_path):
    with pytest.raises(RecordError, match="No folder was given"):
        write_report([])
    with pytest.raises(RecordError, match="no record that can be read"):
        write_report(tmp_path)


def test_a_figure_that_a_plugin_offers_costs_only_itself(tmp_path):
    def fine(frame: pd.DataFrame) -> Figure:
        frame["error_final"] = 0  # its own copy
        figure = Figure()
        figure.subplots().plot([1, 2], [3, 4])
        return figure

    def broken(frame: pd.DataFrame) -> Figure:
        raise KeyError("<b>gone</b>")

    folder = write_folder(tmp_path / "run", integrations())
    extra = [("theirs", fine), ("broken", broken), ("nothing", lambda frame: None)]
    paths = write_report(folder, extra_figures=extra)
    page = paths.index.read_text()
    assert any(path.name == "extra-theirs.png" for path in paths.figures)
    reasons = {one.title: one.reason for one in paths.skipped}
    assert reasons["broken"].startswith("It failed: KeyError")
    assert reasons["nothing"] == "It found nothing to draw."
    assert "<b>gone</b>" not in page
    assert (pd.read_parquet(paths.tables[0])["error_final"] > 0).all()


def test_file_names_are_plain_and_never_the_same_for_different_keys():
    assert file_stem("error/nfe_forward/lotka-volterra") == "error-nfe-forward-lotka-volterra"
    keys = ["../../etc/passwd", "etc passwd", "ETC PASSWD", "a" * 300, "a" * 301, "模型", "型模"]
    stems = [file_stem(key) for key in keys]
    assert len(set(stems)) == len(keys)
    assert all(re.fullmatch(r"[a-z0-9-]{1,90}", stem) for stem in stems)


def test_a_report_needs_neither_torch_nor_plugins(tmp_path):
    folder = write_folder(tmp_path / "run", integrations())
    code = (
        "import sys; from odebench.report.build import write_report; from odebench.report.plot import plot;"
        "from odebench.report.frame import load; from odebench.report.headline import headline;"
        f"write_report({str(folder)!r}, into={str(tmp_path / 'out')!r}); frame = load({str(folder)!r}); headline(frame);"
        f"plot(frame, 'nfe_forward', 'error_final', output={str(tmp_path / 'a.png')!r});"
        "print([name for name in sys.modules if name.split('.')[0] in ('torch', 'pluggy', 'click')"
        " or name.startswith(('odebench.run', 'odebench.plugins', 'odebench.contract'))])"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
    assert (Path(tmp_path) / "out" / "index.html").is_file()
