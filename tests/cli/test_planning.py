"""What `run` and `plan` have in common."""

from __future__ import annotations

from odebench.cli.planning import prefixes_of
from odebench.plan.suite import parse_suite

SUITE = """schema = 1
[suite]
name = "wrapped"
[[experiment]]
name = "one"
task = "integrate"
model = "logistic"
solver = ["rk4", "first/dopri5", { name = "wrapper", base = { name = "second/euler" }, others = ["third/rk4"] }]
steps = 8
[[experiment]]
name = "two"
task = "gradient"
model = "logistic"
solver = "rk4"
gradient = "fourth/adjoint"
steps = 8
[[experiment]]
name = "three"
task = { name = "train", step_policy = [{ name = "fifth/adapting", test = "sixth/rk4" }] }
model = "seventh/net"
solver = "rk4"
gradient = "direct"
[[experiment]]
name = "four"
task = "swap"
trained = "three"
solver = "eighth/euler"
factor = 1
"""


def test_only_the_plugins_that_a_suite_names_are_loaded():
    """Names inside of tables count: a wrapper is told its base by name."""
    assert prefixes_of(parse_suite(SUITE, "wrapped.toml")) == {
        "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth",
    }  # fmt: skip


def test_a_suite_of_built_in_methods_loads_no_plugin():
    suite = parse_suite(
        SUITE.partition('model = "logistic"\nsolver = ["rk4"')[0] + 'model = "logistic"\nsolver = "rk4"\nsteps = 8',
        "a.toml",
    )
    assert prefixes_of(suite) == set()
