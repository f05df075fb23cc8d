"""The images of a unit: what excites it, what excites its opposite, what else does."""

import streamlit as st

from app.components.grid import Tile, grid
from app.library import picture_url
from app.links import Place, image_address
from app.metric_words import MEANINGS
from app.plain import as_text
from featviz.atlas.entries import ImageEntry
from featviz.atlas.reading import Atlas


def unit_images(atlas: Atlas, place: Place) -> list[ImageEntry]:
    """Return all images of a unit, what excites it first."""
    return sorted(
        atlas.images(place.model, place.site, channel=place.channel),
        key=lambda entry: (entry.variant != "positive", entry.variant, entry.image),
    )


def show_images(atlas: Atlas, place: Place) -> ImageEntry:
    """Show all images of a unit, and return the one that its record is shown of: the first."""
    entries = unit_images(atlas, place)
    grid([_tile(atlas, place, entry) for entry in entries], key="images", density="huge")
    if any(entry.dead for entry in entries):
        st.warning(
            "The unit stayed silent on the faint images: they show nothing about it. It may be "
            "dead, or the optimisation may have failed; 'More steps' on the page Render can tell.",
            icon=":material/visibility_off:",
        )
    return entries[0]


def show_render(atlas: Atlas, place: Place, entry: ImageEntry) -> None:
    """Show an image that is of no single unit beside the others of its render, each a link."""
    entries = [
        other
        for other in atlas.images(entry.model, entry.site, variant=entry.variant)
        if other.job == entry.job
    ]
    tiles = [_tile(atlas, place, other, image_address(place.atlas, other)) for other in entries]
    grid(tiles, key="images", density="huge", current=entry.key)


def _tile(atlas: Atlas, place: Place, entry: ImageEntry, address: str = "") -> Tile:
    return Tile(
        id=entry.key,
        source=picture_url(place.atlas, atlas.image_path(entry)),
        address=address,
        caption=_caption(entry),
        text=f"{entry.variant} image of {entry.unit}",
        faint=entry.dead,
    )


def _caption(entry: ImageEntry) -> str:
    number = f" {entry.image + 1}" if entry.image else ""
    score = "" if entry.score is None else f", score {entry.score:.4g}"
    return f"{entry.variant}{number}{score}"


def show_metrics(atlas: Atlas, entry: ImageEntry) -> None:
    """Show what was measured of an image and of its unit, with what each number means."""
    found = atlas.measured(entry.key)
    if entry.channel is not None:
        found |= atlas.measured_unit(entry.model, entry.site, entry.channel, weights=entry.weights)
    if entry.score is not None:
        found = {"score": entry.score, **found}
    rows = [
        {"metric": as_text(name), "value": f"{value:.4g}", "meaning": MEANINGS.get(name, "")}
        for name, value in found.items()
    ]
    st.table(rows, border="horizontal")
