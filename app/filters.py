"""What the filter box of a page says: `100-140, score>20, slope<=-1, curve`.

Terms are separated by commas and all must hold: channels or spans of channels (any of them),
a metric against a number, or a word that the unit's label or family contains.
"""

import math
import re
from dataclasses import dataclass

from featviz.errors import ConfigError, did_you_mean

_SPAN = re.compile(r"(\d{1,7})(?:\s*-\s*(\d{1,7}))?")
_BOUND = re.compile(r"([A-Za-z_][\w.]*)\s*(<=|>=|<|>)\s*(\S+)")


@dataclass(frozen=True)
class Filter:
    """What units must be like.

    Attributes:
        spans: First and last channel of each span; empty: any channel.
        bounds: Metric -> least and largest value, both included, None for no bound.
        words: Each must be in what is said about the unit, whatever the case.
    """

    spans: tuple[tuple[int, int], ...] = ()
    bounds: tuple[tuple[str, float | None, float | None], ...] = ()
    words: tuple[str, ...] = ()

    def where(self) -> dict[str, tuple[float | None, float | None]]:
        """Return the bounds as `Atlas.images` takes them."""
        found: dict[str, tuple[float | None, float | None]] = {}
        for name, least, most in self.bounds:
            lower, upper = found.get(name, (None, None))
            found[name] = (
                max((x for x in (lower, least) if x is not None), default=None),
                min((x for x in (upper, most) if x is not None), default=None),
            )
        return found

    def accepts(self, channel: int | None, said: str) -> bool:
        """Tell whether a channel and what is said about it fit; bounds are checked elsewhere."""
        inside = not self.spans or any(
            channel is not None and first <= channel <= last for first, last in self.spans
        )
        return inside and all(word in said.casefold() for word in self.words)


def parse_filter(text: str, metrics: list[str]) -> Filter:
    """Read a filter.

    Args:
        text: What somebody typed.
        metrics: Names that may be compared with a number.

    Raises:
        ConfigError: If a term cannot be understood; it says which.
    """
    spans, bounds, words = [], [], []
    for term in filter(None, (part.strip() for part in text.split(","))):
        if span := _SPAN.fullmatch(term):
            first, last = int(span[1]), int(span[2] or span[1])
            if last < first:
                raise ConfigError(
                    f"the filter {term!r} ends before it begins; write {last}-{first}"
                )
            spans.append((first, last))
        elif bound := _BOUND.fullmatch(term):
            bounds.append(_bound(term, bound[1], bound[2], bound[3], metrics))
        elif re.search(r"[<>=]", term):
            raise ConfigError(f"the filter {term!r} is not understood; write METRIC>NUMBER")
        else:
            words.append(term.casefold())
    return Filter(tuple(spans), tuple(bounds), tuple(words))


def _bound(
    term: str, name: str, sign: str, number: str, metrics: list[str]
) -> tuple[str, float | None, float | None]:
    if name not in metrics:
        raise ConfigError(
            f"the filter {term!r} names no metric of this atlas{did_you_mean(name, metrics)} "
            f"it has {', '.join(metrics)}"
        )
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ConfigError(f"in the filter {term!r}, {number!r} is not a number")
    away = math.inf if sign.startswith(">") else -math.inf
    if not sign.endswith("="):  # the bounds of an atlas are inclusive
        value = math.nextafter(value, away)
    return (name, value, None) if away > 0 else (name, None, value)
