"""`--help` of everything: quick, with an example, and without torch."""

from __future__ import annotations

import re
import subprocess
import sys
import time

import pytest

from odebench import __version__
from odebench.cli import main

HEAVY = {"torch", "numpy", "scipy", "pandas", "matplotlib", "pluggy", "pydantic", "rich", "jinja2", "odebench.plugins"}


def command_line(*arguments: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *options, "-m", "odebench", *arguments], capture_output=True, text=True, check=False
    )


def imported(log: str) -> set[str]:
    """The modules that `-X importtime` names."""
    return {line.rpartition("|")[2].strip() for line in log.splitlines() if line.startswith("import time:")}


@pytest.mark.parametrize(
    "words", [(), *((name,) for name in main.commands)], ids=lambda words: " ".join(words) or "main"
)
def test_help_shows_an_example_and_imports_nothing_heavy(words: tuple[str, ...]):
    done = command_line(*words, "--help", options=("-X", "importtime"))
    assert done.returncode == 0, done.stderr
    assert re.search(rf"Example:\n +odebench {' '.join(words)}", done.stdout), done.stdout
    assert "click" in imported(done.stderr)
    assert imported(done.stderr) & HEAVY == set()


def test_help_answers_within_three_tenths_of_a_second():
    """The least of several runs: the others measure what else the machine does."""
    times = []
    for _ in range(7):
        start = time.perf_counter()
        assert command_line("--help").returncode == 0
        times.append(time.perf_counter() - start)
    assert min(times) < 0.3, times


def test_every_option_says_what_it_does():
    for command in main.commands.values():
        for parameter in command.params:
            if parameter.param_type_name == "option":
                assert parameter.help, f"{command.name} {parameter.opts[0]}"


def test_commands_stand_in_the_order_of_work():
    assert list(main.commands) == [
        "run",
        "plan",
        "list",
        "show",
        "catalogue",
        "report",
        "plot",
        "check",
        "claims",
        "validate",
        "plugins",
        "new",
        "hooks",
        "doctor",
    ]


def test_the_version_is_the_package_s(call):
    assert call("--version").output.strip().endswith(__version__)


def test_a_wrong_command_names_the_nearest(call):
    result = call("lst")
    assert result.exit_code == 2
    assert "There is no command 'lst'. Did you mean 'list'?" in result.output
