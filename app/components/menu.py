"""What the menu on top leads to: the same network and unit on another page."""

from collections.abc import Mapping

import streamlit as st

from app.components import read_source

_MENU = st.components.v2.component(
    "featviz.menu", js=read_source("visit.js", "listen.js", "menu.js")
)


def lead_menu(addresses: Mapping[str, str] | None = None) -> None:
    """Let entries of the menu lead to addresses; to be called once on each page.

    Args:
        addresses: URL by name of the page; others lead to bare pages.
    """
    _MENU(key="menu", data={"addresses": dict(addresses or {})})
