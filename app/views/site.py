"""Site: all units of a site as a grid, sorted and filtered."""

from collections.abc import Mapping
from dataclasses import dataclass

import streamlit as st

from app.components.grid import SIDES, Tile, grid
from app.families import Kind, kinds_of
from app.filters import parse_filter
from app.frame import opened
from app.library import thumb_url
from app.likeness import photographs_likeness, weights_likeness
from app.links import Place, address, image_address, longest, read_choice, read_number, read_text
from app.plain import as_text
from app.sorting import LIKENESS, ORIENTATION, PHOTOGRAPHS, sorted_by
from featviz.atlas import Atlas, ImageEntry
from featviz.errors import ConfigError


@dataclass(frozen=True)
class _Choice:
    """What can be chosen above the grid."""

    sort: str
    down: bool
    variant: str
    size: str
    text: str
    to: int


def _choose(orders: list[str], variants: list[str], channels: list[int]) -> _Choice:
    """Show what can be chosen; each choice stands in the URL."""
    read_choice("sort", orders, orders[0])
    read_choice("variant", variants, variants[0])
    read_choice("size", list(SIDES), "medium")
    read_text("filter")
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        sort = st.selectbox("Sort by", orders, key="sort", bind="query-params", width=210)
        down, to = False, channels[0] if channels else 0
        if sort in LIKENESS:
            last = max(channels, default=0)
            read_number("to", 0, last, to)
            to = int(
                st.number_input("To unit", 0, last, to, key="to", bind="query-params", width=130)
            )
        else:
            down = st.toggle("Largest first", key="down", bind="query-params", width=150)
        variant = st.selectbox("Image", variants, key="variant", bind="query-params", width=140)
        size = st.segmented_control(
            "Size",
            list(SIDES),
            default="medium",
            key="size",
            bind="query-params",
            width="content",
        )
        text = st.text_input(
            "Filter",
            key="filter",
            bind="query-params",
            max_chars=longest("filter"),
            width=240,
            placeholder="100-140, score>20, curves",
            help="Channels, METRIC>NUMBER, words of the label or family; all must hold.",
        )
    return _Choice(sort, down, variant, size or "medium", text, to)


def _tile(source: str, entry: ImageEntry, way: str, value: str, family: str) -> Tile:
    """Return the tile of an image; `way` is where it leads to."""
    name = entry.unit if entry.channel is None else str(entry.channel)
    about = (entry.unit, entry.variant, family, "never fired" if entry.dead else "")
    return Tile(
        id=entry.key if entry.channel is None else entry.unit,
        source=source,
        address=way,
        caption=f"{name}{value and ' · '}{value}",
        text=", ".join(filter(None, about)),
        faint=entry.dead,
    )


def _entries(
    atlas: Atlas, place: Place, choice: _Choice, kinds: Mapping[int, Kind]
) -> list[ImageEntry]:
    """Return the images that pass the filter; a filter that is wrong is told and lets all pass.

    A unit has one image here, and all of them on its page; what is of no unit has no such page.
    """
    metrics = ["score", *atlas.metrics()]
    try:
        wanted = parse_filter(choice.text, metrics)
    except ConfigError as error:
        st.warning(as_text(str(error)), icon=":material/filter_alt:")
        wanted = parse_filter("", metrics)
    known = choice.sort not in (*LIKENESS, ORIENTATION)
    found = atlas.images(
        place.model,
        place.site,
        variant=choice.variant,
        sort=choice.sort if known else "channel",
        descending=choice.down and known,
        where=wanted.where(),
    )
    return [
        entry
        for entry in found
        if (entry.image == 0 or entry.channel is None)
        and wanted.accepts(entry.channel, f"{entry.label} {_family(kinds, entry)}")
    ]


def _family(kinds: Mapping[int, Kind], entry: ImageEntry) -> str:
    kind = kinds.get(-1 if entry.channel is None else entry.channel)
    return kind.family if kind else ""


def _numbers(
    atlas: Atlas, place: Place, choice: _Choice, kinds: Mapping[int, Kind]
) -> dict[int, float]:
    """Return what the units are sorted by where the atlas cannot do it."""
    if choice.sort == ORIENTATION:
        return {
            channel: kind.orientation_deg
            for channel, kind in kinds.items()
            if kind.orientation_deg is not None
        }
    if choice.sort == PHOTOGRAPHS:
        found = atlas.evidence(place.model, place.site, choice.to)
        likeness = photographs_likeness(found, place.site, choice.to)
    else:
        likeness = weights_likeness(place.model, place.site, choice.to)
    if not likeness:
        why = (
            "Nobody has looked for neighbours in photographs yet. On the command line: featviz "
            "atlas neighbours ATLAS --images FOLDER"
            if choice.sort == PHOTOGRAPHS
            else "The kernels of these units are not known: the network is not on this machine, "
            "or its channels are sums or pools of several."
        )
        st.info(why, icon=":material/diversity_3:")
    return likeness


def _value(entry: ImageEntry, sort: str, numbers: Mapping[int, float]) -> str:
    if sort in (*LIKENESS, ORIENTATION):
        number = numbers.get(-1 if entry.channel is None else entry.channel)
        if number is None:
            return ""
        return f"{number:.0f}°" if sort == ORIENTATION else f"{number:.2f}"
    found = entry.score if sort == "score" else entry.metrics.get(sort)
    found = entry.seconds if sort == "seconds" else found
    return "" if found is None else f"{found:.3g}"


def _how_many(entries: list[ImageEntry], channels: list[int]) -> str:
    units = len({entry.channel for entry in entries} - {None})
    parts = [f"{units:,} of {len(channels):,} units"] if channels else []
    others = sum(entry.channel is None for entry in entries)
    if others:
        parts.append(f"{others:,} images of sums, directions or paths")
    return ", ".join(parts)


def _kinds(atlas: Atlas, place: Place) -> Mapping[int, Kind]:
    """Return what is known of the site's units, if it is of the weights of the atlas."""
    first = atlas.images(place.model, place.site, limit=1)
    origin = atlas.record(first[0]).get("model") if first else None
    weights = origin.get("weights") if isinstance(origin, dict) else ""
    return kinds_of(place.model, place.site, str(weights))


with opened() as (atlas, place):
    site = place.site or atlas.sites(place.model)[0]
    place = Place(place.atlas, place.model, site, place.channel)
    st.header(as_text(site))
    kinds = _kinds(atlas, place)
    orders = ["channel", "score", "seconds", *atlas.metrics(), *LIKENESS]
    if kinds:
        orders.append(ORIENTATION)
    channels = atlas.channels(place.model, site)
    choice = _choose(orders, atlas.variants(place.model, site), channels)
    entries = _entries(atlas, place, choice, kinds)
    numbers: dict[int, float] = {}
    if choice.sort in (*LIKENESS, ORIENTATION):
        numbers = _numbers(atlas, place, choice, kinds)
        down = choice.down or choice.sort in LIKENESS
        entries = sorted_by(entries, numbers, descending=down)
    st.caption(_how_many(entries, channels))
    if entries:
        unit = Place(place.atlas, place.model, site, 0)
        way = address("unit", unit.query()).removesuffix("0")
        tiles = [
            _tile(
                thumb_url(place.atlas, atlas, entry),
                entry,
                image_address(place.atlas, entry)
                if entry.channel is None
                else way + str(entry.channel),
                _value(entry, choice.sort, numbers),
                _family(kinds, entry),
            )
            for entry in entries
        ]
        marked = f"{site}:{choice.to}" if choice.sort in LIKENESS else read_text("unit")
        grid(tiles, key="units", density=choice.size, current=marked)
    else:
        st.info("No unit passes the filter; clear it to see all.", icon=":material/filter_alt:")
