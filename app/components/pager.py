"""Links to the previous and the next of something; the arrow keys follow them."""

import streamlit as st

from app.components import read_source

_PAGER = st.components.v2.component(
    "featviz.pager",
    html='<nav><a class="previous" rel="prev"></a><a class="next" rel="next"></a></nav>',
    css=read_source("pager.css"),
    js=read_source("visit.js", "listen.js", "pager.js"),
)


def pager(previous: tuple[str, str], following: tuple[str, str], *, key: str) -> None:
    """Show both links.

    Args:
        previous: Name and URL of what comes before; empty where there is none.
        following: Of what comes after.
        key: Of the component on its page.
    """
    _PAGER(key=key, data={"previous": list(previous), "next": list(following)})
