"""The distance between two angles that repeat after a period: of tuning, families and chance."""

import torch
from jaxtyping import Float
from torch import Tensor


def angular_distance(difference_deg: Float[Tensor, "*n"], period_deg: float) -> Float[Tensor, "*n"]:
    """Return how far angles with these differences lie apart, 0 to half the period.

    Args:
        difference_deg: One angle less the other, of any size and sign.
        period_deg: After which angles repeat: 360, or 180 for lines and gratings.
    """
    half = period_deg / 2
    return ((difference_deg + half) % period_deg - half).abs()


def angle_between(first_deg: float, second_deg: float, period_deg: float) -> float:
    """Return the distance of two angles, 0 to half the period."""
    difference = torch.tensor(first_deg - second_deg, dtype=torch.float64)
    return float(angular_distance(difference, period_deg))
