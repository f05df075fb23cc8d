"""A grid of thousands of small pictures that are made as they scroll into view."""

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from app.components import read_source

_GRID = st.components.v2.component(
    "featviz.grid",
    html='<div class="grid" role="list" aria-label="pictures"></div>',
    css=read_source("grid.css"),
    js=read_source("visit.js", "listen.js", "grid.js"),
)
SIDES = {"small": 64, "medium": 96, "large": 144, "huge": 240}
"""Side of a picture by density, px."""


@dataclass(frozen=True)
class Tile:
    """One picture of a grid.

    Attributes:
        id: What it is, such as `fire4:141`.
        source: URL of the picture.
        address: URL that it leads to; empty: it is only shown.
        caption: Below it.
        text: For those who do not see it.
        faint: Whether it is of no use, as the image of a dead unit.
    """

    id: str
    source: str
    address: str
    caption: str
    text: str
    faint: bool = False


def grid(tiles: Sequence[Tile], *, key: str, density: str = "medium", current: str = "") -> None:
    """Show tiles; a click or Enter goes to the address of one.

    Args:
        tiles: In order.
        key: Of the component on its page.
        density: One of `SIDES`.
        current: Id of the tile that is marked.
    """
    _GRID(
        key=key,
        data={
            "name": key,
            "tiles": [[t.id, t.source, t.address, t.caption, t.text, int(t.faint)] for t in tiles],
            "side": SIDES[density],
            "current": current,
        },
    )
