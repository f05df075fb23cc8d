"""Orders of the units of a site that its atlas does not know."""

from collections.abc import Mapping, Sequence

from featviz.atlas import ImageEntry

PHOTOGRAPHS = "similar in photographs"
LIKENESS = (PHOTOGRAPHS, "similar in weights")
ORIENTATION = "orientation"


def sorted_by(
    entries: Sequence[ImageEntry], numbers: Mapping[int, float], *, descending: bool
) -> list[ImageEntry]:
    """Return images sorted by a number of their unit; those without one last, in their order.

    Args:
        entries: The images.
        numbers: By channel.
        descending: Largest first.
    """
    known = [e for e in entries if e.channel in numbers]
    rest = [e for e in entries if e.channel not in numbers]
    sign = -1 if descending else 1
    return [*sorted(known, key=lambda e: sign * numbers[e.channel or 0]), *rest]
