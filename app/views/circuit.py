"""Circuit: what a unit is built from, what happens without a part of it, and whether it is true."""

from typing import Any

import streamlit as st

from app.checks import CHECKS
from app.circuit_graphs import SCORES, Options, checking, circuit, thinned, with_pictures
from app.components.circuit import circuit_drawing
from app.frame import opened
from app.links import Place, forget, longest, read_choice, read_number, read_text
from app.networks import list_here
from app.panels.circuit_parts import show_downloads, show_part, show_silenced
from app.plain import as_text
from circuits.expansion.gates import GATES
from circuits.graphs import check_report as report
from circuits.graphs.check import CircuitCheck
from circuits.graphs.draw import graph_to_svg
from circuits.graphs.graph import CircuitGraph
from featviz.atlas.reading import Atlas
from featviz.errors import ModelError

_DEFAULTS = Options()
_KEPT = ("depth", "keep", "width", "score", "gates", "least", "families", "focus", "pins", "off",
         "random", "verify")  # fmt: skip
_EVERY_S = 0.5
_RANGES = {"depth": (1, 5), "keep": (1, 20), "width": (1, 40)}


def _choose() -> tuple[Options, float, str]:
    """Show how a circuit can be built; each choice stands in the URL."""
    read_choice("score", SCORES, SCORES[0])
    read_choice("gates", GATES, _DEFAULTS.gates)
    numbers: dict[str, Any] = {}
    # A check takes long: of another circuit it waits until it is asked for.
    anew: dict[str, Any] = {"on_change": forget, "args": ("verify",)}
    columns = st.columns([2, 2, 2, 3, 3, 3], vertical_alignment="bottom")
    for column, (name, (least, most)) in zip(columns, _RANGES.items(), strict=False):
        default = getattr(_DEFAULTS, name)
        read_number(name, least, most, default)
        numbers[name] = column.number_input(
            name.capitalize(), least, most, default, key=name, bind="query-params", **anew
        )
    score = columns[3].selectbox("Score", SCORES, key="score", bind="query-params", **anew)
    gates = columns[4].selectbox("Gates", GATES, key="gates", bind="query-params", **anew)
    read_number("least", 0, 100, 0)
    least = columns[5].slider(
        "Least edge, %", 0, 100, 0, key="least", bind="query-params",
        help="As a share of the strongest edge into the same unit.",
    )  # fmt: skip
    read_text("families")
    families = st.text_input(
        "Families",
        max_chars=longest("families"),
        key="families",
        bind="query-params",
        placeholder="NAME=SITE:CHANNELS; ...  units that are drawn and silenced as one",
    )
    return Options(**numbers, score=score, gates=gates), least / 100, families


def _names(parameter: str) -> tuple[str, ...]:
    return tuple(filter(None, read_text(parameter).split("|")))


def _pictures(atlas: Atlas, place: Place, graph: CircuitGraph) -> dict[str, bytes]:
    """Return the small picture of each unit of the graph that the atlas has."""
    found = {}
    there = set(atlas.sites(place.model))
    for node in graph.nodes:
        if node.is_family or node.site not in there:
            continue
        entries = atlas.images(
            place.model, node.site, channel=node.units[0], variant="positive", limit=1
        )
        if entries and (path := atlas.thumb_path(entries[0])).is_file():
            found[node.id] = path.read_bytes()
    return found


def _why(ended: str, options: Options) -> str:
    """Say why a circuit ends, and what can be done about it here."""
    said = f"The circuit ends here: {ended}."
    if options.score != SCORES[0]:
        return said
    return f"{said} This page shows arcs and lines alone; choose another Score above."


def _show_check(place: Place, options: Options) -> None:
    """Offer the check of the whole circuit, and show what it says while the link asks for it."""
    st.subheader(report.TITLE)
    nodes = len(circuit(place.model, place.unit, options, "").nodes)
    st.caption(
        "Silences all other units of these sites and says how far the unit stays itself, beside as "
        "many units at random and circuits of networks without learnt order. Checked is the whole "
        f"circuit of {nodes} nodes, whatever Least edge, pins and families leave of it above: "
        "chance is another circuit that was built in the same way."
    )
    asked = read_text("verify") == "1"
    check = CHECKS.ended(_key(place, options)) if asked else None
    if check is None:
        _offer_check(place, options, asked=asked)
    elif check.found is None:
        st.warning(as_text(check.error), icon=":material/rule:")
    else:
        _show_found(check.found)


def _offer_check(place: Place, options: Options, *, asked: bool) -> None:
    """Show the button, and where it was pressed how far the check is; it ends if all have left."""
    button, words = st.columns([1, 5], vertical_alignment="center")
    # One button under one key: of two, Streamlit would show the first until the run has ended.
    button.button(
        "Stop" if asked else "Verify",
        key="check",
        icon=":material/stop_circle:" if asked else ":material/fact_check:",
        type="secondary" if asked else "primary",
        width="stretch",
        on_click=forget if asked else st.query_params.update,
        args=("verify",) if asked else ({"verify": "1"},),
    )
    if asked:
        with words:
            st.fragment(_watch, run_every=_EVERY_S)(place, options)


def _watch(place: Place, options: Options) -> None:
    """Show how far the check is; once it has ended, the page shows what it found."""
    check = CHECKS.look(_key(place, options), checking(place.model, place.unit, options))
    if check.ended:
        st.rerun()
    far = f"Checking the circuit ... {check.share:.0%}"
    st.progress(check.share, "Waiting for another check to end ..." if check.waiting else far)


def _key(place: Place, options: Options) -> tuple[str, str, Options]:
    return place.model, place.unit, options


def _show_found(found: CircuitCheck) -> None:
    """Show what a check says."""
    st.markdown(f"**{as_text(report.check_headline(found))}**")
    for heads, rows in (
        (report.HEADS, report.check_rows(found)),
        (report.SCORE_HEADS, report.score_rows(found)),
    ):
        if rows:
            st.table([dict(zip(heads, row, strict=True)) for row in rows], border="horizontal")
    for line in report.check_verdicts(found):
        st.markdown(f"- {as_text(line)}")
    st.caption(as_text(report.check_text(found)))
    with st.expander("What the words mean"):
        for name, text in report.check_terms(found):
            st.markdown(f"**{name}**: {text}")


with opened() as (atlas, place):
    if place.channel is None:
        st.info(
            "A circuit is that of a unit: open one from a site, or write SITE:CHANNEL into the box "
            "above and choose Circuit there.",
            icon=":material/hub:",
        )
        st.stop()
    if place.model not in list_here():
        raise ModelError(
            f"the network {place.model!r} is not on this machine, so it has no circuits"
        )
    st.header(f"What {as_text(place.unit)} is built from")
    options, least, families = _choose()
    whole = circuit(place.model, place.unit, options, families)
    focus, pins, off = read_text("focus"), _names("pins"), _names("off")
    shown = thinned(whole, least, pins)
    shown = with_pictures(shown, _pictures(atlas, place, shown))
    query = {**place.query(), **{k: v for k, v in st.query_params.items() if k in _KEPT}}
    drawing, side = st.columns([3, 1])
    with drawing:
        circuit_drawing(
            graph_to_svg(shown), key="circuit", query=query, focus=focus, pinned=pins, off=off
        )
        st.caption(
            f"{len(shown.nodes)} of {len(whole.nodes)} nodes, {len(shown.edges)} of "
            f"{len(whole.edges)} edges. Click: details. Shift and click, or P: pin. Delete: "
            "silence. Drag: move. Ctrl and wheel: zoom."
        )
        if ended := whole.meta.get("ended"):
            st.info(as_text(_why(ended, options)), icon=":material/block:")
        for line in whole.meta.get("approximated", "").splitlines():
            st.caption(as_text(line))
    with side:
        show_part(shown, place, focus, query, pins, off)
        show_silenced(place, options, families, off, query)
    show_downloads(shown, place)
    if whole.edges:
        _show_check(place, options)
