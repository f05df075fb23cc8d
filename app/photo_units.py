"""Units that fire in a photograph as tiles: their pictures, or where they fire."""

import numpy as np
import streamlit as st
from numpy.typing import NDArray
from PIL import Image

from app.components.grid import Tile
from app.library import LIBRARY, unit_thumb
from app.links import address
from app.looking import heat_tile
from featviz.errors import RecordError
from featviz.sites import Site


def page_query() -> dict[str, str]:
    """Return the query of the page as it is."""
    return {name: str(st.query_params[name]) for name in st.query_params}


def list_thumbs(name: str, site: str, channels: list[int]) -> dict[int, str]:
    """Return the addresses of small pictures of units, from the first open atlas that has them."""
    found: dict[int, str] = {}
    for atlas_name in LIBRARY.roots:
        try:
            with LIBRARY.atlas(atlas_name) as atlas:
                if name not in atlas.models() or site not in atlas.sites(name):
                    continue
                for channel in channels:
                    source = unit_thumb(atlas_name, atlas, name, site, channel)
                    if source and channel not in found:
                        found[channel] = source
        except RecordError:
            continue  # it has a page of its own that says what is wrong with it
    return found


def unit_tiles(
    name: str,
    site: Site,
    units: list[tuple[int, float]],
    maps: NDArray[np.float32],
    seen: Image.Image,
) -> list[Tile]:
    """Return units as tiles that lead to their heat map."""
    thumbs = list_thumbs(name, site.name, [channel for channel, _ in units])
    query = {name: value for name, value in page_query().items() if name != "site"}
    query |= {"in": site.name}
    tiles = []
    for channel, value in units:
        source = thumbs.get(channel) or heat_tile(seen, maps[channel], site)
        unit = f"{site.name}:{channel}"
        tiles.append(
            Tile(
                unit,
                source,
                address("image", query | {"unit": unit}),
                f"{channel}: {value:.3g}",
                f"{unit}, {value:.4g}" + ("" if channel in thumbs else ", heat map"),
            )
        )
    return tiles
