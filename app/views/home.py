"""Start: the atlases that are open, their networks, and where to begin."""

import streamlit as st

from app.components.grid import Tile, grid
from app.components.jump import jump
from app.components.menu import lead_menu
from app.components.ways import Way, ways
from app.library import LIBRARY, picture_url
from app.links import Place, address, image_address, told_plainly
from app.plain import as_text
from featviz.atlas.entries import ImageEntry
from featviz.atlas.reading import Atlas
from featviz.errors import RecordError

_SHOWN = 10

st.title("What has a network learned?")
st.write(
    "Each picture was made to excite one unit of a vision network as much as possible. Choose a "
    "network, then a site, then a unit; or begin with a lesson."
)


def _best(atlas: Atlas, model: str, variant: str) -> list[ImageEntry]:
    return atlas.images(model, variant=variant, sort="score", descending=True, limit=_SHOWN)


def _network(atlas: Atlas, name: str, model: str) -> None:
    """Show one network of an atlas: how much there is, and a few units."""
    counts = atlas.counts(model)
    place = Place(name, model)
    with st.container(border=True):
        way = Way(model, address("model", place.query()))
        ways([way], key=f"way {name} {model}", label="network")
        st.caption(
            f"{counts['units']:,} units of {len(atlas.sites(model))} sites, "
            f"{counts['images']:,} images, {counts['dead']:,} of them of units that never fired"
        )
        best = _best(atlas, model, "positive")
        if not best:  # an atlas of renders of the app has other variants
            best = _best(atlas, model, atlas.variants(model, atlas.sites(model)[0])[0])
        tiles = [
            Tile(
                id=entry.key,
                source=picture_url(name, atlas.thumb_path(entry)),
                address=image_address(name, entry),
                caption=entry.unit,
                text=f"{entry.unit} of {model}",
            )
            for entry in best
        ]
        grid(tiles, key=f"grid {name} {model}")
        jump(place, atlas.sites(model), key=f"jump {name} {model}")


with told_plainly():
    lead_menu()
    if not LIBRARY.roots:
        st.info("No atlas is open; start with 'featviz app FOLDER'.", icon=":material/folder_off:")
    for name in LIBRARY.roots:
        try:
            with LIBRARY.atlas(name) as atlas:
                models = atlas.models()
                st.subheader(as_text(name), divider="gray")
                if not models:
                    st.info(
                        "This atlas has no images yet. 'featviz atlas status' tells what is due, "
                        "'featviz atlas resume' renders it.",
                        icon=":material/hourglass_empty:",
                    )
                for model in models:
                    _network(atlas, name, model)
        except RecordError as error:
            st.error(as_text(str(error)), icon=":material/error:")
