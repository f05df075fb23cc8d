"""Whether the weights between two families only depend on how their units are turned.

If T turns the picture, W[T(a) -> T(b)] = T W[a -> b]. Reads kernels and angles (symmetry.py says
in which convention); each score comes with controls that fail where it succeeds.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from circuits.angles import angular_distance
from circuits.families.symmetry import Symmetry, rotated, rotation
from featviz.errors import CircuitError

_FLAT = 1e-12
_QUARTER = rotation(90)


@dataclass(frozen=True)
class EquivarianceScore:
    """How well one symmetry holds, and how well it seems to hold where it cannot.

    Attributes:
        score: Mean correlation of each kernel, turned, with that between the turned units; -1..1.
        pairs: Number of kernels compared; those without variation on both sides are left out.
        wrong_direction: The same with the kernels turned the other way; None where there is none.
        unrotated: The same with kernels as they are.
        shuffled_channels: The same with units in random order, one number a draw.
        shuffled_pixels: The same with the cells of each kernel in random order, one a draw.
        symmetry: Its name.
    """

    score: float
    pairs: int
    wrong_direction: float | None
    unrotated: float
    shuffled_channels: tuple[float, ...]
    shuffled_pixels: tuple[float, ...]
    symmetry: str


@dataclass(frozen=True)
class HarmonicScore:
    """Whether weights follow the cosine of the difference of orientation.

    Attributes:
        correlation: Of the weights with that cosine, over all pairs of units; -1..1.
        shuffled: The same with the angles of the source in random order, one number a draw.
        p_value: Share of the draws, the weights themselves counted as one, that do as well.
    """

    correlation: float
    shuffled: tuple[float, ...]
    p_value: float


def equivariance_score(
    kernel: Float[Tensor, "o i kh kw"],
    target_deg: Sequence[float],
    source_deg: Sequence[float],
    *,
    symmetry: Symmetry = _QUARTER,
    target_period_deg: float = 360.0,
    source_period_deg: float = 360.0,
    tolerance_deg: float | None = None,
    draws: int = 20,
    seed: int = 0,
) -> EquivarianceScore:
    """Measure how well the kernels between two families keep a symmetry, with controls.

    Each unit's partner is the unit nearest to its angle after the symmetry; units without a
    partner are left out. For a full circle of units and a quarter turn, this is the mean over all
    i, j of corr(W[i + n/4, j + n/4], rot90(W[i, j], -1)).

    Args:
        kernel: Weights between the families.
        target_deg: Angle of each target, convention of symmetry.py.
        source_deg: Angle of each source.
        symmetry: What is checked.
        target_period_deg: When the angle of a target repeats: 360 for curves, 180 for lines.
        source_period_deg: The same for sources.
        tolerance_deg: How far a partner may be off; None: half of the family's mean spacing.
        draws: Number of shuffles of each kind.
        seed: Of the shuffles.

    Raises:
        CircuitError: If angles and kernels do not fit, kernels hold one cell or cannot be turned,
            weights are not finite, or no unit has a partner.
    """
    kernel = _checked(kernel, target_deg, source_deg)
    a, a_to = _partners(target_deg, symmetry, target_period_deg, tolerance_deg, "target")
    b, b_to = _partners(source_deg, symmetry, source_period_deg, tolerance_deg, "source")
    cells = _cells(kernel, disc=symmetry.disc)

    def score(weights: Tensor, change: Callable[[Tensor], Tensor]) -> tuple[float, int]:
        changed = change(weights)[a][:, b][..., cells]
        found = _correlations(weights[a_to][:, b_to][..., cells], changed)
        kept = found[~found.isnan()]
        return (float(kept.mean()) if len(kept) else 0.0), len(kept)

    value, pairs = score(kernel, symmetry.kernel)
    if pairs == 0:
        raise CircuitError("no kernel varies over its cells, so none can be compared")
    generator = torch.Generator().manual_seed(seed)
    channels = [score(_shuffled_units(kernel, generator), symmetry.kernel)[0] for _ in range(draws)]
    pixels = [score(_shuffled_cells(kernel, generator), symmetry.kernel)[0] for _ in range(draws)]
    return EquivarianceScore(
        score=value,
        pairs=pairs,
        wrong_direction=None if symmetry.wrong is None else score(kernel, symmetry.wrong)[0],
        unrotated=score(kernel, lambda weights: weights)[0],
        shuffled_channels=tuple(channels),
        shuffled_pixels=tuple(pixels),
        symmetry=symmetry.name,
    )


def harmonic_test(
    sums: Float[Tensor, "o i"],
    target_deg: Sequence[float],
    source_deg: Sequence[float],
    *,
    harmonic: int = 1,
    draws: int = 200,
    seed: int = 0,
) -> HarmonicScore:
    """Correlate weights with the cosine of the difference of orientation.

    Needs no turning of kernels, so it takes any angles and any kernel size, and families of
    which parts are missing.

    Args:
        sums: One signed number a pair, such as `WeightMap.strength("sum")`.
        target_deg: Angle of each target.
        source_deg: Angle of each source.
        harmonic: Factor of the difference: 1 for curves, 2 for lines.
        draws: Number of shuffles.
        seed: Of the shuffles.

    Raises:
        CircuitError: If angles and weights do not fit, or either does not vary.
    """
    sums = _checked(sums, target_deg, source_deg, single=True)
    targets, sources = (torch.tensor(x, dtype=torch.float64) for x in (target_deg, source_deg))

    def score(order: Tensor) -> float:
        wave = torch.cos(torch.deg2rad(harmonic * (targets[:, None] - sources[order][None])))
        return float(_correlations(sums.reshape(1, -1), wave.reshape(1, -1)))

    value = score(torch.arange(len(sources)))
    if float(sums.max() - sums.min()) < _FLAT or len({*target_deg, *source_deg}) < 2:
        raise CircuitError("the weights, or the angles, are all the same: nothing to correlate")
    generator = torch.Generator().manual_seed(seed)
    drawn = [score(torch.randperm(len(sources), generator=generator)) for _ in range(draws)]
    at_least = sum(other >= value for other in drawn)
    return HarmonicScore(value, tuple(drawn), (1 + at_least) / (1 + draws))


def angles_by_rotation(
    kernel: Float[Tensor, "o i kh kw"],
    source_deg: Sequence[float],
    *,
    reference: int = 0,
    step_deg: float = 15.0,
    source_period_deg: float = 360.0,
) -> list[tuple[float, float]]:
    """Order targets without knowing their angles: by how far one must be turned to get the others.

    For each turn, the kernels of the reference are turned, moved on to the sources that lie as
    much further round, and correlated with those of each target; the turn with the largest mean
    correlation counts. Turns that lead from no source to another are left out, so of a family of
    which parts are missing, some angles may not be found.

    Args:
        kernel: Weights between two families.
        source_deg: Angle of each source, convention of symmetry.py.
        reference: Row of the target that the others are compared with.
        step_deg: Turns that are tried.
        source_period_deg: When the angle of a source repeats.

    Returns:
        For each target, its angle less that of the reference, in [0, 360), and the correlation
        there.

    Raises:
        CircuitError: If the kernels do not fit the angles or cannot be turned, the reference is no
            row, or the step is not above 0 to 180.
    """
    kernel = _checked(kernel, [0.0] * len(kernel), source_deg)
    if not 0 <= reference < len(kernel) or not 0 < step_deg <= 180:
        raise CircuitError(
            f"reference {reference} and step {step_deg}: choose a row from 0 to "
            f"{len(kernel) - 1} and degrees above 0, at most 180"
        )
    turns, scores = [], []
    for turn in (k * step_deg for k in range(round(360 / step_deg))):
        b, b_to = _pairs(source_deg, rotation(turn), source_period_deg, None)
        if not b:
            continue  # a family of which parts are missing: no source lies there
        turns.append(turn)
        # The circle always, so that turns with and without interpolation compare.
        cells = _cells(kernel, disc=True)
        moved = rotated(kernel[reference], turn)[b][..., cells]
        found = _correlations(kernel[:, b_to][..., cells], moved[None].expand(len(kernel), -1, -1))
        scores.append(found.nanmean(1).nan_to_num(-1))
    best = torch.stack(scores).max(0)
    return [(turns[int(k)], float(v)) for v, k in zip(best.values, best.indices, strict=True)]


def _checked(
    kernel: Tensor,
    target_deg: Sequence[float],
    source_deg: Sequence[float],
    *,
    single: bool = False,
) -> Tensor:
    """Return weights in float64 if there is an angle for each unit and something to compare."""
    wanted = (len(target_deg), len(source_deg))
    if tuple(kernel.shape[:2]) != wanted:
        raise CircuitError(
            f"{wanted[0]} target and {wanted[1]} source angles for weights between "
            f"{kernel.shape[0]} targets and {kernel.shape[1]} sources; give one for each unit"
        )
    if not kernel.isfinite().all():
        raise CircuitError("some weights are not finite; check the model's weights")
    if not single and kernel[0, 0].numel() < 2:
        raise CircuitError(
            "a kernel of 1x1 has no orientation; use harmonic_test on the weights instead"
        )
    return kernel.detach().to("cpu", torch.float64)


def _partners(
    angles: Sequence[float],
    symmetry: Symmetry,
    period_deg: float,
    tolerance_deg: float | None,
    side: str,
) -> tuple[list[int], list[int]]:
    """Return the rows that have a partner after the symmetry, and those partners' rows.

    Raises:
        CircuitError: If none has.
    """
    rows, partners = _pairs(angles, symmetry, period_deg, tolerance_deg)
    if not rows:
        tolerance = _tolerance(angles, period_deg, tolerance_deg)
        raise CircuitError(
            f"no {side} lies within {tolerance:g} degrees of where {symmetry.name} takes another; "
            "raise tolerance_deg, or give units that cover the circle"
        )
    return rows, partners


def _tolerance(angles: Sequence[float], period_deg: float, tolerance_deg: float | None) -> float:
    return period_deg / len(angles) / 2 if tolerance_deg is None else tolerance_deg


def _pairs(
    angles: Sequence[float], symmetry: Symmetry, period_deg: float, tolerance_deg: float | None
) -> tuple[list[int], list[int]]:
    """Return rows and their partners as `_partners` does; empty if there are none."""
    given = torch.tensor(angles, dtype=torch.float64)
    tolerance = _tolerance(angles, period_deg, tolerance_deg)
    off = angular_distance(symmetry.angle(given)[:, None] - given[None], period_deg)
    nearest = off.min(1)
    rows = [k for k in range(len(angles)) if float(nearest.values[k]) <= tolerance + 1e-6]
    return rows, [int(nearest.indices[k]) for k in rows]


def _cells(kernel: Float[Tensor, "o i kh kw"], *, disc: bool) -> Bool[Tensor, "kh kw"]:
    kh, kw = kernel.shape[2:]
    if not disc:
        return torch.ones(kh, kw, dtype=torch.bool)
    y = torch.arange(kh).sub((kh - 1) / 2)[:, None]
    x = torch.arange(kw).sub((kw - 1) / 2)[None]
    return y.square() + x.square() <= ((min(kh, kw) - 1) / 2) ** 2 + 1e-9


def _correlations(first: Float[Tensor, "*n p"], second: Float[Tensor, "*n p"]) -> Tensor:
    """Return Pearson correlations along the last axis: 0 if one side is flat, NaN if both are."""
    first = first - first.mean(-1, keepdim=True)
    second = second - second.mean(-1, keepdim=True)
    one, two = first.norm(dim=-1), second.norm(dim=-1)
    found = (first * second).sum(-1) / (one * two).clamp(min=1e-300)
    found = torch.where((one < _FLAT) | (two < _FLAT), torch.zeros_like(found), found)
    return torch.where((one < _FLAT) & (two < _FLAT), torch.nan, found)


def _shuffled_units(kernel: Tensor, generator: torch.Generator) -> Tensor:
    targets = torch.randperm(kernel.shape[0], generator=generator)
    return kernel[targets][:, torch.randperm(kernel.shape[1], generator=generator)]


def _shuffled_cells(kernel: Tensor, generator: torch.Generator) -> Tensor:
    flat = kernel.flatten(2)
    order = torch.rand(flat.shape, generator=generator).argsort(2)
    return flat.gather(2, order).view_as(kernel)
