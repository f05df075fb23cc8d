"""Unit: everything that is known of one unit, and ways on to others."""

from collections.abc import Callable

import streamlit as st

from app.components.pager import pager
from app.components.ways import Way, ways
from app.frame import opened
from app.links import Place, address, beside, read_text
from app.panels.examples import show_examples
from app.panels.images import show_images, show_metrics, show_render
from app.panels.neighbours import show_neighbours
from app.panels.record import show_record
from app.panels.tuning import show_tuning
from app.panels.weights import show_weights
from app.plain import as_text
from featviz.atlas import Atlas, ImageEntry
from featviz.errors import RecordError

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


def _show_alone(atlas: Atlas, place: Place, key: str) -> None:
    """Show an image of a sum, a direction or a path, which is of no unit.

    Raises:
        RecordError: If the network has no such image in the atlas.
    """
    entry = atlas.image(key)
    if entry.model != place.model:
        raise RecordError(f"the image {key!r} is of the network {entry.model!r}")
    st.header(as_text(entry.unit))
    show_render(atlas, place, entry)
    show_metrics(atlas, entry)
    show_record(atlas, entry)


def _show_no_unit(site: Place) -> None:
    """Say that a site has no images of units, and lead to those that it has."""
    st.info("No unit of this site has an image in this atlas.", icon=":material/grid_view:")
    ways([Way("What there is of it", address("site", site.query()))], key="on", label="ways on")


with opened() as (atlas, place):
    key = read_text("image")
    if place.channel is None and not key:
        site = place.site or atlas.sites(place.model)[0]
        place = Place(place.atlas, place.model, site)
        if channels := atlas.channels(place.model, site):
            place = Place(place.atlas, place.model, site, channels[0])
    if key:
        _show_alone(atlas, place, key)
    elif place.channel is None:
        _show_no_unit(place)
    elif place.channel not in atlas.channels(place.model, place.site):
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
