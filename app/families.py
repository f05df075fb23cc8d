"""What is known of the families of units: the maps of networks in assets/ that measured them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from app.shipped import shipped
from featviz.errors import RecordError


@dataclass(frozen=True)
class Kind:
    """What a unit answers to.

    Attributes:
        family: Such as `curves`.
        orientation_deg: Of its best stimulus, 0..360; None where it has none.
    """

    family: str
    orientation_deg: float | None


def kinds_of(model: str, site: str, weights: str) -> Mapping[int, Kind]:
    """Return the kind of each channel of a site; empty where nobody has mapped it.

    Args:
        model: Name of the network.
        site: Name of the site.
        weights: Where its weights come from, as a record says; a map of others does not count.

    Raises:
        RecordError: If a map cannot be read.
    """
    found = _maps().get(model)
    return {} if found is None or found[0] != weights else found[1].get(site, {})


@cache
def _maps(folder: Path | None = None) -> dict[str, tuple[str, dict[str, dict[int, Kind]]]]:
    """Return by model: the origin of its weights, and the kinds by site and channel."""
    found = {}
    for path in sorted((folder or shipped(".")).glob("families-*.json")):
        try:
            parts = json.loads(path.read_text(encoding="utf-8"))
            at = {name: k for k, name in enumerate(parts["columns"])}
            sites = {
                str(site["site"]): {
                    int(row[at["channel"]]): Kind(
                        str(row[at["family"]]), _number(row[at["orientation_deg"]])
                    )
                    for row in site["units"]
                }
                for site in parts["sites"]
            }
            found[str(parts["model"])] = (str(parts["weights"]), sites)
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise RecordError(
                f"the families in {str(path)!r} cannot be read: {error!r}; make them anew with "
                "'featviz circuit map'"
            ) from error
    return found


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
