"""Measured tuning as rows, and a whole network's beside that of a shuffled one."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from circuits.tuning.curve import TuningCurve


def tuning_row(curve: TuningCurve) -> dict[str, Any]:
    """Return the numbers of one curve for tables and JSON; None where there is no number."""
    numbers = {
        "expected_deg": curve.expected_deg,
        "preferred_deg": curve.preferred_deg,
        "mean_deg": curve.mean_deg,
        "fwhm_deg": curve.fwhm_deg,
        "echo": curve.echo,
        "selectivity": curve.selectivity,
        "peak": curve.peak,
    }
    known = {name: _number(value) for name, value in numbers.items()}
    return {"unit": curve.unit, "label": curve.label, **known}


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, 6)


@dataclass(frozen=True)
class Summary:
    """The tuning of many units in a few numbers; None where no unit responds.

    Attributes:
        units: How many there are.
        responding: How many ever respond.
        selectivity: Its quartiles.
        fwhm_deg: Its median.
        echo: Its median.
        peak: Its median.
        error_deg: Mean distance from the true orientation, where that is known.
    """

    units: int
    responding: int
    selectivity: tuple[float, float, float] | None
    fwhm_deg: float | None
    echo: float | None
    peak: float | None
    error_deg: float | None

    def to_json(self) -> dict[str, Any]:
        """Return it for JSON."""
        return asdict(self)


def summarise(curves: Sequence[TuningCurve]) -> Summary:
    """Return the summary of some curves; units that never respond count in `units` alone."""
    live = [curve for curve in curves if not curve.silent]
    errors = [curve.error_deg for curve in live if curve.error_deg is not None]
    echoes = [curve.echo for curve in live if math.isfinite(curve.echo)]
    return Summary(
        units=len(curves),
        responding=len(live),
        selectivity=_quartiles([curve.selectivity for curve in live]),
        fwhm_deg=statistics.median(curve.fwhm_deg for curve in live) if live else None,
        echo=statistics.median(echoes) if echoes else None,
        peak=statistics.median(curve.peak for curve in live) if live else None,
        error_deg=statistics.fmean(errors) if errors else None,
    )


def _quartiles(values: Sequence[float]) -> tuple[float, float, float] | None:
    if not values:
        return None
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high
