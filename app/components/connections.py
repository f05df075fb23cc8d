"""Signed kernels beside the pictures of the units that they come from or go to."""

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from app.components import read_source
from circuits.pictures.kernels import ANCHORS

_CONNECTIONS = st.components.v2.component(
    "featviz.connections",
    html='<div class="connections"></div>',
    css=read_source("connections.css"),
    js=read_source("visit.js", "connections.js"),
)


@dataclass(frozen=True)
class Link:
    """A unit with the kernel that connects it.

    Attributes:
        name: Of the unit.
        address: URL of its page; empty where it has none.
        source: URL of its picture; empty where there is none.
        kernel: Rows of weights, -1..1.
        caption: Below it.
        text: For those who do not see it.
    """

    name: str
    address: str
    source: str
    kernel: tuple[tuple[float, ...], ...]
    caption: str
    text: str


def connections(links: Sequence[Link], *, key: str) -> None:
    """Show links, strongest first; red excites, blue inhibits, as in all pictures of circuits."""
    _CONNECTIONS(
        key=key,
        data={
            "anchors": [[place, list(color)] for place, color in ANCHORS],
            "links": [
                {
                    "name": link.name,
                    "address": link.address,
                    "source": link.source,
                    "kernel": [list(row) for row in link.kernel],
                    "caption": link.caption,
                    "text": link.text,
                }
                for link in links
            ],
        },
    )
