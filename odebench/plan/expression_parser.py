"""The little language of conditions and claims: text becomes a tree, or an error that points at the place. Nothing is ever run.

```
claim      = expression [ "where" expression ]
expression = and, or, not over comparisons (< <= > >= == != in, not in) over sums, products, powers and signs of
             numbers, texts in quotes, None, True, False, columns (`model.width`), brackets, lists, and calls
call       = name "(" [ expression { "," expression } ] [ "by" column { "," column } ] [ "where" expression ] ")"
```

What the names of calls mean is not known here: `claim_text` says which there are. Standard library only.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from odebench.plan.expression import (
    Arithmetic,
    Call,
    Choices,
    Column,
    Comparison,
    Constant,
    ExpressionError,
    Logic,
    Negative,
    Node,
)

#: Deeper nesting and longer texts than anyone reads; a tree of either stays far from the interpreter's own limit.
_DEEPEST, _LONGEST = 30, 400
_KEYWORDS = frozenset({"and", "or", "not", "in", "is", "by", "where"})
_CONSTANTS = {"None": None, "null": None, "True": True, "true": True, "False": False, "false": False}
_TOKEN = re.compile(
    r"""(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
      | (?P<name>[A-Za-z_]\w*(?:\.\w+)*)
      | (?P<text>'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*")
      | (?P<mark>\*\*|<=|>=|==|!=|[-+*/<>(),\[\]])""",
    re.VERBOSE,
)
_SLIPS = {"=": "to compare, write ==", "&": "write `and`", "|": "write `or`", "!": "write `not`, or != to compare",
          "'": "this text has no closing quote", '"': "this text has no closing quote", "^": "a power is written **",
          "%": "write 0.05 for 5 %", "{": "a list is written ( , ) or [ , ]"}  # fmt: skip


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    start: int
    end: int


def parse_expression(text: str) -> Node:
    """The tree of an expression.

    Raises:
        ExpressionError: it cannot be read.
    """
    parser = _Parser(text)
    node = parser.expression()
    parser.finish()
    return node


def parse_claim(text: str) -> tuple[Node, Node | None]:
    """The tree of a claim, and that of the condition at its end, if there is one.

    Raises:
        ExpressionError: it cannot be read.
    """
    parser = _Parser(text)
    node = parser.expression()
    where = parser.expression() if parser.take("where") else None
    parser.finish()
    return node, where


def _tokens(text: str) -> list[_Token]:
    found, place = [], 0
    while place < len(text):
        if text[place].isspace():
            place += 1
            continue
        match = _TOKEN.match(text, place)
        if match is None:
            strange = "no number is written so" if text[place].isdigit() else "it has no meaning here"
            hint = _SLIPS.get(text[place], strange)
            raise ExpressionError(f"{text[place]!r} cannot be read: {hint}.", text, place)
        kind, word = match.lastgroup or "", match[0]
        kind = "keyword" if kind == "name" and word in _KEYWORDS else kind
        found.append(_Token(kind, word, place, match.end()))
        if len(found) > _LONGEST:
            raise ExpressionError(f"This has over {_LONGEST} words: split it.", text, place)
        place = match.end()
    return [*found, _Token("end", "", len(text.rstrip()), len(text.rstrip()))]


class _Parser:
    """Recursive descent over the tokens of one text."""

    def __init__(self, text: str) -> None:
        self.text, self.tokens, self.place, self.depth = text, _tokens(text), 0, 0

    @property
    def next(self) -> _Token:
        return self.tokens[self.place]

    def take(self, *words: str) -> _Token | None:
        """The next token if it is one of the words, which are keywords and marks."""
        token = self.next
        if token.kind in ("keyword", "mark") and token.text in words:
            self.place += 1
            return token
        return None

    def need(self, word: str, to: str) -> _Token:
        token = self.take(word)
        if token is None:
            raise self.fault(f"expected {word!r} {to}")
        return token

    def fault(self, what: str) -> ExpressionError:
        token = self.next
        found = "the text ends" if token.kind == "end" else f"{token.text!r} stands here"
        return ExpressionError(f"{found}: {what}.", self.text, token.start)

    def finish(self) -> None:
        """Raise unless everything was read."""
        if self.next.kind != "end":
            raise self.fault("it does not continue what stands before it")

    def expression(self) -> Node:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise self.fault("this is nested too deeply")
        node = self._logic("or", lambda: self._logic("and", self._denial))
        self.depth -= 1
        return node

    def _logic(self, word: str, part: Callable[[], Node]) -> Node:
        operands = [part()]
        while self.take(word):
            operands.append(part())
        if len(operands) == 1:
            return operands[0]
        return Logic(start=operands[0].start, end=operands[-1].end, operator=word, operands=tuple(operands))

    def _denial(self) -> Node:
        denials = []
        while token := self.take("not"):
            denials.append(token)
        node = self._comparison()
        # Two denials are none.
        if len(denials) % 2 == 0:
            return node
        return Logic(start=denials[0].start, end=node.end, operator="not", operands=(node,))

    def _comparison(self) -> Node:
        operands, operators = [self._sum()], []
        while operator := self._operator():
            operators.append(operator)
            operands.append(self._sum())
        if not operators:
            return operands[0]
        if len(operators) > 1 and {"in", "not in"} & set(operators):
            raise ExpressionError("`in` is no part of a chain: use brackets, or `and`.", self.text, operands[0].start)
        ends = {"start": operands[0].start, "end": operands[-1].end}
        return Comparison(**ends, operators=tuple(operators), operands=tuple(operands))

    def _operator(self) -> str | None:
        if token := self.take("<", "<=", ">", ">=", "==", "!=", "in"):
            return token.text
        if self.take("is"):
            return "!=" if self.take("not") else "=="
        if self.take("not"):
            self.need("in", "after `not`")
            return "not in"
        return None

    def _sum(self) -> Node:
        node = self._product()
        while token := self.take("+", "-"):
            node = self._arithmetic(token.text, node, self._product())
        return node

    def _product(self) -> Node:
        node = self._signed()
        while token := self.take("*", "/"):
            node = self._arithmetic(token.text, node, self._signed())
        return node

    def _signed(self) -> Node:
        signs = []
        while token := self.take("-", "+"):
            signs.append(token)
        node = self._atom()
        if self.take("**"):
            self.depth += 1
            if self.depth > _DEEPEST:
                raise self.fault("this is nested too deeply")
            node = self._arithmetic("**", node, self._signed())
            self.depth -= 1
        if sum(token.text == "-" for token in signs) % 2 == 0:
            return node
        return Negative(start=signs[0].start, end=node.end, operand=node)

    @staticmethod
    def _arithmetic(operator: str, left: Node, right: Node) -> Node:
        return Arithmetic(start=left.start, end=right.end, operator=operator, left=left, right=right)

    def _atom(self) -> Node:
        token = self.next
        if opening := self.take("(", "["):
            return self._brackets(opening)
        if token.kind not in ("number", "text", "name"):
            raise self.fault("expected a number, a column, a text in quotes, an aggregate or a bracket")
        self.place += 1
        ends = {"start": token.start, "end": token.end}
        if token.kind == "number":
            return Constant(**ends, value=self._number(token))
        if token.kind == "text":
            return Constant(**ends, value=re.sub(r"\\(.)", r"\1", token.text[1:-1]))
        if token.text in _CONSTANTS:
            return Constant(**ends, value=_CONSTANTS[token.text])
        if self.take("("):
            return self._call(token)
        return Column(**ends, name=token.text)

    def _number(self, token: _Token) -> float:
        value = float(token.text)
        if math.isinf(value):
            raise ExpressionError(f"{token.text[:40]} is larger than any number here.", self.text, token.start)
        return int(token.text) if token.text.isdecimal() and value < 2.0**53 else value

    def _brackets(self, opening: _Token) -> Node:
        """What stands in brackets, or a list of several; square brackets always hold a list."""
        closing = ")" if opening.text == "(" else "]"
        items, is_list = [], closing == "]"
        while not (end := self.take(closing)):
            if items:
                if not self.take(","):
                    raise self.fault(f"expected {closing!r} to close the bracket")
                is_list = True
                if end := self.take(closing):
                    break
            items.append(self.expression())
        if is_list:
            return Choices(start=opening.start, end=end.end, items=tuple(items))
        if not items:
            raise ExpressionError("there is nothing in this bracket.", self.text, opening.start)
        return replace(items[0], start=opening.start, end=end.end)

    def _call(self, name: _Token) -> Node:
        arguments, by, where = [], [], None
        if self.next.text not in (")", "by", "where") or self.next.kind == "text":
            arguments.append(self.expression())
            while self.take(","):
                arguments.append(self.expression())
        if self.take("by"):
            by.append(self._column())
            while self.take(","):
                by.append(self._column())
        if self.take("where"):
            where = self.expression()
        closing = self.need(")", f"to close {name.text}(")
        ends = {"start": name.start, "end": closing.end}
        return Call(**ends, name=name.text, arguments=tuple(arguments), by=tuple(by), where=where)

    def _column(self) -> Column:
        token = self.next
        if token.kind != "name" or token.text in _CONSTANTS:
            raise self.fault("`by` wants columns")
        self.place += 1
        return Column(start=token.start, end=token.end, name=token.text)
