"""What is on top of every page about an atlas: where one is, and a box to jump elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import streamlit as st

from app.components.jump import jump
from app.components.menu import lead_menu
from app.components.ways import Way, ways
from app.library import LIBRARY
from app.links import Place, address, read_choice, read_place, told_plainly
from featviz.atlas.reading import Atlas


@contextmanager
def opened() -> Iterator[tuple[Atlas, Place]]:
    """Open the atlas of the URL, show the way to its place, and give both.

    Whatever is wrong with the link or the atlas is told as a message.
    """
    with told_plainly():
        names = list(LIBRARY.roots)
        name = read_choice("atlas", names, LIBRARY.first)
        with LIBRARY.atlas(name) as atlas:
            place = read_place(atlas, name)
            _show_way(place, atlas.sites(place.model))
            lead_menu(_same_elsewhere(place))
            yield atlas, place


def _same_elsewhere(place: Place) -> dict[str, str]:
    """Return where the menu leads from a place: to the same network, and unit if there is one."""
    network = Place(place.atlas, place.model)
    unit = network if place.channel is None else place
    found = {
        "model": address("model", network.query()),
        "circuit": address("circuit", unit.query()),
    }
    if place.channel is not None:
        found["compare"] = address("compare", {"items": f"{place.model}/{place.unit}"})
        found["render"] = address("render", place.query())
    return found


def _show_way(place: Place, sites: list[str]) -> None:
    """Show the network, the site and the unit as links, and the box to jump."""
    steps = [("model", Place(place.atlas, place.model), place.model)]
    if place.site:
        steps.append(("site", Place(place.atlas, place.model, place.site), place.site))
    if place.channel is not None:
        steps.append(("unit", place, place.unit))
    way, box = st.columns([3, 1], vertical_alignment="center")
    links = [Way(words, address(page, where.query())) for page, where, words in steps]
    with way:
        ways([*links[:-1], replace(links[-1], current=True)], key="way", label="where you are")
    with box:
        jump(place, sites, key="jump")
