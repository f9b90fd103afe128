"""The language that chooses events: `type == error and src == 1.2.1 and tick >= 30`.

    expression  all | any of: `or` `||`, `and` `&&`, `not` `!`, parentheses; the empty expression chooses all events
    comparison  FIELD == VALUE, != < <= > >=;  FIELD in (VALUE, …), not in;  FIELD & MASK == VALUE; or a flag: `dropped`
    value       as the field has it (`fields.py`); "in quotes" if it contains blanks

`and` binds closer than `or`. An expression becomes a function from a trace to a mask of its events.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn

import numpy as np

from spinn2emu.errors import ConfigError
from spinn2emu.trace.file import Trace
from spinn2host.traces.fields import FIELDS, FLAGS, ORDER, Field, Mask, Number, nearest

MAX_DEPTH = 50
"""Parentheses and negations within each other."""

Evaluate = Callable[[Trace], Mask]

_TOKEN = re.compile(
    r"""(?P<operator>==|!=|<=|>=|&&|\|\||[<>!&(),])|(?P<word>[\w.@+-]+)|"(?P<quoted>[^"]*)"|'(?P<single>[^']*)'"""
)
_SYNONYMS = {"&&": "and", "||": "or", "!": "not"}
_KEYWORDS = {"and", "or", "not", "in"}
_COMPARISONS = ("==", "!=", *ORDER)
_POSSIBLE_FIELDS = f"fields: {', '.join([*FIELDS, *FLAGS])}"


class Token(NamedTuple):
    """`kind`: operator (also of letters: and, or, not, in), word, or end; `position`: of its first character."""

    kind: str
    text: str
    position: int


@dataclass(frozen=True)
class Expression:
    """A parsed expression; called with a trace, it gives the mask of the events that it chooses, (n,).

    Raises ConfigError then if it names a type, port or phase that the trace does not have.
    """

    text: str
    evaluate: Evaluate

    def __call__(self, trace: Trace) -> Mask:
        return self.evaluate(trace)


def parse(text: str) -> Expression:
    """Raises ConfigError with the place in the text and what is possible there; fields: text, position."""
    return Expression(text, _Parser(text).parse())


def select(trace: Trace, text: str) -> Trace:
    """The trace with the events that the expression chooses. Raises ConfigError as `parse`."""
    if not text.strip():
        return trace
    return trace.choose(parse(text)(trace), text.strip())


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = self._split()
        self._at = 0
        self._depth = 0

    # --- tokens ---

    def _split(self) -> list[Token]:
        tokens, position = [], 0
        while position < len(self._text):
            if self._text[position].isspace():
                position += 1
                continue
            match = _TOKEN.match(self._text, position)
            if match is None:
                self._refuse(position, *_what_is_wrong(self._text[position]))
            kind = match.lastgroup or ""
            word = _SYNONYMS.get(match[kind], match[kind]) if kind == "operator" else match[kind]
            is_operator = kind == "operator" or (kind == "word" and word.lower() in _KEYWORDS)
            tokens.append(Token("operator", word.lower(), position) if is_operator else Token("word", word, position))
            position = match.end()
        return [*tokens, Token("end", "", len(self._text))]

    @property
    def _next(self) -> Token:
        return self._tokens[self._at]

    def _take(self) -> Token:
        token = self._next
        self._at += token.kind != "end"
        return token

    def _accept(self, operator: str) -> bool:
        found = self._next.kind == "operator" and self._next.text == operator
        self._at += found
        return found

    def _refuse(self, position: int, message: str, possible: str = "") -> NoReturn:
        shown = re.sub(r"\s", " ", self._text)
        lines = [
            f"{message}, at character {position + 1} of the expression:",
            f"  {shown}",
            "  " + " " * position + "^",
        ]
        raise ConfigError("\n".join([*lines, *([possible] if possible else [])]), text=self._text, position=position)

    def _refuse_value(self, token: Token, field: str, error: ValueError) -> NoReturn:
        message, _, possible = str(error).partition("\n")
        self._refuse(token.position, f"{field}: {message}", possible)

    # --- grammar ---

    def parse(self) -> Evaluate:
        if self._next.kind == "end":
            return lambda trace: np.ones(len(trace.events), np.bool_)
        result = self._or()
        if self._next.kind != "end":
            self._refuse(self._next.position, f"{self._next.text!r} does not fit here", "possible: and, or, the end")
        return result

    def _or(self) -> Evaluate:
        terms = [self._and()]
        while self._accept("or"):
            terms.append(self._and())
        return _join(np.logical_or, terms)

    def _and(self) -> Evaluate:
        terms = [self._not()]
        while self._accept("and"):
            terms.append(self._not())
        return _join(np.logical_and, terms)

    def _not(self) -> Evaluate:
        begin = self._next
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self._refuse(begin.position, f"more than {MAX_DEPTH} parentheses and negations within each other")
        if self._accept("not"):
            inner = self._not()
            result: Evaluate = lambda trace: ~inner(trace)  # noqa: E731
        elif self._accept("("):
            result = self._or()
            if not self._accept(")"):
                opened = f"the parenthesis of character {begin.position + 1} is not closed"
                self._refuse(self._next.position, opened, "possible: and, or, )")
        else:
            result = self._comparison()
        self._depth -= 1
        return result

    def _comparison(self) -> Evaluate:
        token = self._take()
        name = token.text.lower()
        if token.kind == "word" and name in FLAGS:
            if self._next.text in (*_COMPARISONS, "&", "in"):
                self._refuse(
                    self._next.position, f"{name} is true or false and stands alone", f"possible: {name}, not {name}"
                )
            return FLAGS[name]
        if token.kind != "word":
            what = f"{token.text!r} does not fit here" if token.text else "something is missing"
            self._refuse(token.position, what, f"possible: not, ( or a field\n{_POSSIBLE_FIELDS}")
        if name not in FIELDS:
            suggestion = nearest(name, [*FIELDS, *FLAGS])
            self._refuse(token.position, f"there is no field {token.text!r}{suggestion}", _POSSIBLE_FIELDS)
        return self._compare(name, FIELDS[name])

    def _compare(self, name: str, field: Field) -> Evaluate:
        mask = self._mask(name, field) if self._accept("&") else {}
        operator = self._take()
        if operator.kind == "operator" and operator.text in ORDER:
            if not field.ordered:
                self._refuse(operator.position, f"{name} has no order", "possible: ==, !=, in, not in")
            value, token = self._value(name, field)
            return self._guard(name, token, lambda trace: field.order(trace, operator.text, value, **mask))
        if operator.kind == "operator" and operator.text in ("==", "!="):
            tests = [self._equal(name, field, mask)]
        elif operator.kind == "operator" and (operator.text == "in" or (operator.text == "not" and self._accept("in"))):
            tests = self._list(name, field, mask)
        else:
            many = "" if mask else ", in, not in"
            extra = ", &" if isinstance(field, Number) and field.bits32 and not mask else ""
            what = f"{operator.text!r} does not compare {name}" if operator.text else f"{name} is compared with nothing"
            self._refuse(operator.position, what, f"possible: {', '.join(_COMPARISONS)}{many}{extra}")
        either = _join(np.logical_or, tests)
        if operator.text in ("==", "in"):
            return either
        return lambda trace: field.present(trace) & ~either(trace)

    def _mask(self, name: str, field: Field) -> dict[str, int]:
        token = self._take()
        if not isinstance(field, Number) or not field.bits32:
            self._refuse(token.position, f"{name} has no mask", "possible: key & MASK, word0 & MASK to word3 & MASK")
        try:
            number = int(token.text, 0)
        except ValueError:
            number = -1
        if not 0 <= number < 1 << 32:
            self._refuse(token.position, f"{token.text!r} is no mask", "possible: a number of 32 bits, as 0xF0000000")
        return {"mask": number}

    def _value(self, name: str, field: Field) -> tuple[Any, Token]:
        token = self._take()
        if token.kind != "word":
            what = f"{token.text!r} is no value" if token.text else "a value is missing"
            self._refuse(token.position, what, f"{name}: {field.about}")
        try:
            return field.parse(token.text), token
        except ValueError as error:
            self._refuse_value(token, name, error)

    def _equal(self, name: str, field: Field, mask: dict[str, int]) -> Evaluate:
        value, token = self._value(name, field)
        return self._guard(name, token, lambda trace: field.equal(trace, value, **mask))

    def _list(self, name: str, field: Field, mask: dict[str, int]) -> list[Evaluate]:
        if not self._accept("("):
            self._refuse(self._next.position, "a list is missing", "possible: (VALUE, VALUE, …)")
        tests = [self._equal(name, field, mask)]
        while self._accept(","):
            tests.append(self._equal(name, field, mask))
        if not self._accept(")"):
            self._refuse(self._next.position, "the list is not closed", "possible: a comma, )")
        return tests

    def _guard(self, name: str, token: Token, evaluate: Evaluate) -> Evaluate:
        """With the place of the value where the trace refuses it."""

        def guarded(trace: Trace) -> Mask:
            try:
                return evaluate(trace)
            except ValueError as error:
                self._refuse_value(token, name, error)

        return guarded


def _join(operation: Any, terms: list[Evaluate]) -> Evaluate:
    if len(terms) == 1:
        return terms[0]

    def joined(trace: Trace) -> Mask:
        result = terms[0](trace)
        for term in terms[1:]:
            result = operation(result, term(trace))
        return result

    return joined


def _what_is_wrong(character: str) -> tuple[str, str]:
    if character == "=":
        return "'=' alone does not compare", "possible: =="
    if character == "|":
        return "'|' alone joins nothing", "possible: ||, or"
    if character in "\"'":
        return "the quote is not closed", ""
    return f"{character!r} does not belong to the language", ""
