"""What an atlas says about the neighbours of a unit; reading that needs no torch."""

from dataclasses import dataclass
from typing import Any

from featviz.atlas.canonical import is_key
from featviz.atlas.examples.records import read_number, read_whole
from featviz.errors import RecordError


@dataclass(frozen=True)
class Nearest:
    """The units most like one unit.

    Attributes:
        units: Site, channel and likeness, -1..1, the most alike first.
        chance: Largest likeness that this unit has to a shuffled one; None where it has none.
        expected: Mean of that over the units of its kind (its site; by weights also of kernels of
            its size): what the nearest unit would have by chance.
    """

    units: tuple[tuple[str, int, float], ...]
    chance: float | None
    expected: float | None


@dataclass(frozen=True)
class UnitNeighbours:
    """The units most like one unit, by each of two measures.

    Attributes:
        activation: By correlation over images; None without images.
        weights: By kernels; None where the unit has none.
        passed: Key of the pass over the images; None without.
        images: How many they were; None without.
        statistic: Whether maps counted by their `maximum` or their `mean`; None without.
        across: Whether units of other sites could be neighbours by activation.
    """

    activation: Nearest | None
    weights: Nearest | None
    passed: str | None
    images: int | None
    statistic: str | None
    across: bool


def read_neighbours(value: object) -> UnitNeighbours:
    """Return what the evidence `neighbours` of a unit says, checked part by part.

    Args:
        value: As `Atlas.evidence` gives it.

    Raises:
        RecordError: If a part is not what it must be: a likeness that is not finite or out of
            range, a channel that is no number, a site without a name, a key that is none.
    """
    try:
        parts: Any = value
        about, kernels = parts["activation"], parts["weights"]
        return UnitNeighbours(
            activation=None if about is None else _nearest(about),
            weights=None if kernels is None else _nearest(kernels),
            passed=None if about is None else _key(about["pass"]),
            images=None if about is None else read_whole(about["images"]),
            statistic=None if about is None else _statistic(about["statistic"]),
            across=False if about is None else _truth(about["across"]),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise RecordError(
            f"the neighbours of a unit cannot be read: {type(error).__name__}: {error}; was the "
            "record edited?"
        ) from error


def _nearest(parts: Any) -> Nearest:
    return Nearest(
        tuple(
            (_site(each["site"]), read_whole(each["channel"]), _likeness(each["value"]))
            for each in parts["nearest"]
        ),
        *(None if parts[name] is None else _likeness(parts[name]) for name in _BY_CHANCE),
    )


_BY_CHANCE = ("chance", "expected")


def _likeness(value: object) -> float:
    # Rounding may lead out of -1..1 by a little.
    number = read_number(value)
    if abs(number) > 1.001:
        raise ValueError(f"{number!r} is no likeness, -1 to 1")
    return number


def _site(value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= 1000:
        raise ValueError(f"{str(value)[:80]!r} is no name of a site")
    return value


def _statistic(value: object) -> str:
    if value not in ("maximum", "mean"):
        raise ValueError(f"{str(value)[:80]!r} is neither maximum nor mean")
    return str(value)


def _truth(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{str(value)[:80]!r} is neither true nor false")
    return value


def _key(value: object) -> str:
    if not isinstance(value, str) or not is_key(value):
        raise ValueError(f"{str(value)[:80]!r} is no key")
    return value
