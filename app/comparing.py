"""The items of a comparison as one line of text, which stands in the URL.

    fire4:141; fire5:38; artificial_curves/arcs:6; inceptionv1/mixed3b:379@other-atlas

An item is a unit, with a network where it is not the page's own, and an atlas likewise.
"""

import re
from dataclasses import dataclass

from featviz.errors import RecordError

MAX_ITEMS = 24
_UNIT = re.compile(r"(.+?)((?:/\d*:\d*)?:\d+)")
"""Network and site; channel. The slash of a slice of a site, `mixed3a/0:64:5`, ends no network."""


@dataclass(frozen=True)
class Item:
    """One unit of a comparison.

    Attributes:
        unit: `SITE:CHANNEL`.
        model: Name of the network; empty for the page's own.
        atlas: Name of the atlas; empty for the page's own.
    """

    unit: str
    model: str = ""
    atlas: str = ""

    def __str__(self) -> str:
        """Return the item as it stands in a URL."""
        return (
            (f"{self.model}/" if self.model else "")
            + self.unit
            + (f"@{self.atlas}" if self.atlas else "")
        )


def parse_items(text: str) -> list[Item]:
    """Return the items of a text, each once.

    Raises:
        RecordError: If there are too many, or one has no unit.
    """
    found: dict[Item, None] = {}
    for part in filter(None, (piece.strip() for piece in text.split(";"))):
        rest, _, atlas = part.partition("@")
        whole = _UNIT.fullmatch(rest.strip())
        place, channel = (whole[1], whole[2]) if whole else (rest, "")
        model, slash, site = place.rpartition("/")
        unit = site + channel
        if slash and ":" not in unit:
            raise RecordError(f"{part!r} is no unit; write [MODEL/]SITE:CHANNEL[@ATLAS]")
        found[Item(unit.strip(), model.strip(), atlas.strip())] = None
    if len(found) > MAX_ITEMS:
        raise RecordError(f"{len(found)} units are too many to compare; {MAX_ITEMS} is the most")
    return list(found)


def items_text(items: list[Item]) -> str:
    """Return the text that `parse_items` reads."""
    return "; ".join(map(str, items))
