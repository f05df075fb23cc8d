"""Whether a number of a circuit is better than chance: the one rule of all its checks."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

LEVEL = 0.05
RULE = (
    "A number is better than chance if at most 1 in 20 come as near to what it should be, counted "
    "among random selections of as many units and the circuit itself: p = (1 + random ones as "
    "near) / (1 + random ones) is 0.05 or less. A tie counts against the circuit."
)
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Verdict:
    """How a number stands among those of random selections.

    Attributes:
        beaten: Random selections that are further from what it should be.
        draws: All of them.
        p_value: (1 + those not beaten) / (1 + draws).
    """

    beaten: int
    draws: int
    p_value: float

    @property
    def better(self) -> bool | None:
        """Whether it is better than chance, see RULE; None if the draws are too few to tell."""
        if self.draws < _draws_needed():
            return None
        return self.p_value <= LEVEL

    def text(self, what: str) -> str:
        """Return the verdict in plain words.

        Args:
            what: What not to trust if it is no better than chance, such as `this picture`.
        """
        if self.better is None:
            return (
                f"{self.draws} random selections are too few to tell whether that is better than "
                f"chance, {_draws_needed()} are needed"
            )
        among = f"better than {self.beaten} of {self.draws} random selections"
        if self.better:
            return f"{among} (p = {self.p_value:.3f})"
        return f"{among} (p = {self.p_value:.2f}): not better than chance, do not trust {what}"


def judge(value: float, random: Sequence[float], *, ideal: float = math.inf) -> Verdict:
    """Return how a number stands among those of random selections.

    Args:
        value: Of the circuit; not-a-number, of a unit that fell silent, beats nothing.
        random: Of selections of as many units; not-a-number counts as 0.
        ideal: What the number should be near to; infinity: the larger, the better.

    References:
        Phipson, Smyth 2010, "Permutation P-values should never be zero", for the p-value.
    """
    known = [0.0 if math.isnan(other) else other for other in random]
    beaten = sum(_further(other, value, ideal) for other in known)
    return Verdict(beaten, len(known), (1 + len(known) - beaten) / (1 + len(known)))


def _further(other: float, value: float, ideal: float) -> bool:
    if math.isinf(ideal):
        return value - other > _ROUNDING
    return abs(other - ideal) - abs(value - ideal) > _ROUNDING


def _draws_needed() -> int:
    return math.ceil(1 / LEVEL) - 1
