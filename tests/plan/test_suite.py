"""Reading suites, and what a wrong one says."""

import hashlib
import random
import string

import pytest

from odebench.errors import SuiteError
from odebench.plan.suite import parse_suite, read_suite

SUITE = """\
schema = 1
[suite]
name = "trial"
[budget]
repeats = 7
[budget.quick]
repeats = 2
processes = 1
[[experiment]]
name = "first"
task = "integrate"
model = ["lotka-volterra", { name = "mlp-field", width = [32, 64] }]
solver = "euler"
steps = [16, 32]
tolerance = [1e-3, { rtol = 1e-6, atol = 1, batch = "per-sample" }]
[[claim]]
name = "it works"
that = "max(error_final) < 1"
allow = ["diverged"]
"""


def read(old="", new="", **options):
    assert old in SUITE
    return parse_suite(SUITE.replace(old, new) if old else SUITE, "trial.toml", **options)


def refused(old="", new="", **options):
    with pytest.raises(SuiteError) as error:
        read(old, new, **options)
    return str(error.value)


def test_a_suite_is_read():
    suite = read()
    assert (suite.name, suite.title, suite.plugins) == ("trial", "trial", ())
    assert suite.budget.device == ("cpu",)
    assert (suite.budget.processes, suite.budget.repeats, suite.budget.timeout_s, suite.budget.memory_bytes) == (
        3,
        7,
        120.0,
        8 * 2**30,
    )
    (experiment,) = suite.experiments
    assert [entry.name for entry in experiment.model] == ["lotka-volterra", "mlp-field"]
    assert experiment.model[1].parameters == {"width": [32, 64]}
    assert [entry.name for entry in experiment.solver] == ["euler"]
    assert (experiment.steps, experiment.seed, experiment.gradient) == ((16, 32), (0,), None)
    assert [t.model_dump() for t in experiment.tolerance] == [
        {"rtol": 1e-3, "atol": 1e-3, "batch": "joint"},
        {"rtol": 1e-6, "atol": 1.0, "batch": "per-sample"},
    ]
    (claim,) = suite.claims
    assert (claim.name, claim.that, claim.allow) == ("it works", "max(error_final) < 1", ("diverged",))
    assert suite.text == SUITE
    assert suite.sha256 == hashlib.sha256(SUITE.encode()).hexdigest()


def test_a_budget_is_chosen_and_an_override_wins_over_it():
    quick = read(budget="quick")
    assert (quick.budget.repeats, quick.budget.processes, quick.budget_name) == (2, 1, "quick")
    assert read(budget="quick", overrides=["budget.repeats=9"]).budget.repeats == 9
    assert read(budget="quick", overrides=["budget.quick.repeats=9"]).budget.repeats == 9
    assert read(overrides=["budget.quick.repeats=9"]).budget.repeats == 7
    assert read(overrides=["budget.timeout=1h30m", "experiment[0].steps=4"]).experiments[0].steps == (4,)
    assert quick.sha256 == read().sha256


def test_a_local_plugin_is_resolved_beside_the_suite_and_flagged(tmp_path):
    (tmp_path / "mine.py").write_text("")
    file = tmp_path / "trial.toml"
    file.write_text(SUITE.replace('name = "trial"', 'name = "trial"\nplugins = ["mine.py"]'))
    suite = read_suite(file)
    assert suite.plugins == ((tmp_path / "mine.py").resolve(),)
    assert suite.names_local_code
    assert not read().names_local_code
    file.write_text(SUITE.replace('name = "trial"', 'name = "trial"\nplugins = ["mien.py"]'))
    with pytest.raises(
        SuiteError, match=r"`suite.plugins\[0\]` is 'mien.py', and there is no file .*Did you mean 'mine.py'"
    ):
        read_suite(file)


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "quickstart.toml").write_text(SUITE)
    with pytest.raises(SuiteError, match=r"quikstart.toml: there is no such file. Did you mean 'quickstart.toml'"):
        read_suite(tmp_path / "quikstart.toml")
    with pytest.raises(SuiteError, match="no such file. Check the path"):
        read_suite(tmp_path / "nowhere" / "a.toml")
    with pytest.raises(SuiteError, match="cannot be read: Is a directory"):
        read_suite(tmp_path)
    (tmp_path / "latin.toml").write_bytes(b"# \xe9\n")
    with pytest.raises(SuiteError, match="byte 2 is not UTF-8"):
        read_suite(tmp_path / "latin.toml")
    (tmp_path / "bom.toml").write_bytes(b"\xef\xbb\xbf" + SUITE.encode())
    assert read_suite(tmp_path / "bom.toml").name == "trial"


def test_a_syntax_error_names_its_line():
    message = refused('task = "integrate"', "task = integrate")
    assert message.startswith("trial.toml: this is not TOML: Invalid value (at line 11, column 8).")
    assert "That line reads: 'task = integrate'" in message


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("schema = 1", "", ["`schema` is missing", "Write `schema = 1`"]),
        ("schema = 1", "schema = 2", ["`schema` is 2", "reads up to 1", "newer odebench"]),
        ("schema = 1", "schema = true", ["`schema` is True (a boolean)"]),
        ("[suite]", "[siute]", ["`siute` is not a key", "'suite'"]),
        ('name = "trial"', 'name = "a/b"', ["`suite.name` is 'a/b' (a string)", "name of a folder"]),
        ('name = "trial"', 'name = "trial"\ntitel = "x"', ["`suite.titel` is not a key", "'title'"]),
        ("repeats = 7", "repeats = '7'", ["`budget.repeats` is '7' (a string)", "must be an integer"]),
        ("repeats = 7", "repeats = true", ["`budget.repeats` is True (a boolean)", "must be an integer"]),
        ("repeats = 7", "repeats = 0", ["`budget.repeats` is 0", "above 0"]),
        ("repeats = 7", "repeat = 7", ["`budget.repeat` is not a key", "Did you mean 'repeats'"]),
        ("repeats = 7", "dtype = ['flaot32']", ["`budget.dtype[0]` is 'flaot32'", "Did you mean 'float32'"]),
        ("repeats = 7", "dtype = 'flaot32'", ["`budget.dtype` is 'flaot32'", "Did you mean 'float32'"]),
        ("repeats = 7", "timeout = 120", ["`budget.timeout` is 120 (an integer)", "with a unit"]),
        ("repeats = 7", "timeout = '2 parsecs'", ["`budget.timeout` is '2 parsecs'", "'parsecs' is no unit"]),
        ("repeats = 7", "memory = '8gib'", ["`budget.memory` is '8gib'", "GiB"]),
        ("repeats = 2", "repeat = 2", ["`budget.quick.repeat` is not a key", "Did you mean 'repeats'"]),
        ("repeats = 2", "repeats = 2.5", ["`budget.quick.repeats` is 2.5 (a number)", "must be an integer"]),
        ("steps = [16, 32]", "stepps = [16, 32]", ["`experiment[0].stepps` is not a key", "Did you mean 'steps'"]),
        ("steps = [16, 32]", "steps = []", ["`experiment[0].steps` is []", "at least one value"]),
        ("steps = [16, 32]", "steps = [16, 'x']", ["`experiment[0].steps[1]` is 'x' (a string)", "must be an integer"]),
        ("steps = [16, 32]", "step_size = [0.0]", ["`experiment[0].step_size[0]` is 0.0", "above 0"]),
        ("steps = [16, 32]", "step_size = [inf]", ["`experiment[0].step_size[0]` is inf", "finite"]),
        ("steps = [16, 32]", "seed = -1", ["`experiment[0].seed` is -1", "at least 0"]),
        ("atol = 1,", "atol = -1,", ["`experiment[0].tolerance[1].atol` is -1", "at least 0"]),
        ("1e-3,", "0,", ["`experiment[0].tolerance[0]` is 0", "Both tolerances are zero"]),
        ("1e-3,", "'1e-3',", ["`experiment[0].tolerance[0]` is '1e-3' (a string)", "must be a number"]),
        ("atol = 1,", "", ["`experiment[0].tolerance[1].atol` is missing"]),
        ('"per-sample"', '"sample"', ["`experiment[0].tolerance[1].batch` is 'sample'", "'per-sample'"]),
        ('solver = "euler"', "", ["`experiment[0].solver` is missing", "Add it"]),
        ('solver = "euler"', 'sovler = "euler"', ["`experiment[0].sovler` is not a key", "Did you mean 'solver'"]),
        ('solver = "euler"', "solver = 3", ["`experiment[0].solver` is 3 (an integer)", "{ name ="]),
        (
            'solver = "euler"',
            'solver = ["euler", { nmae = "x" }]',
            ["`experiment[0].solver[1].name` is missing", "'nmae'"],
        ),
        ("[32, 64]", "[]", ["`experiment[0].model[1].width` is []", "at least one value"]),
        ("[32, 64]", "[32, nan]", ["`experiment[0].model[1].width[1]` is nan", "finite"]),
        ("[32, 64]", "2024-01-01", ["`experiment[0].model[1].width` is", "(date)"]),
        ('that = "max(error_final) < 1"', 'that = ""', ["`claim[0].that` is ''", "It is empty"]),
        ('["diverged"]', '["divergd"]', ["`claim[0].allow[0]` is 'divergd'", "Did you mean 'diverged'"]),
        ("[[experiment]]", "[experiment]", ["`experiment` is a table with name", "must be a list"]),
        ("[budget]\nrepeats = 7\n[budget.quick]", "[quick]", ["`quick` is not a key of a suite"]),
    ],
)
def test_a_wrong_suite_names_file_key_found_and_what_to_do(old, new, parts):
    message = refused(old, new)
    assert message.startswith("trial.toml: ")
    for part in parts:
        assert part in message


def test_an_experiment_must_divide_time():
    text = SUITE.replace("steps = [16, 32]\n", "")
    message = refused(SUITE, text[: text.index("tolerance")])
    assert "`experiment[0]`: It says nothing about the steps: add `steps` or `step_size`" in message


def test_a_suite_without_experiments_is_refused():
    assert "add a table [[experiment]]" in refused(SUITE, 'schema = 1\n[suite]\nname = "trial"\n')
    assert "add a table [[experiment]]" in refused(SUITE, 'schema = 1\nexperiment = []\n[suite]\nname = "trial"\n')


def test_names_of_experiments_and_claims_are_unique():
    experiment = SUITE[SUITE.index("[[experiment]]") : SUITE.index("[[claim]]")]
    message = refused(SUITE, SUITE + experiment + '[[claim]]\nname = "it works"\nthat = "all(x)"\n')
    assert "`experiment[1].name` is 'first', and so is `experiment[0].name`" in message
    assert "`claim[1].name` is 'it works', and so is `claim[0].name`" in message


def test_all_faults_are_named_at_once():
    message = refused("repeats = 7", "repeats = '7'\nthreads = 0\ndtype = 'f'")
    assert len(message.splitlines()) == 3


def test_an_unknown_budget_names_the_nearest():
    assert "there is no [budget.quik]. Did you mean 'quick'?" in refused(budget="quik")
    assert "leave `--budget` out" in refused("[budget.quick]\nrepeats = 2\nprocesses = 1\n", "", budget="quick")


def test_a_faulty_override_is_blamed_and_not_the_file():
    message = refused(overrides=["budget.repeat=3"])
    assert message.startswith(
        "`--set budget.repeat=3`: `budget.repeat` is not a key of a suite. Did you mean 'repeats'?"
    )
    assert refused(overrides=["experiment[0].steps=[]"]).startswith(
        "`--set experiment[0].steps=[]`: `experiment[0].steps` is []"
    )
    assert refused(overrides=["budget.quick.repeats=x"]).startswith(
        "`--set budget.quick.repeats=x`: `budget.quick.repeats` is 'x'"
    )


def test_no_mangled_suite_ends_in_anything_but_a_suite_error():
    """A thousand suites with a character or a line changed: read, or refused in words, never a traceback."""
    dice = random.Random(7)
    for _ in range(1000):
        lines = SUITE.splitlines()
        row = dice.randrange(len(lines))
        if dice.random() < 0.3:
            lines[row] = dice.choice(SUITE.splitlines())
        else:
            at = dice.randrange(len(lines[row]) + 1)
            lines[row] = lines[row][:at] + dice.choice(string.printable) + lines[row][at + dice.randrange(2) :]
        try:
            parse_suite("\n".join(lines), "trial.toml", budget=dice.choice([None, "quick"]))
        except SuiteError as error:
            assert str(error).startswith("trial.toml: ")
