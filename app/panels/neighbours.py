"""Units most like a unit: by what excites them, and by what they are wired to."""

from typing import Any

import streamlit as st

from app.components.grid import Tile, grid
from app.components.ways import Way, ways
from app.library import picture_url
from app.links import Place, address, beside
from app.sorting import LIKENESS
from featviz.atlas import Atlas
from featviz.errors import RecordError

_WAYS = (
    ("activation", "By what excites them", "correlation over photographs", LIKENESS[0]),
    ("weights", "By what they are wired to", "cosine of the kernels that make them", LIKENESS[1]),
)


def show_neighbours(atlas: Atlas, place: Place) -> None:
    """Show the nearest units of a unit, each beside what chance gives; a click walks there."""
    found = atlas.evidence(place.model, place.site, place.channel or 0).get("neighbours")
    if not isinstance(found, dict):
        st.info(
            "Nobody has looked for neighbours yet. On the command line: featviz atlas neighbours "
            "ATLAS --images FOLDER",
            icon=":material/diversity_3:",
        )
        return
    for key, head, words, order in _WAYS:
        line = found.get(key)
        if line is None:
            continue
        try:
            tiles = [_tile(atlas, place, one) for one in line["nearest"]]
            chance = f"{words}; by chance at most {float(line['chance']):.2f}"
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise RecordError(
                f"the neighbours of {place.unit} cannot be read: {error!r}; run 'featviz atlas "
                "neighbours' again"
            ) from error
        st.markdown(f"**{head}**")
        st.caption(chance)
        grid(tiles, key=f"neighbours {key}")
        site = Place(place.atlas, place.model, place.site).query()
        query = {**site, "sort": order, "to": str(place.channel)}
        way = Way(f"All of {place.site} in this order", address("site", query))
        ways([way], key=f"all {key}", label="more")


def _tile(atlas: Atlas, place: Place, line: Any) -> Tile:
    where = Place(place.atlas, place.model, str(line["site"]), int(line["channel"]))
    value = float(line["value"])
    entries = atlas.images(
        place.model, where.site, channel=where.channel, variant="positive", limit=1
    )
    return Tile(
        id=where.unit,
        source=picture_url(place.atlas, atlas.thumb_path(entries[0])) if entries else "",
        address=beside(where) if entries else "",
        caption=f"{where.channel} · {value:.2f}",
        text=f"{where.unit}, {value:.3f}",
    )
