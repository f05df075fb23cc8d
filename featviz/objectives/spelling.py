"""How labels write words and numbers, so that texts read them back."""

import re
from collections.abc import Iterable

import numpy as np

from featviz.units import Position

ARGUMENT_WORD = re.compile(r"(?:@\d+,\d+|[^\s,()\[\]\"'=])+")
"""An argument of a call that needs no quotes; see expression.py."""


def shortest(value: float) -> str:
    """Return the shortest text that reads back as the same number."""
    short = f"{value + 0.0:g}"  # + 0.0, so that minus zero is written 0
    return short if float(short) == value else repr(float(value))


def argument(word: str) -> str:
    """Return a word as an argument of a call takes it: in quotes where it must be."""
    if ARGUMENT_WORD.fullmatch(word):
        return word
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def numbers(values: Iterable[float]) -> str:
    """Return numbers as a list that reads back as the same float32 values: `[1, -0.5]`."""
    written = (np.float32(value) for value in values)
    return f"[{', '.join(str(value + np.float32(0)).removesuffix('.0') for value in written)}]"


def place(position: Position | None) -> str:
    """Return the argument that names a position, with its comma; nothing for none."""
    if position is None:
        return ""
    where = position if isinstance(position, str) else f"[{position[0]}, {position[1]}]"
    return f", position={where}"
