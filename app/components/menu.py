"""What the menu on top leads to: the same network and unit on another page."""

from collections.abc import Mapping

import streamlit as st

from app.components import read_source

_MENU = st.components.v2.component(
    "featviz.menu", js=read_source("visit.js", "listen.js", "menu.js")
)


def lead_menu(addresses: Mapping[str, str], *, key: str) -> None:
    """Let entries of the menu lead to addresses.

    Args:
        addresses: URL by name of the page; others lead to bare pages.
        key: Of the component on its page.
    """
    _MENU(key=key, data={"addresses": dict(addresses)})
