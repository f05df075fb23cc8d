"""A drawing made by featviz or circuits, as SVG in the colours of the app's theme."""

import streamlit as st

from app.components import read_source

_DRAWING = st.components.v2.component(
    "featviz.drawing",
    html='<div class="drawing"></div>',
    css=read_source("drawing.css"),
    js=read_source("drawing.js"),
)


def drawing(svg: str, *, key: str, width_px: int = 288) -> None:
    """Show an SVG element.

    Args:
        svg: Made by this suite, with all text from elsewhere escaped.
        key: Of the component on its page.
        width_px: At most.
    """
    _DRAWING(key=key, data={"svg": svg, "width": width_px})
