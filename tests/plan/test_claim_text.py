"""The language of claims: what can be said, what is refused, and where the refusal points."""

from __future__ import annotations

import ast
import random
import string
from pathlib import Path

import pytest

from odebench.errors import SuiteError
from odebench.plan.claim_text import AGGREGATES, FUNCTIONS, read_claim, read_condition
from odebench.plan.expression import Call, Column, Constant, ExpressionError, pointed, walk
from odebench.plan.expression_parser import parse_expression
from odebench.plan.suite import claims_of


def refused(text):
    with pytest.raises(ExpressionError) as error:
        read_claim(text)
    return error.value


@pytest.mark.parametrize(
    "text",
    [
        "max(grad_error_discrete) < 1e-5 where gradient == 'anode'",
        "mean(accuracy_test where solver == 'euler' and trained.steps == 2) - mean(accuracy_test) > 0.3",
        "0.9 <= min(accuracy_test) <= median(accuracy_test) <= 1",
        "quantile(time_total_s, 0.95) < 2 * median(time_total_s)",
        "not (std(accuracy_test) > .01 or max(loss_test) > 1.)",
        "abs(slope(error_final, steps where solver == 'rk4') + 4) < 0.2",
        "count() == 5 where seed is not None",
        "count(accuracy_test < 0.6 where trained.steps in (2, 4)) >= 3",
        "share('rk' in solver) == 1 and all(timing_valid) and not any(outcome != 'ok')",
        "mean(min(accuracy_change by seed where factor <= 1) where trained.steps == 256) >= -0.02",
        "max(mean(accuracy_test by steps) - 2 * std(accuracy_test by steps)) > 0.9",
        "all(mean(nfe_mean by model.width, seed) ** 0.5 < 10)",
        "-max(model.stiffness) + 3 < -2 ** 2 * sum(steps) / log2(mean(steps))",
        'max(error_final where model == "it\'s") < 1',
        "max(error_final\n    where solver == 'a'\n) < 1",
    ],
)
def test_a_claim_is_read(text):
    claim = read_claim(text)
    assert claim.text == text


@pytest.mark.parametrize(
    ("text", "what", "place"),
    [
        ("meen(accuracy_test) > 0.5", "There is no meen(…); did you mean 'mean'?", "meen"),
        ("max(error_final) < 1 where foo(x) > 1", "There is no foo(…); there are abs", "foo"),
        ("max(error_final)", "'max(error_final)': this is a number, and a claim is true or false", "max"),
        ("1 < 2", "this looks at no row", "1 < 2"),
        ("accuracy_test > 0.5", "put it into an aggregate, such as mean(accuracy_test)", "accuracy_test"),
        ("max(steps) > min", "an aggregate needs its brackets, as in min(…)", "min"),
        ("max(error_final) = 1", "to compare, write ==", "="),
        ("max(error_final) < 5%", "write 0.05 for 5 %", "%"),
        ("max(error_final) < 1 & min(steps) > 1", "write `and`", "&"),
        ("max(error_final where solver == 'rk4) < 1", "no closing quote", "'rk4"),
        ("max(error_final < 1", "the text ends: expected ')' to close max(", ""),
        ("max(error_final) < 1)", "')' stands here: it does not continue", ")"),
        ("max(error_final) < 1 where", "the text ends: expected a number", ""),
        ("max(error_final) < 1 where steps + 1", "which is no condition: compare it", "steps + 1"),
        ("max(error_final) < 1 where max(steps) > 1", "a condition over rows cannot hold an aggregate", "max(steps)"),
        ("max(error_final) < 1 where solver == 'a' < None", "None can only be compared by", "solver == 'a'"),
        ("max(error_final) < 1 where 'a' > 1", "\"'a'\" is text and '1' is not", "'a' > 1"),
        ("max(error_final) < 1 where steps in steps", "`in` wants a column and a list", "steps in steps"),
        ("max(error_final) < 'a'", "it has no place outside an aggregate", "'a'"),
        ("max(error_final) and 1", "which is no condition", "max"),
        ("max(error_final, steps) < 1", "max takes one of what stands", "max"),
        ("quantile(steps) < 1", "quantile takes two", "quantile"),
        ("quantile(steps, 95) < 1", "a number from 0 to 1", "95"),
        ("slope(steps) < 1", "slope takes two", "slope"),
        ("mean(steps > 1) < 1", "share(…) is the share of rows", "steps > 1"),
        ("all(steps + 1)", "all wants a condition", "steps + 1"),
        ("count(1) == 1", "count wants a condition or a column", "1)"),
        ("max('a') < 1", "max wants numbers, and this is text", "'a'"),
        ("abs(steps) < 1", "put it into an aggregate", "steps"),
        ("abs(max(steps) where steps == 1) < 1", "belong to an aggregate", "abs"),
        ("mean(min(steps)) < 1", "inside another aggregate it needs groups", "min"),
        ("min(steps by seed) < 1", "put it into another aggregate", "min"),
        ("mean(min(steps by seed) - steps) < 1", "a column needs one as well", "steps)"),
        ("mean(min(a by seed) - min(a by model)) < 1", "the same columns after `by`", "mean"),
        ("max(max(max(a by b) by c)) < 1", "aggregates go two deep", "max(a by b)"),
        ("mean(min(a by 3)) < 1", "`by` wants columns", "3"),
        ("2.5.1 < max(a)", "no number is written so", "2"),
        ("1e999 < max(a)", "larger than any number", "1e999"),
        ("", "the text ends", ""),
    ],
)
def test_what_is_no_claim_is_refused_at_its_place(text, what, place):
    error = refused(text)
    assert what in error.what
    # The place is that of the last occurrence, since the texts above are written so.
    assert error.position == (text.rindex(place) if place else len(text))
    line, mark = str(error).splitlines()[-2:]
    assert line == f"    {text}" and mark == " " * (4 + error.position) + "^"


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('touch hacked') == 0",
        "max(__import__('os')) < 1",
        "max(steps).__class__ == 1",
        "max(steps.__class__.__mro__[1]) < 1",
        "max((lambda: 1)()) < 1",
        "max([x for x in ().__class__.__mro__]) < 1",
        "max(steps where open('/etc/passwd')) < 1",
        "eval('1') < max(steps)",
        "max(f'{steps}') < 1",
        "max(steps) < 1; import os",
        "(x := max(steps)) < 1",
        "max(*steps) < 1",
        "max(steps, key=len) < 1",
        "max(steps) < 1 if True else 2",
        "`id` < max(steps)",
        "max(steps) < \\\n1",
        "max(steps)\x00 < 1",
        "not " * 20_000 + "all(x)",
        "(" * 5_000 + "max(x)" + ")" * 5_000 + " < 1",
        "-" * 5_000 + "max(x) < 1",
        "max(x) < 2" + " ** 2" * 3_000,
        "max(x) < 1" + " + 1" * 3_000,
    ],
    ids=lambda text: text[:30],
)
def test_nothing_can_be_smuggled_in(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ExpressionError):
        read_claim(text)
    assert not list(tmp_path.iterdir())


def test_the_readers_import_nothing_that_could_run_a_text():
    """Otherwise a claim of a suite that somebody sends could do what its author likes."""
    from odebench.plan import claim_text, expression, expression_parser
    from odebench.report import chosen, claims, rows

    for module in (claim_text, expression, expression_parser, rows, chosen, claims):
        tree = ast.parse(Path(module.__file__).read_text())
        called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        assert not {"eval", "exec", "compile", "__import__"} & called, module.__name__
        assert not {name for name in called if name.endswith((".eval", ".query"))}, module.__name__


def test_precedence_is_that_of_arithmetic():
    def value(node):
        match node:
            case Constant():
                return node.value
            case Call():
                return {"abs": abs}[node.name](value(node.arguments[0]))
            case _ if hasattr(node, "operand"):
                return -value(node.operand)
        left, right = value(node.left), value(node.right)
        operations = {"+": left + right, "-": left - right, "*": left * right}
        if node.operator == "**":
            return left**right
        return left / right if node.operator == "/" else operations[node.operator]

    for text in (
        "1 + 2 * 3 - 4",
        "-2 ** 2",
        "2 ** 3 ** 2",
        "8 / 4 / 2",
        "2 ** -1",
        "-(3 - 5) * +2",
        "abs(1 - 3) - -1",
        "--3",
    ):
        assert value(parse_expression(text)) == eval(text), text


def test_a_piece_knows_where_it_stands():
    text = "mean( model.width  where solver == 'a' ) / (1 + 2) > 1"
    that = read_claim(text).that
    pieces = {node.of(text) for node in walk(that)}
    assert {"mean( model.width where solver == 'a' )", "model.width", "(1 + 2)", "solver == 'a'"} <= pieces


def test_names_hold_dots_and_texts_hold_anything():
    node = read_condition("trained.model.data != 'where (by) \\'and\\' 1 < 2'")
    assert [part.name for part in walk(node) if isinstance(part, Column)] == ["trained.model.data"]
    assert [part.value for part in walk(node) if isinstance(part, Constant)] == ["where (by) 'and' 1 < 2"]


def test_long_and_broken_lines_are_cut_around_the_fault():
    text = "max(a) < 1 and " * 20 + "meen(a) < 1"
    line, mark = pointed(text, text.index("meen")).splitlines()
    assert len(line) < 110 and line[mark.index("^") :].startswith("meen")
    assert pointed("max(a)\n  > meen(b)\n  where c", 11).splitlines() == ["      > meen(b)", "        ^"]


def test_no_mangled_claim_ends_in_anything_but_a_fault_in_words():
    dice = random.Random(3)
    text = "mean(min(accuracy_change by seed where solver == 'rk4') where trained.steps in (2, 4)) >= -0.02 where model.width != None"
    read_claim(text)
    for _ in range(3000):
        at, until = sorted(dice.randrange(len(text) + 1) for _ in range(2))
        piece = dice.choice(
            ["", dice.choice(string.printable), dice.choice([*AGGREGATES, *FUNCTIONS]) + "(", " not ", "by "]
        )
        try:
            read_claim(text[:at] + piece + text[until if dice.random() < 0.5 else at :])
        except ExpressionError as error:
            assert 0 <= error.position <= len(error.text)


SUITE = """schema = 1
[suite]
name = "trial"
plugins = ["gone.py"]
[[claim]]
name = "first"
that = "max(error_final) < 1"
allow = ["diverged"]
[[claim]]
name = "second"
that = "min(steps) > 1"
"""


def test_claims_are_read_from_a_suite_whose_plugins_are_gone():
    assert [(one.name, one.allow) for one in claims_of(SUITE, "run.json")] == [("first", ("diverged",)), ("second", ())]
    overridden = claims_of(SUITE, "run.json", ['claim[1].that="min(steps) > 2"', "budget.repeats=3"])
    assert overridden[1].that == "min(steps) > 2"
    assert claims_of("schema = 1", "run.json") == ()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("min(steps) > 1", "min(steps >", "run.json: `claim[1].that`: the text ends"),
        ('that = "min', 'this = "min', "run.json: `claim[1].this` is not a key of a suite"),
        ("schema", "[schema", "run.json: the suite in it is not TOML"),
    ],
)
def test_claims_that_cannot_be_read_are_told_with_their_place(old, new, words):
    with pytest.raises(SuiteError) as error:
        claims_of(SUITE.replace(old, new), "run.json")
    assert words in str(error.value)
