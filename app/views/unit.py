"""Unit: everything that is known of one unit."""

import streamlit as st

from app.components.grid import Tile, grid
from app.frame import opened
from app.library import picture_url

with opened() as (atlas, place):
    st.header(place.unit)
    entries = atlas.images(place.model, place.site, channel=place.channel)
    grid(
        [
            Tile(
                id=entry.key,
                source=picture_url(place.atlas, atlas.layout.image(entry.key, entry.kind)),
                address="",
                caption=entry.variant,
                text=f"{entry.unit}, {entry.variant}",
                faint=entry.dead,
            )
            for entry in entries
        ],
        key="images",
        density="huge",
    )
