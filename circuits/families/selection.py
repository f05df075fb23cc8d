"""Which units of a site are tuned: thresholds on measured curves.

    curves = measure_tuning(model, "inception_3b", stimulus="curve")
    family = tuned_family(curves, name="curves", thresholds=Thresholds(selectivity=0.8, echo=0.1))

Count the same selection on shuffled networks (controls.py): what passes there is chance.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from circuits.families.family import Family
from circuits.tuning.curve import TuningCurve
from featviz.errors import CircuitError
from featviz.units import parse_units


@dataclass(frozen=True)
class Thresholds:
    """What a tuning curve must reach to count.

    Attributes:
        peak_frac: Least peak, as a share of the largest peak among all curves of the site, above 0
            to 1. Units that hardly respond have narrow curves by chance.
        selectivity: Least selectivity, 0..1.
        echo: Largest echo, 0..1.
    """

    peak_frac: float = 0.25
    selectivity: float = 0.8
    echo: float = 0.1

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not 0 < self.peak_frac <= 1 or not 0 <= self.selectivity <= 1 or not 0 <= self.echo <= 1:
            raise CircuitError(
                f"thresholds are shares from 0 to 1, that of the peak above 0; got peak_frac "
                f"{self.peak_frac:g}, selectivity {self.selectivity:g}, echo {self.echo:g}"
            )


def tuned_curves(
    curves: Sequence[TuningCurve], *, thresholds: Thresholds | None = None
) -> list[TuningCurve]:
    """Return the curves that pass, in the order of their circular mean.

    Args:
        curves: Of all units of one site: the largest peak among them sets the floor.
        thresholds: What counts; None: the defaults.
    """
    chosen = thresholds or Thresholds()
    top = max((curve.peak for curve in curves), default=0.0)
    # Silent units have no numbers, and compare false with everything.
    passing = [
        curve
        for curve in curves
        if curve.peak >= chosen.peak_frac * top
        and curve.selectivity >= chosen.selectivity
        and curve.echo <= chosen.echo
    ]
    return sorted(passing, key=lambda curve: (curve.mean_deg, curve.channel))


def tuned_family(
    curves: Sequence[TuningCurve], *, name: str, thresholds: Thresholds | None = None
) -> Family:
    """Return the units whose curves pass as a family, in order, with their circular means.

    Args:
        curves: See `tuned_curves`.
        name: Of the family.
        thresholds: See `tuned_curves`.

    Raises:
        CircuitError: If none passes.
    """
    passing = tuned_curves(curves, thresholds=thresholds)
    if not passing:
        raise CircuitError(
            f"none of {len(curves)} units is tuned as asked, so there are no {name}; lower the "
            "thresholds, or try another site or stimulus"
        )
    site = parse_units(passing[0].unit).site
    return Family.of(
        name,
        site,
        [curve.channel for curve in passing],
        angles_deg=[curve.mean_deg for curve in passing],
    )
