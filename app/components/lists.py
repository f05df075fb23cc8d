"""Named lists that this browser keeps, each a link; the server never sees them."""

import streamlit as st

from app.components import read_source

_LISTS = st.components.v2.component(
    "featviz.lists",
    html='<form><input type="text" maxlength="60" aria-label="name of the list" '
    'placeholder="Name"><button type="submit">Save this list</button></form>'
    '<p role="alert" hidden>This browser lets pages keep nothing; copy the link instead.</p>'
    "<ul></ul>",
    css=read_source("lists.css"),
    js=read_source("visit.js", "lists.js"),
)


def lists(address: str, *, key: str) -> None:
    """Show the lists that were saved, and offer to save one.

    Args:
        address: URL of what is shown now; empty where there is nothing to save.
        key: Of the component on its page.
    """
    _LISTS(key=key, data={"address": address})
