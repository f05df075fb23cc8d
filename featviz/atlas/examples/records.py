"""What an atlas says about the examples of a unit; reading that needs no torch.

Names of photographs in a record are text for people. No path is made of them: pictures are found by
key alone, and a record whose names or keys are something else is refused.
"""

import math
from dataclasses import dataclass
from typing import Any

from featviz.atlas.canonical import is_key
from featviz.atlas.examples.boxes import Box
from featviz.atlas.passes.names import is_below
from featviz.errors import RecordError


@dataclass(frozen=True)
class Example:
    """An image and what a unit made of it.

    Attributes:
        image: Number of the image in its source.
        name: Its name: text, relative to the folder.
        value: Maximum or mean of the unit.
        quantile: Share of the other images below it, 0..1; ties by number.
        position: (y, x) of the maximum on the map; None by mean, and where there is no map.
        box: Receptive field there, in pixels of the image as the network saw it; it may leave the
            image. None where it is the whole image, or not known.
    """

    image: int
    name: str
    value: float
    quantile: float
    position: tuple[int, int] | None
    box: Box | None


@dataclass(frozen=True)
class Bin:
    """Images from one part of the distribution.

    Attributes:
        low: Quantile at which it begins.
        high: Quantile at which it ends.
        examples: Some of its images, the largest value first.
    """

    low: float
    high: float
    examples: tuple[Example, ...]


@dataclass(frozen=True)
class Ranking:
    """Images of a unit by one statistic.

    Attributes:
        top: Largest first.
        bottom: Smallest first.
        bins: From the lowest quantile to the highest.
        histogram: Where the first bin begins, the width of all, and how many images are in each.
    """

    top: tuple[Example, ...]
    bottom: tuple[Example, ...]
    bins: tuple[Bin, ...]
    histogram: tuple[float, float, tuple[int, ...]]


@dataclass(frozen=True)
class UnitExamples:
    """What images did to one unit.

    Attributes:
        maximum: By the maximum over the map.
        mean: By the mean over the map; None where there is no map.
        images: Images that count.
        broken: Images that gave no finite value.
        firing_rate: Share of images whose maximum is above 0.
    """

    maximum: Ranking
    mean: Ranking | None
    images: int
    broken: int
    firing_rate: float


@dataclass(frozen=True)
class KeptExample(Example):
    """An example as an atlas has it; `image` is -1.

    Attributes:
        picture: Key of the photograph, see `Layout.example`; None if it was gone.
        crop: Key of what the unit saw; None where that is the whole image.
    """

    picture: str | None
    crop: str | None


def read_examples(value: object, histogram: object = None) -> UnitExamples:
    """Return what the evidence `examples` of a unit says, checked part by part.

    Args:
        value: As `Atlas.evidence` gives it.
        histogram: The evidence `histogram` of the unit, for those of the rankings; None: empty.

    Raises:
        RecordError: If a part is not what it must be: a key that is none, a name that leads out of
            its folder, a number that is not finite.
    """
    try:
        parts: Any = value
        bars: Any = histogram or {}
        return UnitExamples(
            maximum=_read_ranking(parts["maximum"], bars.get("maximum")),
            mean=None if parts["mean"] is None else _read_ranking(parts["mean"], bars.get("mean")),
            images=read_whole(parts["images"]),
            broken=read_whole(parts["broken"]),
            firing_rate=read_number(parts["firing_rate"]),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise RecordError(
            f"the examples of a unit cannot be read: {type(error).__name__}: {error}; was the "
            "record edited?"
        ) from error


def _read_ranking(parts: Any, bars: Any) -> Ranking:
    bars = bars or {"start": 0.0, "width": 1.0, "counts": []}
    return Ranking(
        top=tuple(map(_read_example, parts["top"])),
        bottom=tuple(map(_read_example, parts["bottom"])),
        bins=tuple(
            Bin(
                read_number(each["low"]),
                read_number(each["high"]),
                tuple(map(_read_example, each["examples"])),
            )
            for each in parts["bins"]
        ),
        histogram=(
            read_number(bars["start"]),
            read_number(bars["width"]),
            tuple(map(read_whole, bars["counts"])),
        ),
    )


def _read_example(parts: Any) -> KeptExample:
    position, box = parts["position"], parts["box"]
    return KeptExample(
        image=-1,
        name=_name(parts["file"]),
        value=read_number(parts["value"]),
        quantile=read_number(parts["quantile"]),
        position=None if position is None else _pair(position),
        box=None if box is None else Box(*map(_integer, box)),
        picture=_key(parts["picture"]),
        crop=_key(parts["crop"]),
    )


def _name(value: object) -> str:
    if not isinstance(value, str) or not is_below(value):
        raise ValueError(f"{str(value)[:80]!r} is no name of a file below a folder")
    return value


def _key(value: object) -> str | None:
    if value is not None and not is_key(value):
        raise ValueError(f"{str(value)[:80]!r} is no key")
    return value  # type: ignore[return-value]


def _pair(value: Any) -> tuple[int, int]:
    y, x = map(read_whole, value)
    return y, x


def _integer(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) >= 2**53:
        raise ValueError(f"{str(value)[:80]!r} is no whole number")
    return value


def read_whole(value: object) -> int:
    """Return a whole number from 0; ValueError if it is none."""
    if _integer(value) < 0:
        raise ValueError(f"{value!r} is negative")
    return _integer(value)


def read_number(value: object) -> float:
    """Return a finite number; ValueError if it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{str(value)[:80]!r} is no finite number")
    return float(value)
