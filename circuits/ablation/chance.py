"""How far random edits go beside an edit: mean, range, and the share that reaches it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from circuits.angles import angle_between

DRAWS = 39
"""Random edits by default: enough for a p-value of 1/40, few enough to wait for."""


@dataclass(frozen=True)
class Chance:
    """What random edits of the same size do to one number.

    Attributes:
        mean: Over the draws that have the number; not a number if none has.
        low: Smallest.
        high: Largest.
        draws: How many there are.
        unknown: Draws that have no number, such as the width of a unit that went silent.
        reached: Share of the draws that change it as far as the edit, in its direction; those
            without a number count as such. Not a number without draws, or if the edit has none.
        p_value: (1 + reached draws) / (1 + draws); not a number where `reached` is none.
    """

    mean: float
    low: float
    high: float
    draws: int
    unknown: int
    reached: float
    p_value: float


def compare_with_chance(
    before: float, after: float, random: Sequence[float], *, period: float | None = None
) -> Chance:
    """Compare what an edit does to a number with what random edits do.

    Args:
        before: The number in the network as it is.
        after: In the edited one.
        random: In one edited at random, one a draw.
        period: For angles, which have a distance but no direction: what they repeat after; their
            mean and range are those of plain numbers.

    References:
        Phipson, Smyth 2010, "Permutation P-values should never be zero", for the p-value.
    """
    known = [value for value in random if math.isfinite(value)]
    unknown = len(random) - len(known)
    mean = sum(known) / len(known) if known else math.nan
    reached = p_value = math.nan
    if random and math.isfinite(before) and math.isfinite(after):
        effect = _change(before, after, period)
        sign = 1.0 if effect >= 0 else -1.0
        far = [sign * _change(before, value, period) >= abs(effect) for value in known]
        count = sum(far) + unknown if effect else len(random)
        reached, p_value = count / len(random), (1 + count) / (1 + len(random))
    return Chance(
        mean=mean,
        low=min(known, default=math.nan),
        high=max(known, default=math.nan),
        draws=len(random),
        unknown=unknown,
        reached=reached,
        p_value=p_value,
    )


def _change(before: float, after: float, period: float | None) -> float:
    return after - before if period is None else angle_between(after, before, period)
