"""What is looked at <-> the URL: every view is a link.

A URL names a page and, in its query, the atlas, the model, a site or a unit, and the settings of
the page, in the words of the command line: `/unit?model=squeezenet1_1&unit=fire4:141`. What it
names is checked against what is there; a link that names something else says so and offers a way
on.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlencode

import streamlit as st

from app.library import LIBRARY
from app.plain import as_text
from featviz.atlas.entries import ImageEntry
from featviz.atlas.reading import Atlas
from featviz.errors import FeatvizError, RecordError, did_you_mean

MAX_TEXT = 300
"""Characters of a query parameter that are believed, unless it is one of `LISTS`."""
MAX_LIST = 4000
"""Characters of a list of units, nodes or edges; servers take addresses of some times as many."""
LISTS = ("items", "families", "off", "pins")
"""Parameters that are such lists."""


@dataclass(frozen=True)
class Place:
    """What a page is about.

    Attributes:
        atlas: Name of the atlas.
        model: Name of the model.
        site: Name of the site; empty on the page of a model.
        channel: Index of the unit, or None.
    """

    atlas: str
    model: str
    site: str = ""
    channel: int | None = None

    @property
    def unit(self) -> str:
        """The unit as users type it; of a site, its name."""
        return self.site if self.channel is None else f"{self.site}:{self.channel}"

    def query(self) -> dict[str, str]:
        """Return the query of a URL; the first atlas need not be named."""
        found = {} if self.atlas == LIBRARY.first else {"atlas": self.atlas}
        found["model"] = self.model
        if self.channel is not None:
            found["unit"] = self.unit
        elif self.site:
            found["site"] = self.site
        return found


def read_text(name: str, default: str = "") -> str:
    """Return a query parameter.

    Raises:
        RecordError: If it is too long to mean anything.
    """
    found = str(st.query_params.get(name, default))
    most = longest(name)
    if len(found) > most:
        raise RecordError(f"{name} in the link has {len(found)} characters; {most} is the most")
    return found


def longest(name: str) -> int:
    """Return how many characters a query parameter may have.

    Args:
        name: Of the parameter.
    """
    return MAX_LIST if name in LISTS else MAX_TEXT


def read_choice(name: str, choices: Sequence[str], default: str) -> str:
    """Return a query parameter that must be one of some words.

    Raises:
        RecordError: If it is another one.
    """
    found = read_text(name, default)
    if found not in choices:
        raise RecordError(
            f"the link has {name}={found!r}{did_you_mean(found, list(choices))} it can be "
            f"{', '.join(choices)}"
        )
    return found


def forget(*names: str) -> None:
    """Take parameters out of the URL that no box is bound to."""
    for name in names:
        st.query_params.pop(name, None)


def read_number(name: str, least: int, most: int, default: int) -> int:
    """Return a query parameter that must be a whole number within bounds.

    Raises:
        RecordError: If it is none.
    """
    text = read_text(name, str(default))
    if not text.isascii() or not text.isdecimal() or not least <= int(text) <= most:
        raise RecordError(
            f"the link has {name}={text!r}; it must be a whole number, {least} to {most}"
        )
    return int(text)


def read_model(atlas: Atlas, name: str) -> str:
    """Return the model that the URL names, or the first of an atlas.

    Raises:
        RecordError: If the atlas does not have it, or has none.
    """
    models = atlas.models()
    if not models:
        raise RecordError(f"the atlas {name!r} is empty; 'featviz atlas status' tells what is due")
    return read_choice("model", models, models[0])


def read_place(atlas: Atlas, name: str) -> Place:
    """Return what the URL names within an atlas.

    Raises:
        RecordError: If the atlas does not have it, or it cannot be understood.
    """
    model = read_model(atlas, name)
    unit, site = read_text("unit"), read_text("site")
    if unit:
        return find_unit(atlas, name, model, unit)
    if site:
        read_choice("site", atlas.sites(model), site)
    return Place(name, model, site)


def find_unit(atlas: Atlas, name: str, model: str, text: str) -> Place:
    """Return the place of `SITE:CHANNEL`, or of `SITE`, as somebody typed it.

    Args:
        atlas: Where it is looked for.
        name: Of the atlas.
        model: Name of the network.
        text: What was typed.

    Raises:
        RecordError: If the atlas does not have it, or it cannot be understood.
    """
    sites = atlas.sites(model)
    if text.strip() in sites:
        return Place(name, model, text.strip())
    site, _, channel = text.strip().rpartition(":")
    if not site or not re.fullmatch(r"[0-9]{1,7}", channel):
        raise RecordError(f"{text!r} is no unit; write SITE:CHANNEL, such as {sites[0]}:0")
    if site not in sites:
        raise RecordError(
            f"{model} has no images of a site {site!r} here"
            f"{did_you_mean(site, sites)} there are {', '.join(sites)}"
        )
    return Place(name, model, site, int(channel))


def beside(place: Place) -> str:
    """Return the URL of another unit, with the part open that is open now.

    Args:
        place: The unit.
    """
    part = str(st.query_params.get("part", ""))
    return address("unit", place.query() | ({"part": part} if part and len(part) < 40 else {}))


def address(page: str, query: Mapping[str, str]) -> str:
    """Return the URL of a page on this server.

    Args:
        page: Name of a file of views/.
        query: Its parameters.
    """
    return f"/{page}?{urlencode(query)}"


def image_address(name: str, entry: ImageEntry) -> str:
    """Return the URL of the page of an image: that of its unit, or its own if it is of no unit.

    Args:
        name: Of the atlas.
        entry: Of the image.
    """
    query = Place(name, entry.model, entry.site, entry.channel).query()
    return address("unit", query if entry.channel is not None else {**query, "image": entry.key})


@contextmanager
def told_plainly() -> Iterator[None]:
    """Show what is wrong with a link, an atlas or a setting as a message with a way on."""
    try:
        yield
    except FeatvizError as error:
        st.error(as_text(str(error)), icon=":material/error:")
        st.page_link("views/home.py", label="To the start", icon=":material/home:")
        st.stop()
