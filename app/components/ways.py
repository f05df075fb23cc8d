"""Links side by side, within the app: each is an entry in the browser's history."""

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from app.components import read_source

_WAYS = st.components.v2.component(
    "featviz.ways",
    html='<nav class="ways"></nav>',
    css=read_source("ways.css"),
    js=read_source("visit.js", "ways.js"),
)


@dataclass(frozen=True)
class Way:
    """One link.

    Attributes:
        words: What it says; without an address, plain text.
        address: URL that it leads to.
        current: Whether it leads to where one is.
    """

    words: str
    address: str = ""
    current: bool = False


def ways(links: Sequence[Way], *, key: str, label: str, apart: bool = False) -> None:
    """Show links side by side; a click or Enter goes to the address of one.

    Args:
        links: From left to right.
        key: Of the component on its page.
        label: What they are, for those who do not see them.
        apart: Whether they fill the row, the first at the left, the last at the right.
    """
    _WAYS(
        key=key,
        data={
            "links": [[link.words, link.address, link.current] for link in links],
            "label": label,
            "apart": apart,
        },
    )
