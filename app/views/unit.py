"""Unit: everything that is known of one unit, and ways on to others."""

from collections.abc import Callable

import streamlit as st

from app.components.pager import pager
from app.components.ways import Way, ways
from app.frame import opened
from app.links import Place, address, beside
from app.panels.examples import show_examples
from app.panels.images import show_images, show_metrics
from app.panels.neighbours import show_neighbours
from app.panels.record import show_record
from app.panels.tuning import show_tuning
from app.panels.weights import show_weights
from app.plain import as_text
from featviz.atlas import Atlas, ImageEntry

_Part = Callable[[Atlas, Place, ImageEntry], None]
_PARTS: tuple[tuple[str, _Part], ...] = (
    ("Photographs", lambda atlas, place, _: show_examples(atlas, place)),
    ("Weights", lambda atlas, place, _: show_weights(atlas, place)),
    ("Tuning", lambda _, place, __: show_tuning(place)),
    ("Nearest", lambda atlas, place, _: show_neighbours(atlas, place)),
    ("Numbers", lambda atlas, _, entry: show_metrics(atlas, entry)),
    ("Record", lambda atlas, _, entry: show_record(atlas, entry)),
)


def _turn_pages(atlas: Atlas, place: Place) -> None:
    """Offer the neighbours of the unit; the arrow keys do the same."""
    channels = atlas.channels(place.model, place.site)
    at = channels.index(place.channel or 0)
    name, pages = st.columns([3, 2], vertical_alignment="bottom")
    name.header(as_text(place.unit))
    with pages:
        pager(_link(place, channels, at - 1), _link(place, channels, at + 1), key="pager")


def _link(place: Place, channels: list[int], at: int) -> tuple[str, str]:
    if not 0 <= at < len(channels):
        return "", ""
    where = Place(place.atlas, place.model, place.site, channels[at])
    return where.unit, beside(where)


with opened() as (atlas, place):
    if place.channel is None:
        site = place.site or atlas.sites(place.model)[0]
        place = Place(place.atlas, place.model, site, atlas.channels(place.model, site)[0])
    if place.channel not in atlas.channels(place.model, place.site):
        st.header(as_text(place.unit))
        st.info("This unit has no image in this atlas.", icon=":material/image_not_supported:")
    else:
        _turn_pages(atlas, place)
        entry = show_images(atlas, place)
        on = [
            Way("What it is built from", address("circuit", place.query())),
            Way("Render it anew", address("render", place.query())),
        ]
        ways(on, key="on", label="ways on")
        names = [name for name, _ in _PARTS]
        for tab, (_, show) in zip(
            st.tabs(names, key="part", bind="query-params"), _PARTS, strict=True
        ):
            if tab.open:
                with tab:
                    show(atlas, place, entry)
