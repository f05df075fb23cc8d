import math
from fractions import Fraction

import pytest

from circuits.families.enrichment import branch_enrichment, enrichment_of
from featviz.errors import CircuitError


def tail(counts: range, family: int, branch: int, total: int) -> Fraction:
    """By whole numbers: the number of ways, over that of all."""
    ways = sum(math.comb(family, k) * math.comb(total - family, branch - k) for k in counts)
    return Fraction(ways, math.comb(total, branch))


@pytest.mark.parametrize(
    ("inside", "family", "branch", "total"),
    [(3, 10, 96, 480), (0, 5, 4, 20), (10, 10, 96, 480), (5, 9, 14, 18), (40, 200, 96, 480)],
)
def test_both_tails_by_whole_numbers(inside: int, family: int, branch: int, total: int) -> None:
    found = enrichment_of(inside=inside, family=family, branch=branch, total=total)
    more = tail(range(inside, min(family, branch) + 1), family, branch, total)
    fewer = tail(range(max(0, family + branch - total), inside + 1), family, branch, total)
    assert found.p_more == pytest.approx(float(more), rel=1e-9)
    assert found.p_fewer == pytest.approx(float(fewer), rel=1e-9)
    assert found.expected == pytest.approx(family * branch / total)
    scipy = pytest.importorskip("scipy.stats")
    second = scipy.hypergeom.sf(inside - 1, total, family, branch)
    assert found.p_more == pytest.approx(float(second), rel=1e-9)


def test_all_inside_is_a_ratio_of_binomials() -> None:
    # C(n, K) / C(N, K): the ten curves of inception 3b in the 96 units of its 5x5 branch.
    found = enrichment_of(inside=10, family=10, branch=96, total=480)
    assert found.p_more == pytest.approx(math.comb(96, 10) / math.comb(480, 10), rel=1e-9)


def test_chances_too_small_for_a_number_keep_their_logarithm() -> None:
    found = enrichment_of(inside=2000, family=2000, branch=2000, total=20000)
    assert found.p_more == 0
    exact = -math.log10(math.comb(20000, 2000))
    assert found.log10_p_more == pytest.approx(exact, rel=1e-9)
    assert found.log10_p_fewer == pytest.approx(0, abs=1e-9)


def test_families_in_branches() -> None:
    branches = {"1x1": range(4), "3x3": range(4, 10)}
    found = branch_enrichment([5, 6, 9], branches)
    assert (found["3x3"].inside, found["3x3"].family, found["3x3"].branch) == (3, 3, 6)
    assert found["3x3"].total == 10
    assert found["3x3"].p_more == pytest.approx(20 / 120)
    assert found["1x1"].p_fewer == pytest.approx(20 / 120)
    with pytest.raises(CircuitError, match=r"channels \[12\] lie in none of the branches 1x1, 3x3"):
        branch_enrichment([5, 12], branches)
    with pytest.raises(CircuitError, match="channel 4 lies in the branches '1x1' and '3x3'"):
        branch_enrichment([5], {"1x1": range(5), "3x3": range(4, 10)})


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ((3, 2, 4, 10), "3 units of a family of 2 cannot lie in a branch of 4 of 10; it is 0 to 2"),
        ((0, 8, 4, 10), "it is 2 to 4"),
        ((0, 11, 4, 10), "do not fit a site of 10 units"),
        ((0, 0, 0, 0), "do not fit a site of 0 units"),
    ],
)
def test_numbers_that_contradict_each_other(numbers: tuple[int, ...], said: str) -> None:
    inside, family, branch, total = numbers
    with pytest.raises(CircuitError, match=said):
        enrichment_of(inside=inside, family=family, branch=branch, total=total)
