"""Links that look like buttons and change the URL of the page that they stand on.

`st.page_link` to the page one is on runs it anew and leaves the address bar as it was.
"""

from collections.abc import Sequence

import streamlit as st

from app.components import read_source

_ACTIONS = st.components.v2.component(
    "featviz.actions",
    html="<nav></nav>",
    css=read_source("pager.css"),
    js=read_source("visit.js", "actions.js"),
)


def actions(links: Sequence[tuple[str, str]], *, key: str) -> None:
    """Show links.

    Args:
        links: Words and URL of each.
        key: Of the component on its page.
    """
    _ACTIONS(key=key, data={"links": [list(link) for link in links]})
