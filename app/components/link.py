"""A link to a page of the app that keeps its address, whatever the page left has in the URL.

With `st.page_link` the path may stay that of the page one leaves, where widgets of that page are
bound to the URL. Names that those are bound to must not be among those of the link.
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
