"""Unit: everything that is known of one unit, and ways on to others."""

from collections.abc import Callable, Mapping

import streamlit as st

from app.components.pager import pager
from app.components.ways import Way, ways
from app.frame import opened
from app.links import Place, address, beside, read_text
from app.networks import list_here, sites_of
from app.panels.examples import show_examples
from app.panels.images import show_images, show_metrics, show_render
from app.panels.neighbours import show_neighbours
from app.panels.record import show_record
from app.panels.tuning import show_tuning
from app.panels.weights import show_weights
from app.plain import as_text
from featviz.atlas import Atlas, ImageEntry
from featviz.errors import RecordError

_PARTS: Mapping[str, Callable[[Atlas, Place], None]] = {
    "Photographs": show_examples,
    "Weights": show_weights,
    "Tuning": lambda _, place: show_tuning(place),
    "Nearest": show_neighbours,
}
_PARTS_OF_AN_IMAGE: Mapping[str, Callable[[Atlas, ImageEntry], None]] = {
    "Numbers": show_metrics,
    "Record": show_record,
}


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


def _check_channel(place: Place, channel: int) -> None:
    """Refuse a channel that the network does not have, as far as that is known here.

    Raises:
        RecordError: If it does not.
    """
    if place.model not in list_here():
        return
    sites = {site.name: site.channels for site in sites_of(place.model)}
    count = sites.get(place.site, channel + 1)
    if channel >= count:
        raise RecordError(
            f"{place.site} of {place.model} has the channels 0 to {count - 1}, no {channel}"
        )


def _show_unit(atlas: Atlas, place: Place, channel: int) -> None:
    """Show what is known of a unit, with an image of it or without."""
    entry = None
    if channel in atlas.channels(place.model, place.site):
        _turn_pages(atlas, place)
        entry = show_images(atlas, place)
    else:
        _check_channel(place, channel)
        st.header(as_text(place.unit))
        st.info("This unit has no image in this atlas.", icon=":material/image_not_supported:")
    on = [
        Way("What it is built from", address("circuit", place.query())),
        Way("Render it anew" if entry else "Render it", address("render", place.query())),
    ]
    ways(on, key="on", label="ways on")
    names = [*_PARTS, *(_PARTS_OF_AN_IMAGE if entry else ())]
    for name, tab in zip(names, st.tabs(names, key="part", bind="query-params"), strict=True):
        if not tab.open:
            continue
        with tab:
            if name in _PARTS:
                _PARTS[name](atlas, place)
            elif entry:
                _PARTS_OF_AN_IMAGE[name](atlas, entry)


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
    else:
        _show_unit(atlas, place, place.channel)
