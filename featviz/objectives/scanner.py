"""The characters of an objective text, and errors that point at them."""

import re
from typing import NoReturn

from featviz.errors import InputError, ObjectiveError

_SPACE = re.compile(r"\s*")
_LETTER = r"[^\s()\[\]*+,\"'=/-]"
_QUOTED = re.compile(r"\"((?:[^\"\\]|\\.)*)\"|'((?:[^'\\]|\\.)*)'", re.DOTALL)
_SHOWN = 50  # characters before and after the place, so that the line fits a terminal

WORD = re.compile(rf"(?:@\d+,\d+|{_LETTER}|[-/]+(?={_LETTER}))+")
"""A unit or a name, with the - and / that belong to it; see expression.py."""


class Scanner:
    """A place in a text.

    Args:
        text: Stays as it is.

    Attributes:
        text: The text.
        at: Index of the next character.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def skip(self) -> int:
        """Go past spaces and return the place."""
        match = _SPACE.match(self.text, self.at)
        self.at = match.end() if match else self.at
        return self.at

    def peek(self) -> str:
        """Return the next character that is no space; empty at the end."""
        return self.text[self.skip() : self.at + 1]

    def take(self, characters: str) -> str:
        """Go past the next character if it is one of these, and return it; else nothing."""
        found = self.peek()
        if not found or found not in characters:
            return ""
        self.at += 1
        return found

    def quoted(self) -> str | None:
        """Go past a text in quotes and return what is in them; None if none is next."""
        if self.peek() not in {'"', "'"}:
            return None
        match = _QUOTED.match(self.text, self.at)
        if match is None:
            self.fail("the quote is not closed", self.at)
        self.at = match.end()
        inner = match[1] if match[1] is not None else match[2]
        return re.sub(r"\\(.)", r"\1", inner, flags=re.DOTALL)

    def spaces_hint(self) -> str:
        """Return what to do where a name seems to go on after a space."""
        return "; a name with spaces stands in quotes" if WORD.match(self.text, self.at) else ""

    def expected(self, what: str) -> NoReturn:
        """Raise an error that says what should come next."""
        found = repr(self.peek()) if self.peek() else "the end"
        self.fail(f"expected {what}; found {found}", self.at)

    def fail(self, message: str, at: int, kind: type[InputError] = ObjectiveError) -> NoReturn:
        """Raise an error that shows the text with a caret under the place."""
        first = max(0, at - _SHOWN)
        shown = self.text[first : at + _SHOWN]
        before, after = "..." * (first > 0), "..." * (at + _SHOWN < len(self.text))
        line = "".join(c if c.isprintable() else " " for c in shown)
        caret = " " * (len(before) + at - first) + "^"
        raise kind(f"{message}\n  {before}{line}{after}\n  {caret}")
