"""Unit: everything that is known of one unit, and ways on to others."""

import streamlit as st

from app.components.pager import pager
from app.frame import opened
from app.links import Place, address
from app.panels.images import show_images, show_metrics
from app.panels.record import show_record
from app.panels.tuning import show_tuning
from app.panels.weights import show_weights
from featviz.atlas.reading import Atlas


def _turn_pages(atlas: Atlas, place: Place) -> None:
    """Offer the neighbours of the unit; the arrow keys do the same."""
    channels = atlas.channels(place.model, place.site)
    at = channels.index(place.channel or 0)
    name, pages = st.columns([3, 2], vertical_alignment="bottom")
    name.header(place.unit)
    with pages:
        pager(_link(place, channels, at - 1), _link(place, channels, at + 1), key="pager")


def _link(place: Place, channels: list[int], at: int) -> tuple[str, str]:
    if not 0 <= at < len(channels):
        return "", ""
    where = Place(place.atlas, place.model, place.site, channels[at])
    return where.unit, address("unit", where.query())


with opened() as (atlas, place):
    if place.channel is None:
        site = place.site or atlas.sites(place.model)[0]
        place = Place(place.atlas, place.model, site, atlas.channels(place.model, site)[0])
    if place.channel not in atlas.channels(place.model, place.site):
        st.header(place.unit)
        st.info("This unit has no image in this atlas.", icon=":material/image_not_supported:")
    else:
        _turn_pages(atlas, place)
        entry = show_images(atlas, place)
        st.page_link(
            "views/circuit.py",
            label="What it is built from",
            icon=":material/hub:",
            query_params=place.query(),
        )
        about, weights, stimuli, record = st.tabs(
            ["Numbers", "Weights", "Tuning", "Record"], key="part", bind="query-params"
        )
        if about.open:
            with about:
                show_metrics(atlas, entry)
        if weights.open:
            with weights:
                show_weights(atlas, place)
        if stimuli.open:
            with stimuli:
                show_tuning(place)
        if record.open:
            with record:
                show_record(atlas, entry)
