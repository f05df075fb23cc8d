"""The response of a unit as a function of orientation, and the numbers that describe it.

Pure arithmetic; measuring.py measures the curves.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.angles import angle_between, angular_distance

ECHO_DEG = 20.0
"""Half the window around the opposite orientation in which an echo is looked for."""


@dataclass(frozen=True, eq=False)
class TuningCurve:
    """How one unit responds to one family of stimuli.

    A unit that never responds has no preference: its numbers are not-a-number.

    Attributes:
        unit: `SITE:CHANNEL`.
        channel: Its channel.
        angles_deg: Orientations, ascending from 0 in equal steps over the period.
        response: Mean over the second quantity of the response, at least 0.
        period_deg: 360, or 180 for lines and gratings.
        surface: Response by orientation and second quantity.
        levels: Values of the second quantity.
        level: Its name, such as `radius_px`.
        stimulus: Name of the family.
        label: Name of the unit, if the model names its units.
        expected_deg: True orientation, where it is known.
    """

    unit: str
    channel: int
    angles_deg: Float[Tensor, " n"]
    response: Float[Tensor, " n"]
    period_deg: float
    surface: Float[Tensor, "n l"]
    levels: tuple[float, ...]
    level: str
    stimulus: str
    label: str | None = None
    expected_deg: float | None = None

    def __repr__(self) -> str:
        """Return one line with the numbers."""
        return (
            f"TuningCurve({self.unit} on {self.stimulus}: preferred {self.preferred_deg:.1f}°, "
            f"FWHM {self.fwhm_deg:.0f}°, echo {self.echo:.2f}, selectivity "
            f"{self.selectivity:.2f}, peak {self.peak:.3g})"
        )

    @property
    def peak(self) -> float:
        """Largest response."""
        return float(self.response.amax())

    @property
    def silent(self) -> bool:
        """Whether the unit never responds."""
        return not self.peak > 0

    @property
    def preferred_deg(self) -> float:
        """Orientation of the largest response."""
        if self.silent:
            return math.nan
        return float(self.angles_deg[self.response.argmax()])

    @property
    def mean_deg(self) -> float:
        """Circular mean of the orientations, weighted by the response; lines doubled."""
        total = self._resultant()
        return math.degrees(math.atan2(total.imag, total.real)) % 360 / self._harmonic

    @property
    def selectivity(self) -> float:
        """Length of the circular mean, 0 (all alike) to 1 (one orientation); lines doubled."""
        return abs(self._resultant())

    @property
    def fwhm_deg(self) -> float:
        """How many degrees of orientation give more than half the peak, interpolated."""
        if self.silent:
            return math.nan
        above = self.response.double() - self.peak / 2
        after = above.roll(-1)
        high, low = torch.maximum(above, after), torch.minimum(above, after)
        share = torch.where(low >= 0, 1.0, high.clamp(min=0) / (high - low).clamp(min=1e-300))
        return float(share.sum()) * self.period_deg / len(self.response)

    @property
    def echo(self) -> float:
        """Largest response near the opposite orientation, over the peak.

        Opposite is half a period away from the preferred one; near is within 20 degrees of 360.
        """
        if self.silent:
            return math.nan
        away = self.angles_deg - self.preferred_deg - self.period_deg / 2
        distance = angular_distance(away, self.period_deg)
        near = distance <= ECHO_DEG * self.period_deg / 360 + 1e-6
        return float(self.response[near].amax()) / self.peak if near.any() else math.nan

    @property
    def error_deg(self) -> float | None:
        """Distance of the preferred from the true orientation, where that is known."""
        if self.expected_deg is None:
            return None
        return angle_between(self.preferred_deg, self.expected_deg, self.period_deg)

    @property
    def _harmonic(self) -> float:
        return 360 / self.period_deg

    def _resultant(self) -> complex:
        if self.silent:
            return complex(math.nan, math.nan)
        angle = torch.deg2rad(self.angles_deg.double() * self._harmonic)
        weight = self.response.double() / self.response.double().sum()
        return complex(float((weight * angle.cos()).sum()), float((weight * angle.sin()).sum()))
