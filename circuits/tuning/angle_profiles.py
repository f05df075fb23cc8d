"""Weights between two families by the difference of their orientations, with a shuffled control.

Where harmonic_test asks whether weights follow a cosine, this shows the curve itself: which
differences excite and which inhibit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.angles import angular_distance
from featviz.errors import CircuitError


@dataclass(frozen=True, eq=False)
class AngleProfile:
    """Mean value of a pair of units, by the difference of their orientations.

    Attributes:
        edges_deg: Borders of the bins, from 0 to half a period; the last bin has both its ends.
        count: Pairs in each bin.
        mean: Mean in each bin; not a number where it is empty.
        positive: Share of pairs above 0; likewise.
        shuffled: The mean after the orientations of the sources were put in random order, one row
            a draw.
    """

    edges_deg: tuple[float, ...]
    count: tuple[int, ...]
    mean: Float[Tensor, " n"]
    positive: Float[Tensor, " n"]
    shuffled: Float[Tensor, "d n"]

    def rows(self) -> list[dict[str, Any]]:
        """Return one row a bin, with the range of 95 % of the shuffles; None where it is empty.

        `p` is the share of the draws whose mean lies as far from that of all draws, the value
        itself counted as one.
        """
        rows = []
        for k, (low, high) in enumerate(pairwise(self.edges_deg)):
            row: dict[str, Any] = {"from_deg": low, "to_deg": high, "pairs": self.count[k]}
            names = ("mean", "positive", "chance_low", "chance_high", "p")
            numbers = self._numbers(k) if self.count[k] else (None,) * len(names)
            rows.append({**row, **dict(zip(names, numbers, strict=True))})
        return rows

    def _numbers(self, k: int) -> tuple[float, ...]:
        drawn = self.shuffled[:, k]
        low, high = torch.quantile(drawn, torch.tensor([0.025, 0.975], dtype=drawn.dtype)).tolist()
        off = (drawn - drawn.mean()).abs() >= (self.mean[k] - drawn.mean()).abs() - 1e-12
        p = (1 + int(off.sum())) / (1 + len(drawn))
        return float(self.mean[k]), float(self.positive[k]), low, high, p


def angle_profile(
    values: Float[Tensor, "o i"],
    target_deg: Sequence[float],
    source_deg: Sequence[float],
    *,
    edges_deg: Sequence[float] = (0, 30, 60, 120, 150, 180),
    period_deg: float = 360.0,
    draws: int = 200,
    seed: int = 0,
) -> AngleProfile:
    """Average values of pairs of units by how far apart their orientations are.

    Args:
        values: One signed number a pair, such as `WeightMap.strength("sum")`.
        target_deg: Orientation of each target.
        source_deg: Orientation of each source; of lines that feed curves, what their tangent's
            orientation would be.
        edges_deg: Borders of the bins, ascending from 0 to half a period.
        period_deg: After how many degrees orientations repeat.
        draws: Number of shuffles, 1 or more.
        seed: Of the shuffles.

    Raises:
        CircuitError: If angles and values do not fit, a value is not finite, or the borders or
            the number of draws are out of range.
    """
    _check(values, target_deg, source_deg)
    edges = tuple(float(edge) for edge in edges_deg)
    ascending = all(a < b for a, b in pairwise(edges))
    if len(edges) < 2 or edges[0] != 0 or edges[-1] != period_deg / 2 or not ascending:
        raise CircuitError(
            f"borders of the bins must ascend from 0 to {period_deg / 2:g} degrees, got {edges}"
        )
    if draws < 1:
        raise CircuitError(f"draws must be 1 or more, got {draws}")
    values = values.detach().to("cpu", torch.float64)
    targets, sources = (torch.tensor(x, dtype=torch.float64) for x in (target_deg, source_deg))
    bins = _bins(targets, sources, edges, period_deg)
    generator = torch.Generator().manual_seed(seed)
    orders = [torch.randperm(len(sources), generator=generator) for _ in range(draws)]
    return AngleProfile(
        edges_deg=edges,
        count=tuple(bins.flatten().bincount(minlength=len(edges) - 1).tolist()),
        mean=_means(values, bins, len(edges) - 1),
        positive=_means((values > 0).double(), bins, len(edges) - 1),
        shuffled=torch.stack([_means(values, bins[:, order], len(edges) - 1) for order in orders]),
    )


def _check(values: Tensor, target_deg: Sequence[float], source_deg: Sequence[float]) -> None:
    if tuple(values.shape) != (len(target_deg), len(source_deg)):
        raise CircuitError(
            f"{len(target_deg)} target and {len(source_deg)} source angles for values of shape "
            f"{tuple(values.shape)}; give one for each unit"
        )
    if not values.isfinite().all():
        raise CircuitError("some values are not finite; check the model's weights")


def _bins(targets: Tensor, sources: Tensor, edges: tuple[float, ...], period: float) -> Tensor:
    """Return the bin of each pair; a difference on a border belongs to the bin above it."""
    off = angular_distance(targets[:, None] - sources[None], period)
    # Borders are met exactly by regular families, up to rounding.
    inner = torch.tensor(edges[1:-1], dtype=torch.float64) - 1e-9
    return torch.bucketize(off, inner, right=True)


def _means(values: Tensor, bins: Tensor, count: int) -> Tensor:
    sums = torch.zeros(count, dtype=torch.float64)
    sums.index_add_(0, bins.flatten(), values.flatten())
    return sums / bins.flatten().bincount(minlength=count)
