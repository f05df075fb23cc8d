"""Compare: any units, networks or settings side by side; lists with names."""

from contextlib import ExitStack

import streamlit as st

from app.comparing import MAX_ITEMS, Item, items_text, parse_items
from app.components.grid import Tile, grid
from app.components.lists import lists
from app.components.menu import lead_menu
from app.components.ways import Way, ways
from app.library import LIBRARY, picture_url
from app.links import (
    Place,
    address,
    find_unit,
    longest,
    read_choice,
    read_model,
    read_text,
    told_plainly,
)
from app.panels.images import unit_images
from app.plain import as_text
from featviz.atlas.reading import Atlas
from featviz.errors import RecordError

_WIDE = 4


def _show_item(atlas: Atlas, place: Place, number: int) -> dict[str, str]:
    """Show the images of the unit at a position of the list, and return its numbers."""
    way = Way(place.unit, address("unit", place.query()))
    ways([way], key=f"way {number}", label="unit")
    st.caption(as_text(place.model))
    entries = unit_images(atlas, place)
    if not entries:
        st.info("no image in this atlas")
        return {}
    grid(
        [
            Tile(
                id=entry.key,
                source=picture_url(place.atlas, atlas.image_path(entry)),
                address=address("unit", place.query()),
                caption=entry.variant,
                text=f"{entry.variant} image of {entry.unit}",
                faint=entry.dead,
            )
            for entry in entries
        ],
        key=f"item {number}",
        density="huge",
    )
    numbers = atlas.measured(entries[0].key)
    if entries[0].score is not None:
        numbers = {"score": entries[0].score, **numbers}
    return {name: f"{value:.4g}" for name, value in numbers.items()}


def _find(stack: ExitStack, item: Item, own: Place) -> tuple[Atlas, Place]:
    name = item.atlas or own.atlas
    atlas = stack.enter_context(LIBRARY.atlas(name))
    model = item.model or own.model
    if model not in atlas.models():
        raise RecordError(f"the atlas {name!r} has no network {model!r}; leave out {str(item)!r}")
    place = find_unit(atlas, name, model, item.unit)
    if place.channel is None:
        raise RecordError(f"{str(item)!r} is a whole site; name units, such as {item.unit}:0")
    return atlas, place


def _ask(own: Place) -> list[Item]:
    """Show the box of units, and return those that stand in it."""
    text = st.text_input(
        "Units",
        key="items",
        bind="query-params",
        max_chars=longest("items"),
        placeholder="squeezenet1_1/fire4:141; squeezenet1_1/fire5:38; artificial_curves/arcs:6",
        help=f"Up to {MAX_ITEMS}, separated by semicolons: [MODEL/]SITE:CHANNEL[@ATLAS].",
    )
    items = parse_items(text)
    query = {**own.query(), "items": items_text(items)}
    lists(address("compare", query) if items else "", key="lists")
    return items


st.header("Compare")
with told_plainly():
    lead_menu()
    name = read_choice("atlas", list(LIBRARY.roots), LIBRARY.first)
    read_text("items")
    with ExitStack() as stack:
        atlas = stack.enter_context(LIBRARY.atlas(name))
        own = Place(name, read_model(atlas, name))
        items = _ask(own)
        if not items:
            st.info(
                "Write some units above to see them side by side. The link in the address bar "
                "then shows the same to others; 'Save this list' keeps it in this browser.",
                icon=":material/compare:",
            )
        numbers: dict[str, dict[str, str]] = {}
        for first in range(0, len(items), _WIDE):
            columns = st.columns(min(_WIDE, max(2, len(items))))
            row = enumerate(items[first : first + _WIDE], start=first)
            for column, (number, item) in zip(columns, row, strict=False):
                with column:
                    try:
                        numbers[str(item)] = _show_item(*_find(stack, item, own), number)
                    except RecordError as error:
                        st.error(as_text(str(error)))
        if any(numbers.values()):
            names = list(dict.fromkeys(key for row in numbers.values() for key in row))
            st.table(
                [
                    {"unit": as_text(unit), **{as_text(key): row.get(key, "") for key in names}}
                    for unit, row in numbers.items()
                ],
                border="horizontal",
            )
