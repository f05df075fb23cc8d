"""Whether a family gathers in one branch of a layer more than chance would have it.

Reads families (family.py) and the channels of branches; the chance is exact: that of drawing as
many units as the family has without putting any back.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from featviz.errors import CircuitError


@dataclass(frozen=True)
class Enrichment:
    """Units of a family in a branch, against chance.

    Attributes:
        inside: Units of the family in the branch.
        family: Units of the family.
        branch: Units of the branch.
        total: Units of the site.
        log10_p_more: Logarithm of the chance of so many inside, or more.
        log10_p_fewer: Logarithm of the chance of so many inside, or fewer.
    """

    inside: int
    family: int
    branch: int
    total: int
    log10_p_more: float
    log10_p_fewer: float

    @property
    def expected(self) -> float:
        """Mean number inside by chance."""
        return self.family * self.branch / self.total

    @property
    def p_more(self) -> float:
        """Chance of so many inside, or more; 0 where it is too small for a number."""
        return float(10**self.log10_p_more)

    @property
    def p_fewer(self) -> float:
        """Chance of so many inside, or fewer; 0 where it is too small for a number."""
        return float(10**self.log10_p_fewer)


def enrichment_of(*, inside: int, family: int, branch: int, total: int) -> Enrichment:
    """Return the tails of the hypergeometric distribution, summed as logarithms.

    Args:
        inside: Units of the family in the branch.
        family: Units of the family.
        branch: Units of the branch.
        total: Units of the site.

    Raises:
        CircuitError: If the numbers contradict each other.
    """
    least, most = max(0, family + branch - total), min(family, branch)
    if min(family, branch) < 0 or max(family, branch) > total or total < 1:
        raise CircuitError(
            f"a family of {family} and a branch of {branch} do not fit a site of {total} units"
        )
    if not least <= inside <= most:
        raise CircuitError(
            f"{inside} units of a family of {family} cannot lie in a branch of {branch} of "
            f"{total}; it is {least} to {most}"
        )
    return Enrichment(
        inside=inside,
        family=family,
        branch=branch,
        total=total,
        log10_p_more=_log10_chance(range(inside, most + 1), family, branch, total),
        log10_p_fewer=_log10_chance(range(least, inside + 1), family, branch, total),
    )


def branch_enrichment(
    channels: Iterable[int], branches: Mapping[str, Iterable[int]]
) -> dict[str, Enrichment]:
    """Return the enrichment of one family in each branch of a site.

    With several families and branches, correct for their number: multiply each chance by it.

    Args:
        channels: Of the family.
        branches: Name -> channels of the site; together all of the site's units.

    Raises:
        CircuitError: If two branches share a channel, or a unit lies in none.
    """
    places: dict[int, str] = {}
    for name, of_branch in branches.items():
        for channel in of_branch:
            if places.setdefault(channel, name) != name:
                raise CircuitError(
                    f"channel {channel} lies in the branches {places[channel]!r} and {name!r}; "
                    "each belongs to one"
                )
    units = set(channels)
    lost = sorted(units - places.keys())
    if lost:
        raise CircuitError(f"channels {lost} lie in none of the branches {', '.join(branches)}")
    return {
        name: enrichment_of(
            inside=sum(places[channel] == name for channel in units),
            family=len(units),
            branch=sum(place == name for place in places.values()),
            total=len(places),
        )
        for name in branches
    }


def _log10_chance(counts: range, family: int, branch: int, total: int) -> float:
    """Return the logarithm of the chance of any of these numbers inside; never above 0."""
    logs = [_log_choose(family, k) + _log_choose(total - family, branch - k) for k in counts]
    largest = max(logs)
    summed = largest + math.log(math.fsum(math.exp(each - largest) for each in logs))
    return min(0.0, (summed - _log_choose(total, branch)) / math.log(10))


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
