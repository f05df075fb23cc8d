"""The names that users type for units: `SITE:CHANNEL`, sets of them, and positions.

fire4:128          one channel
fire4:0-15,40      a set; ranges include both ends
fire4:*            all channels
fire4:17@7,9       one position of it (y, x)

Inside an expression (objectives/expression.py) a unit with an unusual site name stands in quotes.
"""

import re
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from featviz.errors import UnitError

Position: TypeAlias = tuple[int, int] | Literal["center"]

# Python refuses to read numbers of thousands of digits; nobody has a channel of more than 18.
_RANGE = re.compile(r"(\d{1,18})(?:-(\d{1,18}))?\Z")
_POSITION = re.compile(r"(\d{1,18}),(\d{1,18})\Z")

# What a number may end at. A slash does not end one before a slice: `0/0:4:2` is a unit.
NUMBER = re.compile(
    r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?(?=[\s()\[\]*+,/-]|\Z)(?!/[0-9]*:[0-9]*:)"
)
_LETTER = r"[^\s()\[\]*+,\"'=@:/-]"
_PLAIN = re.compile(
    rf"{_LETTER}(?:{_LETTER}|[-/]+(?={_LETTER}))*(?:/\d*:\d*)?:\d{{1,18}}(?:@(?:center|\d+,\d+))?\Z"
)


def quoted(text: str) -> str:
    """Return the text of one unit as an expression takes it: in quotes where it must be.

    Args:
        text: Of a `Unit`.
    """
    if _PLAIN.match(text) and not NUMBER.match(text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


@dataclass(frozen=True)
class Unit:
    """One channel of one site, everywhere or at one position.

    Attributes:
        site: Site name.
        channel: Index from 0.
        position: (y, x) on the activation map, or its centre; None for the whole map.
    """

    site: str
    channel: int
    position: Position | None = None

    def __str__(self) -> str:
        """Return the text that `parse_units` reads back."""
        if self.position is None:
            return f"{self.site}:{self.channel}"
        where = "center" if self.position == "center" else ",".join(map(str, self.position))
        return f"{self.site}:{self.channel}@{where}"


@dataclass(frozen=True)
class UnitSet:
    """Units as they were typed, before the number of channels is known.

    Attributes:
        text: What was typed.
        site: Site name.
        spans: First and last channel of each range; None for all channels.
        position: Of each unit.
    """

    text: str
    site: str
    spans: tuple[tuple[int, int], ...] | None
    position: Position | None = None

    def expand(self, channels: int) -> list[Unit]:
        """Return the units in the order typed, each once.

        Args:
            channels: Number of channels of the site.

        Raises:
            UnitError: If a channel is out of range.
        """
        spans = ((0, channels - 1),) if self.spans is None else self.spans
        for _, last in spans:
            if last >= channels:
                raise UnitError(
                    f"channel {last} is out of range in {self.text!r}: {self.site!r} has "
                    f"{channels} channels, 0 to {channels - 1}"
                )
        indices = dict.fromkeys(i for first, last in spans for i in range(first, last + 1))
        return [Unit(self.site, i, self.position) for i in indices]


def parse_units(text: str) -> UnitSet:
    """Read `SITE:CHANNELS[@Y,X]`, as in the module docstring.

    Args:
        text: The site may hold colons itself: it ends at the last one.

    Raises:
        UnitError: If the text is malformed or names no channel, or it is no text.
    """
    if not isinstance(text, str):
        raise UnitError(
            f"units are named by one text, such as 'fire4:128' or 'fire4:0-15,40', got {text!r} "
            f"({type(text).__name__})"
        )
    site, colon, rest = text.strip().rpartition(":")
    if not colon or not site:
        raise UnitError(
            f"{text!r} names no unit; write SITE:CHANNEL, for example 'fire4:128', "
            "'fire4:0-15,40', 'fire4:*' or 'fire4:17@7,9'"
        )
    channels, at, where = rest.partition("@")
    position = _position(where, text) if at else None
    unset = UnitSet(text, site, None, position)
    return unset if channels == "*" else replace(unset, spans=_spans(channels, text))


def _position(where: str, text: str) -> Position:
    if where == "center":
        return "center"
    match = _POSITION.match(where)
    if match is None:
        raise UnitError(
            f"bad position '@{where}' in {text!r}; write @Y,X, for example @7,9, or @center"
        )
    return int(match[1]), int(match[2])


def _spans(channels: str, text: str) -> tuple[tuple[int, int], ...]:
    if not channels.strip():
        raise UnitError(f"{text!r} is an empty unit set; write a channel, a range or * after ':'")
    spans = []
    for item in channels.split(","):
        match = _RANGE.match(item.strip())
        if match is None:
            raise UnitError(
                f"bad channel {item.strip()!r} in {text!r}; write numbers from 0, ranges such as "
                "0-15, or *"
            )
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise UnitError(f"range {item.strip()!r} in {text!r} is empty; write {last}-{first}")
        spans.append((first, last))
    return tuple(spans)
