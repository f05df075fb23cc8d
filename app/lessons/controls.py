"""What is moved in a lesson; each choice stands in the URL under its name.

A link with a value that a control does not have is told as a message (see links.py).
"""

from collections.abc import Sequence

import streamlit as st

from app.links import read_choice, read_number
from featviz.errors import RecordError


def choose(name: str, label: str, options: Sequence[str], *, default: str | None = None) -> str:
    """Show a choice of a few words and return the one chosen.

    Args:
        name: In the URL, and key of the widget.
        label: Above it.
        options: The words, as shown and as in the URL.
        default: Which at first; None: the first one.

    Raises:
        RecordError: If the link names none of them.
    """
    first = options[0] if default is None else default
    read_choice(name, options, first)
    found = st.segmented_control(
        label, list(options), default=first, required=True, key=name, bind="query-params"
    )
    return str(found)


def slide(name: str, label: str, least: int, most: int, *, default: int, step: int = 1) -> int:
    """Show a slider of whole numbers and return its number.

    Args:
        name: In the URL, and key of the widget.
        label: Above it, with the unit.
        least: At the left.
        most: At the right.
        default: At first.
        step: Between two places.

    Raises:
        RecordError: If the link has no whole number in the range, or one between two places.
    """
    found = read_number(name, least, most, default)
    if (found - least) % step:
        raise RecordError(
            f"the link has {name}={str(found)!r}; it must be one of {least}, {least + step}, "
            f"{least + 2 * step} and so on, up to {most}"
        )
    return int(st.slider(label, least, most, default, step, key=name, bind="query-params"))


def slide_over(name: str, label: str, places: Sequence[int], *, default: int) -> int:
    """Show a slider over some numbers and return the one chosen.

    Args:
        name: In the URL, and key of the widget.
        label: Above it, with the unit.
        places: The numbers, ascending.
        default: At first.

    Raises:
        RecordError: If the link has none of them.
    """
    read_choice(name, [str(place) for place in places], str(default))
    return int(st.select_slider(label, list(places), default, key=name, bind="query-params"))


def switch(name: str, label: str) -> bool:
    """Show a switch, off at first, and return whether it is on.

    Args:
        name: In the URL, and key of the widget.
        label: Beside it.

    Raises:
        RecordError: If the link says neither true nor false.
    """
    read_choice(name, ["true", "false"], "false")
    return bool(st.toggle(label, key=name, bind="query-params"))
