"""Families: named groups of units, with an angle each where that means something.

Given by the user as text or JSON, or found by grouping.py; read by enrichment.py, equivariance.py
and the pages. Text: `curves=fire4:3,7-9; lines=fire4:0-2`. JSON:

    {"schema": "featviz-families-1",
     "families": [{"name": "curves", "units": ["fire4:3", "fire4:7-9"],
                   "angles_deg": [0, 15, 30, 45]}]}
"""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from featviz.errors import CircuitError, UnitError, did_you_mean
from featviz.images import write_file
from featviz.units import Unit, parse_units

SCHEMA = "featviz-families-1"
_MAX_BYTES = 2**24
_MAX_UNITS = 100_000
_LISTED = 8
_KEYS = {"name", "units", "angles_deg"}


@dataclass(frozen=True)
class Family:
    """A named group of units.

    Attributes:
        name: Not empty.
        units: Each once, without a position.
        angles_deg: One a unit, convention of symmetry.py; None if they have none.
    """

    name: str
    units: tuple[Unit, ...]
    angles_deg: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        """Check that the parts fit each other."""
        if not self.name.strip():
            raise CircuitError("a family has an empty name; give it one")
        if not self.units:
            raise CircuitError(f"the family {self.name!r} has no units; name some, or leave it out")
        doubled = [str(unit) for unit, count in Counter(self.units).items() if count > 1]
        if doubled:
            raise CircuitError(
                f"the family {self.name!r} names units twice: {_some(doubled)}; keep each once"
            )
        placed = [str(unit) for unit in self.units if unit.position is not None]
        if placed:
            raise CircuitError(
                f"the family {self.name!r} names positions: {_some(placed)}; write SITE:CHANNEL"
            )
        angles = self.angles_deg
        if angles is not None and len(angles) != len(self.units):
            raise CircuitError(
                f"the family {self.name!r} has {len(self.units)} units and {len(angles)} angles; "
                "give one for each unit, or none"
            )
        if angles is not None and not all(map(math.isfinite, angles)):
            raise CircuitError(f"the family {self.name!r} has an angle that is no finite number")

    @classmethod
    def of(
        cls,
        name: str,
        site: str,
        channels: Sequence[int],
        *,
        angles_deg: Sequence[float] | None = None,
    ) -> "Family":
        """Return a family within one site."""
        angles = None if angles_deg is None else tuple(angles_deg)
        return cls(name, tuple(Unit(site, channel) for channel in channels), angles)

    def channels(self, site: str) -> tuple[int, ...]:
        """Return the channels of those of its units that lie in one site, in its order."""
        return tuple(unit.channel for unit in self.units if unit.site == site)

    def by_angle(self) -> "Family":
        """Return the family with its units in the order of their angles.

        Raises:
            CircuitError: If it has no angles.
        """
        if self.angles_deg is None:
            raise CircuitError(
                f"the family {self.name!r} has no angles to order it by; measure its tuning"
            )
        order = sorted(range(len(self.units)), key=self.angles_deg.__getitem__)
        units = tuple(self.units[k] for k in order)
        return Family(self.name, units, tuple(self.angles_deg[k] for k in order))


def parse_families(text: str) -> list[Family]:
    """Read families as a user types them: `NAME=UNITS; NAME=UNITS`.

    Args:
        text: Units are those of `featviz.units`: `fire4:3,7-9`; no `*`.

    Raises:
        CircuitError: If a part names no family, its units are malformed, or there are more than
            100000 units.
    """
    families: list[Family] = []
    room = _MAX_UNITS
    for part in filter(str.strip, text.split(";")):
        name, equals, units = part.partition("=")
        if not equals:
            raise CircuitError(
                f"{part.strip()!r} names no family; write NAME=UNITS, such as 'curves=fire4:3,7-9'"
            )
        families.append(Family(name.strip(), tuple(_units(units, name.strip(), room))))
        room -= len(families[-1].units)
    _check_names(families)
    return families


def families_to_json(families: Sequence[Family]) -> str:
    """Return families as JSON that `families_from_json` reads back."""
    _check_names(families)
    listed = []
    for family in families:
        entry: dict[str, object] = {"name": family.name, "units": list(map(str, family.units))}
        if family.angles_deg is not None:
            entry["angles_deg"] = list(family.angles_deg)
        listed.append(entry)
    return json.dumps({"schema": SCHEMA, "families": listed}, indent=1, ensure_ascii=False) + "\n"


def families_from_json(text: str) -> list[Family]:
    """Read families from JSON, as in the module docstring.

    Raises:
        CircuitError: If it is no JSON, has another schema, a family in it is not right, or there
            are more than 100000 units.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CircuitError(
            f"the families are no JSON: {error}; see circuits.families.family"
        ) from error
    found = document.get("schema") if isinstance(document, dict) else None
    if found != SCHEMA:
        raise CircuitError(
            f"the families have schema {found!r}, not {SCHEMA!r}; write "
            '{"schema": "' + SCHEMA + '", "families": [...]}'
        )
    listed = document.get("families")
    if not isinstance(listed, list):
        raise CircuitError('the families lack the list "families"; see circuits.families.family')
    families: list[Family] = []
    room = _MAX_UNITS
    for number, entry in enumerate(listed):
        families.append(_family(entry, number, room))
        room -= len(families[-1].units)
    _check_names(families)
    return families


def read_families(path: Path) -> list[Family]:
    """Read a file of families.

    Raises:
        CircuitError: If it cannot be read, or is not right.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise CircuitError(f"{str(path)!r} has more than {_MAX_BYTES} bytes; is it the file?")
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CircuitError(f"cannot read the families {str(path)!r}: {error}") from error
    try:
        return families_from_json(text)
    except CircuitError as error:
        raise CircuitError(f"{str(path)!r}: {error}") from error


def write_families(path: Path, families: Sequence[Family]) -> None:
    """Write a file of families, whole or not at all.

    Raises:
        CircuitError: If two have one name.
        OutputError: If the file cannot be written.
    """
    write_file(path, families_to_json(families).encode())


def check_known(families: Sequence[Family], channels: Mapping[str, int]) -> None:
    """Check that all units exist.

    Args:
        families: To be checked.
        channels: Number of channels of each site.

    Raises:
        CircuitError: If a site or a channel is unknown.
    """
    for family in families:
        for site in dict.fromkeys(unit.site for unit in family.units):
            if site not in channels:
                raise CircuitError(
                    f"the family {family.name!r} names the unknown site {site!r}"
                    f"{did_you_mean(site, channels)} known here: {_some(list(channels))}"
                )
        beyond = [str(unit) for unit in family.units if unit.channel >= channels[unit.site]]
        if beyond:
            site = beyond[0].rpartition(":")[0]
            raise CircuitError(
                f"the family {family.name!r} names units that do not exist: {_some(beyond)}; "
                f"{site!r} has {channels[site]} channels, 0 to {channels[site] - 1}"
            )


def check_partition(families: Sequence[Family], site: str, channels: int) -> None:
    """Check that each unit of a site is in exactly one family.

    Args:
        families: Units of other sites do not count.
        site: Name of the site.
        channels: How many it has.

    Raises:
        CircuitError: If a unit does not exist, is in several families, or in none.
    """
    homes: dict[int, list[str]] = {}
    for family in families:
        for channel in family.channels(site):
            homes.setdefault(channel, []).append(family.name)
    beyond = [f"{site}:{channel}" for channel in sorted(homes) if channel >= channels]
    if beyond:
        raise CircuitError(
            f"units that do not exist: {_some(beyond)}; {site!r} has {channels} channels"
        )
    doubled = [
        f"{site}:{channel} ({' and '.join(names)})"
        for channel, names in sorted(homes.items())
        if len(names) > 1
    ]
    if doubled:
        raise CircuitError(f"units in several families: {_some(doubled)}; leave each in one")
    lost = [f"{site}:{channel}" for channel in range(channels) if channel not in homes]
    if lost:
        raise CircuitError(
            f"{len(lost)} units in no family: {_some(lost)}; add them, if only to 'other'"
        )


def _family(entry: object, number: int, room: int) -> Family:
    """Return the family of one entry of the list, of at most so many units."""
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise CircuitError(f"family {number} is no object with a name: {str(entry)[:60]!r}")
    name = entry["name"]
    unknown = sorted(map(str, entry.keys() - _KEYS))
    if unknown:
        raise CircuitError(
            f"the family {name!r} has the unknown key {unknown[0]!r}"
            f"{did_you_mean(unknown[0], _KEYS)} known are {', '.join(sorted(_KEYS))}"
        )
    texts, angles = entry.get("units"), entry.get("angles_deg")
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise CircuitError(f"the family {name!r} lacks a list of units such as 'fire4:3'")
    numbers = angles is None or (
        isinstance(angles, list)
        and all(isinstance(a, int | float) and not isinstance(a, bool) for a in angles)
    )
    if not numbers:
        raise CircuitError(f"the angles of the family {name!r} are no list of numbers")
    units: list[Unit] = []
    for text in texts:
        units += _units(text, name, room - len(units))
    return Family(name, tuple(units), None if angles is None else tuple(map(float, angles)))


def _units(text: str, family: str, room: int) -> list[Unit]:
    """Return the units that a text names, of which there is room for so many."""
    try:
        parsed = parse_units(text)
        if parsed.spans is None:
            raise UnitError(f"{text.strip()!r} names all channels; write their numbers")
        most = max(last for _, last in parsed.spans) + 1
        if sum(last - first + 1 for first, last in parsed.spans) > room:
            raise UnitError(
                f"{text.strip()!r} names too many units; all families together may have "
                f"{_MAX_UNITS}"
            )
        return parsed.expand(most)
    except UnitError as error:
        raise CircuitError(f"the family {family!r}: {error}") from error


def _check_names(families: Sequence[Family]) -> None:
    doubled = [n for n, count in Counter(family.name for family in families).items() if count > 1]
    if doubled:
        raise CircuitError(f"two families have one name: {_some(doubled)}; rename one")


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more
