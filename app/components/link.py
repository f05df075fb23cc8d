"""A link to a page of the app.

`st.page_link` drops from the query what a widget of the page that one leaves is bound to: a link
from a page with a box for `unit` loses its `unit`.
"""

import streamlit as st

from app.components import read_source

_LINK = st.components.v2.component(
    "featviz.link",
    html="<a></a>",
    css=read_source("link.css"),
    js=read_source("visit.js", "link.js"),
)


def link(label: str, address: str, *, key: str) -> None:
    """Show a link.

    Args:
        label: Its text.
        address: From `links.address`.
        key: Of the component on its page.
    """
    _LINK(key=key, data={"label": label, "address": address})
