"""A circuit that can be walked: nodes to choose and pin, edges to choose, zoom and pan."""

from collections.abc import Mapping, Sequence

import streamlit as st

from app.components import read_source

_CIRCUIT = st.components.v2.component(
    "featviz.circuit",
    html='<div class="tools"><button type="button" data-do="in" aria-label="zoom in">+</button>'
    '<button type="button" data-do="out" aria-label="zoom out">\u2212</button>'
    '<button type="button" data-do="whole">Whole</button>'
    '<button type="button" data-do="full">Full screen</button></div><div class="stage"></div>',
    css=read_source("circuit.css"),
    js=read_source("visit.js", "circuit.js"),
)


def circuit_drawing(
    svg: str,
    *,
    key: str,
    query: Mapping[str, str],
    focus: str,
    pinned: Sequence[str],
    off: Sequence[str],
) -> None:
    """Show a circuit; what is chosen in it goes into the URL.

    Click or Enter on a node or an edge: `focus`. Shift and click on a node, or P: `pins`. Del: in
    or out of `off`.

    Args:
        svg: Of `graph_to_svg`.
        key: Of the component on its page.
        query: Of the URL of what is shown now.
        focus: Id of a node, or `SOURCE>TARGET` of an edge, that is marked; may be empty.
        pinned: Ids of nodes that stay whatever the threshold.
        off: Nodes and edges that are silenced.
    """
    _CIRCUIT(
        key=key,
        data={
            "svg": svg,
            "query": dict(query),
            "focus": focus,
            "pins": list(pinned),
            "off": list(off),
        },
    )
