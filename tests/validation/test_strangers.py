"""Models as people write them, trained here in seconds, validated from the command line: the verdicts, and the pages."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from odebench.cli import main

STRANGERS = "tests.validation.strangers"
EULER = ("--solver", "euler", "--steps", "2")


def validated(factory, *options):
    done = CliRunner().invoke(main, ["validate", f"{STRANGERS}.{factory}", *options, "--json"])
    assert done.stdout, done.output
    return done.exit_code, json.loads(done.stdout)


def test_a_loop_of_two_euler_steps_that_separates_rings_is_tied_to_them():
    """Rings cannot be parted by a flow of the plane without a tear; two long steps jump over that."""
    code, told = validated("euler_loop:two_steps", *EULER)
    assert (code, told["verdict"]) == (1, "tied to its solver")
    assert told["own"]["metric"] > 0.9
    midpoint = next(one for one in told["tried"] if one["solver"] == "midpoint" and one["finer"] == 1)
    assert midpoint["metric"] < 0.75
    assert told["crossings"]["count"] > 100


def test_a_net_on_torchdiffeq_trained_with_fine_steps_is_a_flow():
    code, told = validated("torchdiffeq_net:many_points")
    assert (code, told["verdict"]) == (0, "a flow")
    assert told["own"]["metric"] > 0.98
    assert (told["own"]["solver"], told["own"]["steps"]) == ("rk38", 4)
    assert told["own"]["error"] < 0.1


def test_the_same_net_on_few_points_is_undecided():
    code, told = validated("torchdiffeq_net:few_points")
    assert (code, told["verdict"]) == (3, "undecided")
    assert told["samples_needed"] > 60


def test_a_net_on_torchdiffeq_trained_with_two_euler_steps_is_tied_to_them():
    code, told = validated("torchdiffeq_net:coarse")
    assert (code, told["verdict"]) == (1, "tied to its solver")
    assert (told["own"]["solver"], told["own"]["steps"]) == ("euler", 2)
    assert told["own"]["metric"] > 0.9


@pytest.mark.parametrize("other", [("--solver", "euler", "--steps", "3"), ("--solver", "midpoint", "--steps", "2")])
def test_a_solver_that_is_not_the_loops_is_refused(other):
    done = CliRunner().invoke(main, ["validate", f"{STRANGERS}.euler_loop:untrained", *other])
    assert done.exit_code == 2
    assert "The model's own outputs are not those of" in done.output
