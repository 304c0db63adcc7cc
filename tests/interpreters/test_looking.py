"""What can be wrong with an interpreter, each told with what to do about it."""

from __future__ import annotations

import json
import os
import sys

import pytest

import odebench
from odebench.errors import InterpreterError
from odebench.interpreters import interpreter, probe
from odebench.interpreters.interpreter import look_at
from tests.interpreters import environments


@pytest.fixture(autouse=True)
def no_path(monkeypatch) -> None:
    """A folder on everybody's path would bring odebench into environments that have none."""
    monkeypatch.delenv("PYTHONPATH", raising=False)


def refusal(path) -> str:
    with pytest.raises(InterpreterError) as caught:
        look_at(path)
    assert str(caught.value).startswith(f"interpreter {path}: ")
    return str(caught.value).removeprefix(f"interpreter {path}: ")


def test_a_good_one_tells_its_python_its_plugins_and_what_they_require(homes):
    found = look_at(homes["fancytwo"])
    assert not found.is_this_one
    assert found.python == f"CPython {sys.version.split()[0]}"
    plugin = found.plugin("fancytwo")
    assert (plugin.distribution, plugin.version, plugin.requires) == ("odebench-fancytwo", "2.5", ("fancysolver",))
    assert found.version("FancySolver") == "2.0"
    assert look_at(homes["fancyone"]).version("fancysolver") == "1.0"


def test_this_one_is_known_by_whatever_path():
    assert look_at(sys.executable).is_this_one


def test_two_paths_to_one_environment_are_one_interpreter(homes):
    python = homes["fancyone"]
    assert look_at(python) == look_at(python.with_name("python3"))
    assert look_at(python) != look_at(homes["fancytwo"])


def test_a_path_to_nothing(tmp_path):
    assert refusal(tmp_path / "python").startswith("there is no such file. Give the path of a Python interpreter")


def test_a_link_whose_python_was_removed(tmp_path):
    (tmp_path / "python").symlink_to(tmp_path / "gone")
    assert "the link leads to nothing" in refusal(tmp_path / "python")


def test_a_folder_of_an_environment_is_not_its_interpreter(homes):
    folder = homes["fancyone"].parents[1]
    assert refusal(folder) == f"this is a folder. Did you mean {folder}/bin/python?"


def test_a_file_that_may_not_be_executed(tmp_path):
    (tmp_path / "python").write_text("")
    assert "may not be executed" in refusal(tmp_path / "python")


def test_a_program_that_is_no_python(tmp_path):
    said = refusal(environments.script(tmp_path / "python", "echo I am a shell >&2; exit 7\n"))
    assert said.startswith("this is no Python that works: it ended with exit code 7 and said: I am a shell. ")


def test_a_file_that_the_system_cannot_start(tmp_path):
    file = environments.script(tmp_path / "python", "")
    file.write_bytes(b"\x00\x01")
    assert refusal(file).startswith("it cannot be started: Exec format error.")


def test_a_shell_does_not_carry_out_the_probe(tmp_path, monkeypatch):
    """Line by line it would be a script: `import` is a program that takes pictures of screens."""
    environments.script(tmp_path / "import", f"touch {tmp_path / 'carried-out'}\n")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert "this is no Python that works" in refusal("/bin/sh")
    assert not (tmp_path / "carried-out").exists()


def test_one_that_hangs_when_it_starts(tmp_path, monkeypatch):
    monkeypatch.setattr(interpreter, "PROBE_LIMIT_S", 0.3)
    said = refusal(environments.script(tmp_path / "python", "exec sleep 60\n"))
    assert said.startswith("it did not say what it is in 0.3 s. It hangs when it starts: try ")


def test_one_that_is_too_old(tmp_path):
    told = {"executable": "", "prefix": "/old", "python": "CPython 3.8.10", "version": [3, 8, 10], "odebench": None}
    said = refusal(environments.script(tmp_path / "python", f"echo '{probe.MARK}{json.dumps(told)}'\n"))
    assert said.startswith("it is CPython 3.8.10, and odebench needs Python 3.11 or newer.")


def test_one_without_odebench(tmp_path):
    python = environments.environment(tmp_path / "bare", hosted=False)
    said = refusal(python)
    assert "no odebench can be imported there; here is odebench " + odebench.__version__ in said
    assert said.endswith(f"Install the same: {python} -m pip install -e {environments.ROOT}")


def test_one_with_another_version_of_odebench(tmp_path):
    python = environments.environment(tmp_path / "old", hosted=False)
    environments.install(tmp_path / "old", "odebench", "0.0.7", "__version__ = '0.0.7'\n")
    said = refusal(python)
    assert said.startswith(f"it has odebench 0.0.7, and here is {odebench.__version__}.")
    assert f"{python} -m pip install" in said


def test_one_with_the_same_version_and_other_code(tmp_path):
    """Two checkouts of one version would ask and measure in different ways."""
    python = environments.environment(tmp_path / "other", hosted=False)
    package = environments.packages(tmp_path / "other") / "odebench"
    package.mkdir()
    (package / "__init__.py").write_text(f"__version__ = {odebench.__version__!r}\n")
    said = refusal(python)
    assert said.startswith(f"it has odebench {odebench.__version__} as here, with other code in it: __init__.py and ")


def test_one_that_lacks_the_plugin_names_those_that_it_has(homes):
    found = look_at(homes["fancytwo"])
    with pytest.raises(InterpreterError, match=r"no plugin 'fancyto' is installed there; .*Did you mean 'fancytwo'\?"):
        found.plugin("fancyto")


def test_what_would_send_it_to_our_library_is_kept_from_it(homes, monkeypatch):
    monkeypatch.setenv("PYTHONHOME", "/nowhere")
    assert look_at(homes["fancyone"]).prefix == str(homes["fancyone"].parents[1])


@pytest.mark.parametrize("change", ["plugin", "library", "variable"])
def test_whatever_answers_depend_on_changes_the_state(homes, tmp_path, change, monkeypatch):
    from odebench.interpreters.answers import KeptAnswers

    python = environments.fancy(tmp_path / "mine", 1)

    def file() -> str:
        return KeptAnswers(look_at(python), ["fancyone"], [])._file.name

    before = file()
    assert file() == before
    if change == "plugin":
        (environments.packages(tmp_path / "mine") / "fancyone.py").write_text("")
    elif change == "library":
        environments.install(tmp_path / "mine", "fancysolver", "1.0.1", environments.FANCYSOLVER["1.0"])
    else:
        monkeypatch.setenv("ODEBENCH_FANCY", "1")
    assert file() != before
