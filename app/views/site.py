"""Site: all units of a site as a grid, sorted and filtered."""

import streamlit as st

from app.components.grid import SIDES, Tile, grid
from app.filters import parse_filter
from app.frame import opened
from app.library import picture_url
from app.links import Place, address, read_choice, read_text
from featviz.atlas.entries import ImageEntry
from featviz.atlas.reading import Atlas
from featviz.errors import ConfigError


def _choose(orders: list[str], variants: list[str]) -> tuple[str, bool, str, str, str]:
    """Show what can be chosen; each choice stands in the URL."""
    read_choice("sort", orders, orders[0])
    read_choice("variant", variants, variants[0])
    read_choice("size", list(SIDES), "medium")
    columns = st.columns([4, 4, 4, 7, 5], vertical_alignment="bottom")
    sort = columns[0].selectbox("Sort by", orders, key="sort", bind="query-params")
    variant = columns[1].selectbox("Image", variants, key="variant", bind="query-params")
    down = columns[2].toggle("Largest first", key="down", bind="query-params")
    size = columns[3].segmented_control(
        "Size", list(SIDES), default="medium", key="size", bind="query-params"
    )
    text = columns[4].text_input(
        "Filter", key="filter", bind="query-params", placeholder="100-140, score>20"
    )
    return sort, down, variant, size or "medium", text


def _tile(atlas: Atlas, place: Place, entry: ImageEntry, sort: str) -> Tile:
    where = Place(place.atlas, place.model, entry.site, entry.channel)
    number = entry.score if sort == "score" else entry.metrics.get(sort)
    value = "" if number is None else f" · {number:.3g}"
    return Tile(
        id=entry.unit,
        source=picture_url(place.atlas, atlas.layout.thumb(entry.key)),
        address=address("unit", where.query()),
        caption=f"{entry.channel}{value}",
        text=f"{entry.unit}, {entry.variant}" + (", never fired" if entry.dead else ""),
        faint=entry.dead,
    )


def _entries(
    atlas: Atlas, place: Place, variant: str, sort: str, down: bool, text: str
) -> list[ImageEntry]:
    """Return the images that pass the filter; a filter that is wrong is told and lets all pass."""
    metrics = ["score", *atlas.metrics()]
    try:
        wanted = parse_filter(text, metrics)
    except ConfigError as error:
        st.warning(str(error), icon=":material/filter_alt:")
        wanted = parse_filter("", metrics)
    found = atlas.images(
        place.model,
        place.site,
        variant=variant,
        sort=sort,
        descending=down,
        where=wanted.where(),
    )
    return [e for e in found if e.image == 0 and wanted.accepts(e.channel, e.label)]


with opened() as (atlas, place):
    site = place.site or atlas.sites(place.model)[0]
    place = Place(place.atlas, place.model, site, place.channel)
    counts = atlas.counts(place.model, site)
    st.header(site)
    variants = atlas.variants(place.model, site)
    orders = ["channel", "score", "seconds", *atlas.metrics()]
    sort, down, variant, size, text = _choose(orders, variants)
    entries = _entries(atlas, place, variant, sort, down, text)
    st.caption(f"{len(entries):,} of {counts['units']:,} units")
    if entries:
        tiles = [_tile(atlas, place, entry, sort) for entry in entries]
        grid(tiles, key="units", density=size, current=read_text("unit"))
    else:
        st.info("No unit passes the filter; clear it to see all.", icon=":material/filter_alt:")
