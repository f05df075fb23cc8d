"""A box to jump to a unit."""

from collections.abc import Sequence

import streamlit as st

from app.components import read_source
from app.links import Place

_JUMP = st.components.v2.component(
    "featviz.jump",
    html='<input type="text" aria-label="jump to a unit" list="sites" spellcheck="false" '
    'autocomplete="off" placeholder="/  jump to SITE:CHANNEL"><datalist id="sites"></datalist>',
    css=read_source("jump.css"),
    js=read_source("visit.js", "listen.js", "jump.js"),
)


def jump(place: Place, sites: Sequence[str], *, key: str) -> None:
    """Show the box.

    Args:
        place: Whose atlas and model are meant.
        sites: Names to complete.
        key: Of the component on its page.
    """
    query = Place(place.atlas, place.model).query()
    _JUMP(key=key, data={"query": query, "sites": list(sites)})
