"""Beside a circuit: the chosen node or edge, what is silenced, and the files."""

import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import streamlit as st

from app.circuit_graphs import Options, silence
from app.components.connections import Link, connections
from app.components.ways import Way, ways
from app.links import Place, address, longest
from app.plain import as_text
from circuits.graphs.draw import graph_to_svg
from circuits.graphs.draw_png import graph_picture
from circuits.graphs.graph import CircuitGraph, Edge
from circuits.graphs.page import write_graph_page
from featviz.errors import FeatvizError
from featviz.images import png_bytes

_DRAWS = 39


def show_part(
    graph: CircuitGraph,
    place: Place,
    focus: str,
    query: Mapping[str, str],
    pins: Sequence[str],
    off: Sequence[str],
) -> None:
    """Show the node or edge that was chosen, with what can be done to it."""
    ids = {node.id for node in graph.nodes}
    edges = {f"{edge.source}>{edge.target}": edge for edge in graph.edges}
    if focus in edges:
        edge = edges[focus]
        st.markdown(f"**{as_text(edge.source)} → {as_text(edge.target)}**")
        _cards([(edge.source, edge)], query, "edge")
    elif focus in ids:
        node = graph.node(focus)
        st.markdown(f"**{as_text(node.id)}** {as_text(node.label)}")
        if not node.is_family:
            where = Place(place.atlas, place.model, node.site, node.units[0])
            ways([Way("Its page", address("unit", where.query()))], key="its page", label="unit")
        for head, found, end in (
            ("Reads", graph.inputs(focus), "source"),
            ("Is read by", graph.outputs(focus), "target"),
        ):
            if found:
                st.caption(head)
                _cards([(getattr(edge, end), edge) for edge in found], query, head)
    else:
        st.caption("Choose a unit or an edge to see its weights and to silence it.")
        return
    toggles = [_toggle("Silence", "Sound again", "off", focus, off, query)]
    if focus in ids:
        toggles.append(_toggle("Pin", "Unpin", "pins", focus, pins, query))
    ways(toggles, key="toggles", label="what to do with it")


def _toggle(
    words: str, back: str, name: str, focus: str, now: Sequence[str], query: Mapping[str, str]
) -> Way:
    """Return the link of what puts a part into a list, or takes it out."""
    inside = focus in now
    names = [one for one in now if one != focus] if inside else [*now, focus]
    text = "|".join(names)
    if not inside and len(text) > longest(name):
        return Way(f"{words}: no more fit into a link")
    changed = {**query, name: text}
    query = {key: value for key, value in changed.items() if value}
    return Way(back if inside else words, address("circuit", query))


def _cards(found: Sequence[tuple[str, Edge]], query: Mapping[str, str], key: str) -> None:
    links = []
    for name, edge in found:
        scale = edge.color_scale
        kernel = tuple(tuple(value / scale for value in row) for row in edge.kernel or ((0.0,),))
        text = f"{edge.score_name} {edge.weight:+.3g}"
        links.append(
            Link(
                name=name,
                address=address("circuit", {**query, "focus": name}),
                source="",
                kernel=kernel,
                caption=text,
                text=f"{edge.source} to {edge.target}, {text}",
            )
        )
    connections(links, key=f"cards {key}")


def show_silenced(
    place: Place, options: Options, families: str, off: tuple[str, ...], query: Mapping[str, str]
) -> None:
    """Show what is left of the unit without the parts that are silenced."""
    if not off:
        return
    st.divider()
    st.markdown(f"**Silenced**: {as_text(', '.join(off))}")
    compared = st.toggle("Compare with random edits", key="random", bind="query-params")
    try:
        with st.spinner("Running the network without them ..."):
            found = silence(
                place.model, place.unit, options, families, off, _DRAWS if compared else 0
            )
    except FeatvizError as error:
        st.warning(as_text(str(error)), icon=":material/volume_off:")
        return
    if found is None:
        st.caption("None of them is in this circuit, so nothing changes.")
        return
    st.metric(
        f"left of {as_text(place.unit)}",
        "-" if math.isnan(found.left) else f"{found.left:.0%}",
        help="Mean activation over arcs and lines, as a share of that of the whole network.",
    )
    alike = found.effect.correlation
    st.caption(
        "It answers alike to all of them, so there is no correlation."
        if math.isnan(alike)
        else f"correlation with the whole network {alike:.2f}"
    )
    if found.chance is not None:
        before = found.effect.mean_before or 1.0
        st.caption(
            f"{found.chance.draws} random edits of the same size leave "
            f"{found.chance.mean / before:.0%} ({found.chance.low / before:.0%} to "
            f"{found.chance.high / before:.0%}); p = {found.chance.p_value:.3f}"
        )
    rest = {key: value for key, value in query.items() if key != "off"}
    ways([Way("All sound again", address("circuit", rest))], key="all sound", label="undo")


def show_downloads(graph: CircuitGraph, place: Place) -> None:
    """Offer files of exactly what is shown."""
    name = f"circuit-{place.unit.replace(':', '_').replace('/', '_')}"
    with st.container(horizontal=True):
        st.download_button("SVG", lambda: graph_to_svg(graph), f"{name}.svg", on_click="ignore")
        st.download_button(
            "PNG", lambda: png_bytes(graph_picture(graph)), f"{name}.png", on_click="ignore"
        )
        st.download_button("JSON", graph.to_json, f"{name}.json", on_click="ignore")
        st.download_button(
            "Interactive page", lambda: _page(graph), f"{name}.html", on_click="ignore"
        )


def _page(graph: CircuitGraph) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "circuit.html"
        write_graph_page(path, graph)
        return path.read_bytes()
