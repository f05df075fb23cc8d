"""Which units a unit reads, and which read it."""

import streamlit as st

from app.components.connections import Link, connections
from app.library import unit_thumb
from app.links import Place, beside, read_choice
from app.networks import list_here
from app.plain import as_text
from app.weights import GATES, Connections, inputs_of, neighbour_sites, outputs_of, weights_between
from featviz.atlas.reading import Atlas
from featviz.errors import CircuitError

_COUNT = 10


def show_weights(atlas: Atlas, place: Place) -> None:
    """Show the strongest inputs and outputs of a unit as signed kernels; a click walks there."""
    if place.model not in list_here() or place.channel is None:
        st.info("The network is not on this machine, so its weights cannot be shown.")
        return
    read_choice("gates", GATES, GATES[0])
    gates = st.segmented_control(
        "What activation functions between two sites let through",
        GATES,
        default=GATES[0],
        key="gates",
        bind="query-params",
        help="No choice is the truth; 'featviz circuit expand' says how far they agree.",
    )
    before, after = neighbour_sites(place.model, place.site)
    for head, sites, inward in (("Reads", before, True), ("Is read by", after, False)):
        for site in sites:
            st.markdown(f"**{head} {as_text(site)}**")
            ends = (site, place.site) if inward else (place.site, site)
            try:
                weights = weights_between(place.model, *ends, gates or GATES[0])
            except CircuitError as error:
                st.info(as_text(str(error)))
                continue
            pick = inputs_of if inward else outputs_of
            found = pick(weights, place.channel, count=_COUNT)
            if not found.items:
                st.caption("nothing: all weights are zero")
                continue
            connections(_links(atlas, place, found), key=f"{head} {site}")
            notes = "; ".join((f"strongest colour = {found.largest:.3g}", *found.notes))
            st.caption(f"red excites, blue inhibits; {as_text(notes)}")
        if not sites:
            nothing = "It reads the image." if inward else "No site that is listed reads it."
            st.caption(nothing)


def _links(atlas: Atlas, place: Place, found: Connections) -> list[Link]:
    there = found.site in atlas.sites(place.model)
    links = []
    for item in found.items:
        where = Place(place.atlas, place.model, found.site, item.channel)
        source = ""
        if there:
            source = unit_thumb(place.atlas, atlas, place.model, found.site, item.channel)
        links.append(
            Link(
                name=where.unit,
                address=beside(where) if there else "",
                source=source,
                kernel=item.kernel,
                caption=f"{item.strength:.3g}, sum {item.total:+.3g}",
                text=f"{where.unit}: strength {item.strength:.3g}, sum {item.total:+.3g}",
            )
        )
    return links
