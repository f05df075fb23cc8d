"""Units most like a unit: by what excites them, and by what they are wired to."""

import streamlit as st

from app.components.grid import Tile, grid
from app.components.ways import Way, ways
from app.library import unit_thumb
from app.links import Place, address, beside
from app.sorting import LIKENESS
from featviz.atlas import Atlas
from featviz.atlas.neighbours.records import Nearest, read_neighbours


def show_neighbours(atlas: Atlas, place: Place) -> None:
    """Show the nearest units of a unit, each beside what chance gives; a click walks there.

    Raises:
        RecordError: If the evidence cannot be understood.
    """
    found = atlas.evidence(place.model, place.site, place.channel or 0).get("neighbours")
    if found is None:
        st.info(
            "Nobody has looked for neighbours yet. On the command line: featviz atlas neighbours "
            "ATLAS --images FOLDER",
            icon=":material/diversity_3:",
        )
        return
    said = read_neighbours(found)
    over = f"{said.images:,} photographs" if said.images else "photographs"
    _show(atlas, place, said.activation, "By what excites them", f"correlation over {over}", 0)
    words = "cosine of the kernels that make them"
    _show(atlas, place, said.weights, "By what they are wired to", words, 1)


def _show(
    atlas: Atlas, place: Place, near: Nearest | None, head: str, words: str, order: int
) -> None:
    if near is None:
        return
    chance = "" if near.chance is None else f"; by chance at most {near.chance:.2f}"
    st.markdown(f"**{head}**")
    st.caption(words + chance)
    grid([_tile(atlas, place, *unit) for unit in near.units], key=f"neighbours {order}")
    site = Place(place.atlas, place.model, place.site).query()
    query = {**site, "sort": LIKENESS[order], "to": str(place.channel)}
    way = Way(f"All of {place.site} in this order", address("site", query))
    ways([way], key=f"all {order}", label="more")


def _tile(atlas: Atlas, place: Place, site: str, channel: int, value: float) -> Tile:
    where = Place(place.atlas, place.model, site, channel)
    return Tile(
        id=where.unit,
        source=unit_thumb(place.atlas, atlas, place.model, site, channel),
        address=beside(where),
        caption=f"{channel} · {value:.2f}",
        text=f"{where.unit}, {value:.3f}",
    )
