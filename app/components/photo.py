"""A photograph with a heat map over it, of which a position can be chosen."""

from collections.abc import Mapping
from dataclasses import dataclass

import streamlit as st

from app.components import read_source

_PHOTO = st.components.v2.component(
    "featviz.photo",
    html='<div class="photo" role="group" aria-label="photograph; arrow keys and Enter choose a '
    'position"><img><img class="heat" alt=""><div class="spot" hidden></div></div>'
    '<label><input type="checkbox" checked> heat map <span class="hint"></span></label>',
    css=read_source("photo.css"),
    js=read_source("visit.js", "photo.js"),
)


@dataclass(frozen=True)
class Places:
    """The positions of a map on a photograph.

    Attributes:
        rows: Positions from top to bottom.
        columns: Positions from left to right.
        first_px: Middle of the first one, y and x in pixels.
        step_px: From one to the next.
    """

    rows: int
    columns: int
    first_px: tuple[float, float]
    step_px: tuple[float, float]


def photo(
    picture: str,
    heat: str,
    *,
    text: str,
    size: tuple[int, int],
    places: Places,
    at: tuple[int, int] | None,
    query: Mapping[str, str],
    key: str,
) -> None:
    """Show a photograph; a click leads to the page about the position clicked at.

    Args:
        picture: Data URL.
        heat: Data URL of what lies over it; empty: nothing.
        text: For those who do not see it.
        size: Height and width in pixels.
        places: Positions that can be chosen.
        at: The one that is.
        query: Of the page, to which the position is added.
        key: Of the component on its page.
    """
    _PHOTO(
        key=key,
        data={
            "photo": picture,
            "heat": heat,
            "text": text,
            "size": list(size),
            "places": {
                "rows": places.rows,
                "columns": places.columns,
                "y0": places.first_px[0],
                "x0": places.first_px[1],
                "dy": places.step_px[0],
                "dx": places.step_px[1],
            },
            "at": None if at is None else list(at),
            "query": dict(query),
        },
    )
