"""docs/tutorial.md is a test: its files are written, its commands run and its Python executed, in the order of the page."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import odebench
from odebench.cli import main

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "tutorial.md").read_text(encoding="utf-8")
# What stands above a block says what is done with it; a block without such a line is shown only.
BLOCKS = re.findall(r"<!-- (run|prints|file|append)(?:: (\S+))? -->\n```(\w+)\n(.*?)```", PAGE, re.DOTALL)


def run(line: str) -> str:
    """What a command says; it must succeed. In this process, which has torch: a new one would load it again for each line."""
    program, *words = shlex.split(line)
    assert program == "odebench"
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, f"{line}\n{done.output}"
    return done.stdout


@pytest.mark.slow
def test_the_tutorial_leads_to_a_report_with_the_author_s_methods(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = ""
    for mark, name, language, text in BLOCKS:
        if mark == "file":
            (tmp_path / name).write_text(text, encoding="utf-8")
        elif mark == "append":
            (tmp_path / name).write_text((tmp_path / name).read_text(encoding="utf-8") + text, encoding="utf-8")
        elif mark == "prints":
            assert all(line in said for line in text.splitlines()), said
        elif language == "python":
            done = subprocess.run(
                [sys.executable, "-c", text], capture_output=True, text=True, timeout=600, check=False
            )
            assert done.returncode == 0, done.stderr
            said = done.stdout
        else:
            said = "".join(map(run, text.splitlines()))
    frame = odebench.load(tmp_path / "results" / "mine")
    assert set(frame["outcome"]) == {"ok"}
    assert len(frame[frame["solver"] == "zonneveld43"]) == 3 + 3
    for picture in ("stability.png", "comparison.png"):
        assert (tmp_path / picture).read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "results" / "mine" / "report" / "index.html").read_text(encoding="utf-8")
    assert "zonneveld43" in page and "segments" in page
    assert (tmp_path / "odebench-mine" / "odebench_mine" / "solver.py").is_file()


def code_of(name: str) -> list[str]:
    """The lines of a class and its imports, without blank ones, comments and the docstrings."""
    (text,) = (text for mark, file, _, text in BLOCKS if (mark, file) == ("file", name))
    bare = re.sub(r'"""(.*?)"""', "", text, flags=re.DOTALL)
    return [line for line in bare.splitlines() if line.strip() and not line.strip().startswith("#")]


def test_a_solver_is_about_fifteen_lines_and_a_gradient_method_about_forty():
    assert len(code_of("my_solver.py")) <= 18
    assert len(code_of("my_gradient.py")) <= 52


def test_no_block_is_without_a_reader():
    """A block that is neither marked nor plain text would rot."""
    marked = {text for *_, text in BLOCKS}
    loose = [text for language, text in re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL) if text not in marked]
    assert all("failed         check_" in text for text in loose)


def test_what_the_page_points_at_is_there():
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", PAGE):
        assert (DOCS / target).is_file(), target
    for anchor in re.findall(r"\]\(#([^)]+)\)", PAGE):
        assert f"## {anchor.replace('-', ' ')}" in PAGE.lower()
