"""A network as a diagram of its sites, each a way in."""

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from app.components import read_source

_DIAGRAM = st.components.v2.component(
    "featviz.diagram",
    html='<ol class="sites"></ol>',
    css=read_source("diagram.css"),
    js=read_source("visit.js", "diagram.js"),
)


@dataclass(frozen=True)
class SiteBox:
    """One site of a diagram.

    Attributes:
        name: Of the site.
        address: URL of its page; empty where there is nothing to see.
        facts: Short facts, such as `256 channels`.
        share: Part of the units that have images, 0..1.
        sources: URLs of a few pictures.
        faint: Whether the atlas has nothing of it.
    """

    name: str
    address: str
    facts: tuple[str, ...]
    share: float
    sources: tuple[str, ...]
    faint: bool = False


def diagram(boxes: Sequence[SiteBox], *, key: str) -> None:
    """Show sites in the order of the network, first on top."""
    _DIAGRAM(
        key=key,
        data={
            "boxes": [
                {
                    "name": box.name,
                    "address": box.address,
                    "facts": list(box.facts),
                    "share": box.share,
                    "sources": list(box.sources),
                    "faint": box.faint,
                }
                for box in boxes
            ]
        },
    )
