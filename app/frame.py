"""What is on top of every page about an atlas: where one is, and a box to jump elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from app.components.jump import jump
from app.library import LIBRARY
from app.links import Place, read_choice, read_place, told_plainly
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
            yield atlas, place


def _show_way(place: Place, sites: list[str]) -> None:
    """Show the network, the site and the unit as links, and the box to jump."""
    steps = [("model", Place(place.atlas, place.model), place.model)]
    if place.site:
        steps.append(("site", Place(place.atlas, place.model, place.site), place.site))
    if place.channel is not None:
        steps.append(("unit", place, place.unit))
    way, box = st.columns([3, 1], vertical_alignment="center")
    with way, st.container(horizontal=True, gap="small", vertical_alignment="center"):
        for number, (page, where, words) in enumerate(steps):
            if number:
                st.markdown(":gray[/]", width="content")
            st.page_link(
                f"views/{page}.py", label=words, query_params=where.query(), width="content"
            )
    with box:
        jump(place, sites, key="jump")
