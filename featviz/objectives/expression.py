"""Objectives as text: `fire4:5 - 0.5*fire4:9`, `(fire4:5 + fire4:6) / 2`, `channel(fire4, 5) * 2`.

    text     = sum
    sum      = product { ("+" | "-") product }
    product  = { "+" | "-" } factor { ("*" | "/") { "+" | "-" } factor }
    factor   = NUMBER | UNIT | QUOTED | "(" sum ")" | NAME "(" [ argument { "," argument } ] ")"
    argument = [ NAME "=" ] ( WORD | QUOTED | "[" [ item { "," item } ] "]" | sum )

A leading sign covers the product after it: `-a:1 * b:2` is `-(a:1 * b:2)`. UNIT is exactly one
channel, `SITE:CHANNEL[@Y,X]` or `SITE:CHANNEL@center`. An argument is a `sum` where the function
takes an objective, else a word, such as the name of a file; see calls.py.

Names of sites hold `-` and `/` too. What is arithmetic is decided thus:

- `+` and `*` always are.
- `-` and `/` with a letter or digit (or `:`) close on both sides belong to the name: `conv-1:5`,
  `mixed4a/0:8:3`. Space or a parenthesis on one side is enough for arithmetic: `a:5 -b:6`.
- After a number they are arithmetic: `2-a:5`, `1/a:5`, but for a slice: `0/0:4:2` is a unit.
- A unit whose site is named otherwise stands in quotes, `"my conv*:3"`; a backslash in them takes
  the next character as it is.

A text that is one unit or set of units as a whole, such as `fire4:0-15` or `-fire4:5`, is no
expression but means what units.py and `units_to_objectives` say. So `-fire4:5` alone minimises
before the ReLU, while in an expression, `(-fire4:5)` too, a minus is the literal one.
"""

import math
import re
from typing import NamedTuple

from featviz.errors import InputError, UnitError, did_you_mean
from featviz.objectives.base import Objective, Sum
from featviz.objectives.calls import (
    TEXT_FUNCTIONS,
    Given,
    TextFunction,
    describe,
    read_argument,
    read_unit,
)
from featviz.objectives.scanner import WORD, Scanner
from featviz.objectives.spelling import ARGUMENT_WORD
from featviz.objectives.unit import Channel, Neuron, units_to_objectives
from featviz.sites import SiteTable
from featviz.units import NUMBER

MAX_DEPTH = 50  # each level takes a few of Python's 1000 nested calls, in reading and in scoring

_KEYWORD = re.compile(r"([^\W\d]\w*)\s*=")
_UNITS = re.compile(r"(?:[^\s()\[\]*+\"',]|,\s*)*(?::\s*\*(?:@[^\s()\[\]*+\"']*)?)?\Z")
_NOT_ONE = "is not one unit; if - or / is meant as arithmetic, write spaces around it"


class _Term(NamedTuple):
    """A value, and a bound on how deep the parentheses of its label nest."""

    value: Objective | float
    depth: int = 0


def is_unit_text(text: str) -> bool:
    """Tell whether a text is one unit or set of units as a whole, and no expression.

    Args:
        text: As typed; it may be malformed in either way.
    """
    bare = text.strip().removeprefix("-").strip()
    return _UNITS.match(bare) is not None and (NUMBER.match(bare) is None or bare.isdecimal())


def text_to_objectives(text: str, table: SiteTable) -> list[Objective]:
    """Return the objectives of a text: one a unit of a set, or that of an expression.

    The sites of an expression are looked up later, in plan.py, with those of all objectives.

    Args:
        text: See the module docstring.
        table: The sites of the network.

    Raises:
        UnitError: If a unit is malformed, or one of a set out of range.
        SiteError: If the site of a set is unknown.
        ObjectiveError: If an expression is malformed.
    """
    if is_unit_text(text):
        site = text.rpartition(":")[0]
        if not _is_one_site(site) and re.search("[-/]", site):
            raise UnitError(f"{text!r} {_NOT_ONE}")
        return units_to_objectives(text, table)
    return [parse_expression(text)]


def _is_one_site(name: str) -> bool:
    """Tell whether a site holds no colon but that of a slice: `a:5-b` in `a:5-b:6` does."""
    return ":" not in re.sub(r"/\d*:\d*\Z", "", name)


def parse_expression(text: str) -> Objective:
    """Return the objective of an expression; its label reads back as an equal one.

    Nothing in the text is evaluated as Python. Only registered functions can be called.

    Args:
        text: See the module docstring. Sites are not looked up.

    Raises:
        UnitError: If a unit in it is malformed, or a set.
        ObjectiveError: If it is malformed, too deep, or a number too large.
    """
    return _Parser(text).parse()


class _Argument(NamedTuple):
    """The value of an argument, and a bound on how deep its label nests."""

    value: object
    depth: int


class _Parser(Scanner):
    """One pass over one text."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.open = 0

    def parse(self) -> Objective:
        """Return the objective of the whole text."""
        term = self._sum()
        if self.peek():
            self.expected("an operator (+ - * /)" + self.spaces_hint())
        if not isinstance(term.value, Objective):
            self.fail(f"{term.value:g} is a number; name a unit to maximise", 0)
        return term.value

    # ---- grammar ----

    def _sum(self) -> _Term:
        start = self.skip()
        value, depth = self._product()
        while operator := self.take("+-"):
            right = self._product()
            value = value + right.value if operator == "+" else value - right.value
            depth = max(depth, right.depth)
        self._check_finite(value, start)
        return _Term(value, depth)

    def _product(self) -> _Term:
        negative = self._sign()
        start = self.skip()
        left = self._factor()
        while operator := self.take("*/"):
            minus, at = self._sign(), self.skip()
            right = self._factor()
            if minus:
                right = _Term(-right.value, right.depth)
            left = self._combine(left, operator, right, at)
            self._check_finite(left.value, start)
        return _Term(-left.value, left.depth) if negative else left

    def _sign(self) -> bool:
        negative = False
        while sign := self.take("+-"):
            negative ^= sign == "-"
        return negative

    def _combine(self, left: _Term, operator: str, right: _Term, at: int) -> _Term:
        a, b, depth = left.value, right.value, max(left.depth, right.depth)
        if operator == "/" and not isinstance(b, Objective) and b == 0:
            self.fail("cannot divide by 0", at)
        if isinstance(b, Objective) and (isinstance(a, Objective) or operator == "/"):
            depth += (
                2  # the label puts both sides, and the whole if it has a weight, in parentheses
            )
            self._check_depth(depth, at)
        return _Term(a * b if operator == "*" else a / b, depth)

    def _factor(self) -> _Term:
        start = self.skip()
        if self.take("("):
            self._enter(start)
            inner = self._sum()
            self._close("an operator (+ - * /) or ')'")
            return inner
        if number := NUMBER.match(self.text, start):
            self.at = number.end()
            value = float(number[0])
            self._check_finite(value, start)
            return _Term(value)
        quoted = self.quoted()
        if quoted is not None:
            return self._unit(quoted, start)
        word = WORD.match(self.text, start)
        if word is None:
            self.expected("a unit such as 'fire4:5', a number, a function or '('")
        self.at = word.end()
        if self.peek() == "(" and ":" not in word[0]:
            return self._call(word[0], start)
        return self._unit(word[0], start)

    def _unit(self, text: str, at: int) -> _Term:
        quoted = self.text[at] in "\"'"
        if not quoted and text in TEXT_FUNCTIONS:
            self.fail(f"{text!r} is a function; write {TEXT_FUNCTIONS[text]}", at)
        if not quoted and text.endswith(":") and self.peek() == "*":
            text += "*"
        try:
            unit = read_unit(text)
        except UnitError as error:
            self.fail(error.args[0], at, UnitError)
        except ValueError as error:
            self.fail(
                f"{error}; in an expression write one channel, and spaces around - where it is "
                "meant as minus",
                at,
                UnitError,
            )
        if not quoted and not _is_one_site(unit.site):
            self.fail(f"{text!r} {_NOT_ONE}", at, UnitError)
        if unit.position is None:
            return _Term(Channel(unit.site, unit.channel))
        return _Term(Neuron(unit.site, unit.channel, unit.position))

    # ---- calls ----

    def _call(self, name: str, at: int) -> _Term:
        function = TEXT_FUNCTIONS.get(name)
        if function is None:
            known = ", ".join(sorted(TEXT_FUNCTIONS))
            self.fail(
                f"unknown function {name!r}{did_you_mean(name, TEXT_FUNCTIONS)} there are {known}",
                at,
            )
        self.take("(")
        self._enter(at)
        given: dict[str, object] = {}
        depth = 0
        while self.peek() != ")":
            key = self._parameter(function, given)
            term = self._argument(function, key)
            given[key], depth = term.value, max(depth, term.depth)
            if not self.take(","):
                break
        self._close("',' or ')'")
        missing = [key for key in function.parameters if key in function.required - given.keys()]
        if missing:
            self.fail(f"{name} needs {', '.join(missing)}; write {function}", at)
        self._check_depth(depth + 1, at)
        try:
            return _Term(function.factory(**given), depth + 1)
        except InputError as error:
            self.fail(error.args[0], at, type(error))

    def _parameter(self, function: TextFunction, given: dict[str, object]) -> str:
        start = self.skip()
        if keyword := _KEYWORD.match(self.text, start):
            key = keyword[1]
            self.at = keyword.end()
            if key not in function.parameters:
                near = did_you_mean(key, function.parameters)
                self.fail(f"{function.name} has no {key!r}{near} write {function}", start)
        else:
            names = list(function.parameters)
            count = len(given)
            if count >= function.positional or list(given) != names[:count]:
                self.fail(f"one argument too many, or one without a name; write {function}", start)
            key = names[count]
        if key in given:
            self.fail(f"{key!r} is given twice", start)
        return key

    def _argument(self, function: TextFunction, key: str) -> _Argument:
        kinds, start = function.parameters[key], self.skip()
        if Objective in kinds:
            term = self._sum()
            if isinstance(term.value, Objective) or float in kinds:
                return _Argument(term.value, term.depth)
            self.fail(f"{key!r} of {function.name} must be {describe(kinds)}", start)
        given = self._list() if self.take("[") else self._argument_word()
        try:
            return _Argument(read_argument(given, kinds), 0)
        except ValueError:
            said = f"{key!r} of {function.name} must be {describe(kinds)}; got {given!r}"
            self.fail(said, start)

    def _list(self) -> Given:
        words: list[str] = []
        while self.peek() != "]":
            word = self._argument_word()
            words.append(word + self._argument_word() if word.endswith(":") else word)
            if not self.take(","):
                break
        if not self.take("]"):
            self.expected("',' or ']'")
        return words

    def _argument_word(self) -> str:
        start = self.skip()
        quoted = self.quoted()
        if quoted is not None:
            return quoted
        word = ARGUMENT_WORD.match(self.text, start)
        if word is None:
            self.expected("an argument: a word, a number, or a text in quotes")
        self.at = word.end()
        return word[0]

    # ---- limits ----

    def _enter(self, at: int) -> None:
        self.open += 1
        self._check_depth(self.open, at)

    def _close(self, expected: str) -> None:
        if not self.take(")"):
            self.expected(expected + self.spaces_hint())
        self.open -= 1

    def _check_depth(self, depth: int, at: int) -> None:
        if depth > MAX_DEPTH:
            self.fail(f"this nests too deep: at most {MAX_DEPTH} levels are read", at)

    def _check_finite(self, value: Objective | float, at: int) -> None:
        numbers = [value] if not isinstance(value, Objective) else []
        if isinstance(value, Sum):
            numbers = [value.constant, *(k for k, _ in value.terms)]
        if not all(map(math.isfinite, numbers)):
            self.fail("a number is too large", at)
