"""Families found: units that are tuned alike, or read the same inputs, put together.

Profiles (one row a unit) come from tuning curves or from a `WeightMap`; clustering joins the two
groups that are most alike until none are alike enough. Random profiles, joined in the same way, say
how large groups become by chance: for weights, shuffled ones; for tuning, curves that are as smooth
as those measured (`surrogate_tuning`), for smooth curves are alike by chance and shuffled ones not.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

from circuits.expansion.weight_map import WeightMap
from circuits.families.family import Family
from featviz.errors import CircuitError

Shuffle = Callable[[torch.Generator], Tensor]
"""Returns random profiles that share with those of the units what is not to count."""

_MAX_UNITS = 4096
# A curve with one narrow peak and one with two opposite peaks have a correlation of about .65, and
# are not the same kind of tuning.
_ALIKE = 0.7
# Cutting off makes curves rougher. Corrected as often, the mean spectrum is within some percent.
_CORRECTIONS = 8


@dataclass(frozen=True)
class Grouping:
    """Groups of rows, and how much they mean.

    Attributes:
        groups: Rows of each group, ascending; largest group first.
        threshold: Least mean correlation of groups that were joined; None if a number was asked
            for.
        within: Mean correlation of two units of one group; 0 if no group has two.
        shuffled_within: The same for random profiles, one a draw; with a threshold it lies above
            that by construction, and only the sizes tell.
        shuffled_largest: Units of the largest group of random profiles, one a draw.
    """

    groups: tuple[tuple[int, ...], ...]
    threshold: float | None
    within: float
    shuffled_within: tuple[float, ...]
    shuffled_largest: tuple[int, ...]

    @property
    def by_chance(self) -> int:
        """Size that a group must exceed to mean anything; 1 if a number of groups was asked for.

        A number of groups is always reached, in random profiles too, so that sizes say nothing.
        """
        return 1 if self.threshold is None else max((1, *self.shuffled_largest))


def group(
    profiles: Float[Tensor, "u p"],
    shuffle: Shuffle,
    *,
    count: int | None = None,
    threshold: float | None = None,
    draws: int = 5,
    seed: int = 0,
) -> Grouping:
    """Join units by the correlation of their profiles, average linkage.

    Args:
        profiles: One row a unit; rows that do not vary are alike to none.
        shuffle: Random profiles, for the control.
        count: Number of groups to end with; None: as the threshold says.
        threshold: Least mean correlation of two groups that are joined, -1..1; None: 0.7
            unless a number is given.
        draws: Number of random sets of profiles, 1 or more.
        seed: Of these.

    Raises:
        CircuitError: If both number and threshold are given, or a number out of range, there is no
            unit or too many, the threshold is no correlation, or a profile is not finite.
    """
    units = len(profiles)
    if not 1 <= units <= _MAX_UNITS:
        raise CircuitError(f"{units} units cannot be grouped; give 1 to {_MAX_UNITS}")
    if not profiles.isfinite().all():
        raise CircuitError("some profiles are not finite; leave out silent units")
    if count is not None and threshold is not None:
        raise CircuitError(f"count={count} and threshold={threshold}: give one of them")
    if count is not None and not 1 <= count <= units:
        raise CircuitError(f"{count} groups of {units} units: give a number from 1 to {units}")
    if threshold is not None and not -1 <= threshold <= 1:
        raise CircuitError(f"threshold {threshold} is no correlation; choose -1 to 1, such as 0.7")
    generator = torch.Generator().manual_seed(seed)
    controls = [similarity(shuffle(generator)) for _ in range(draws)]
    if count is None and threshold is None:
        threshold = _ALIKE
    alike = similarity(profiles)

    def joined(table: npt.NDArray[np.float64]) -> list[list[int]]:
        return cluster(table, count=count, threshold=threshold)

    groups = joined(alike)
    shuffled = [joined(table) for table in controls]
    return Grouping(
        groups=tuple(map(tuple, groups)),
        threshold=threshold,
        within=_within(alike, groups),
        shuffled_within=tuple(map(_within, controls, shuffled)),
        shuffled_largest=tuple(len(found[0]) for found in shuffled),
    )


def similarity(profiles: Float[Tensor, "u p"]) -> npt.NDArray[np.float64]:
    """Return the correlation of each two rows; 0 with a row that does not vary."""
    rows = profiles.detach().to("cpu", torch.float64)
    rows = rows - rows.mean(1, keepdim=True)
    length = rows.norm(dim=1, keepdim=True)
    scale = profiles.detach().abs().amax(1, keepdim=True).to("cpu", torch.float64)
    rows = torch.where(length > 1e-9 * scale, rows / length.clamp(min=1e-300), 0.0)
    table: npt.NDArray[np.float64] = (rows @ rows.T).numpy()
    return table


def cluster(
    alike: npt.NDArray[np.float64], *, count: int | None = None, threshold: float | None = None
) -> list[list[int]]:
    """Join the two groups with the largest mean similarity until a number or a threshold.

    Ties go to the lower rows, so that the result does not depend on anything else.

    Args:
        alike: Symmetric.
        count: Groups to end with.
        threshold: Least mean similarity of two groups that are joined.

    Returns:
        Rows of each group, ascending; largest group first, then by the first row.
    """
    table = alike.copy()
    np.fill_diagonal(table, -np.inf)
    groups: dict[int, list[int]] = {k: [k] for k in range(len(table))}
    # Nearest neighbour of each group, kept up to date: a join costs one row, not a table.
    nearest = table.argmax(1) if len(table) > 1 else np.zeros(len(table), dtype=np.intp)
    best = table[np.arange(len(table)), nearest]
    while len(groups) > (count or 1):
        a = int(best.argmax())
        b = int(nearest[a])
        if threshold is not None and best[a] < threshold:
            break
        a, b = min(a, b), max(a, b)
        m, n = len(groups[a]), len(groups[b])
        merged = (m * table[a] + n * table[b]) / (m + n)
        merged[[a, b]] = -np.inf
        table[a], table[:, a] = merged, merged
        table[b], table[:, b] = -np.inf, -np.inf
        groups[a] += groups.pop(b)
        best[b] = -np.inf
        for k in groups:
            if k == a or nearest[k] in (a, b) or table[k, a] >= best[k]:
                nearest[k] = table[k].argmax()
                best[k] = table[k, nearest[k]]
    return sorted((sorted(rows) for rows in groups.values()), key=lambda rows: (-len(rows), rows))


def tuning_profiles(responses: Sequence[Float[Tensor, "u _n"]]) -> Float[Tensor, "u p"]:
    """Return profiles of tuning curves: shape alone, wherever the peak lies and however high.

    Args:
        responses: Response by orientation for each kind of stimulus, orientations in equal steps
            over the period. Each is turned so that its peak comes first, and all are divided by
            the largest, so that the preference between kinds stays.
    """
    turned = []
    for response in responses:
        n = response.shape[1]
        index = (torch.arange(n)[None] + response.argmax(1, keepdim=True)) % n
        turned.append(response.gather(1, index))
    joint = torch.cat(turned, 1)
    return joint / joint.amax(1, keepdim=True).clamp(min=1e-30)


def surrogate_tuning(responses: Sequence[Float[Tensor, "u _n"]]) -> Shuffle:
    """Return the control of `tuning_profiles`: random curves as smooth as those measured.

    Each surrogate has the amplitude spectrum of one unit's curve, so the same correlation of
    neighbouring orientations, and random phases. It is cut off below and scaled, so that as many
    orientations give the lowest response, and lowest and highest are those of the unit.
    Orientations in random order would not do: any tuning curve is smooth, and structureless
    smooth curves are alike once their peaks are aligned.

    Args:
        responses: See `tuning_profiles`.

    References:
        Theiler et al. 1992, "Testing for nonlinearity in time series: the method of surrogate
        data", for curves that are not cut off.
    """

    def draw(generator: torch.Generator) -> Tensor:
        return tuning_profiles([surrogates(response, generator) for response in responses])

    return draw


def surrogates(curves: Float[Tensor, "u n"], generator: torch.Generator) -> Float[Tensor, "u n"]:
    """Return random curves with the amplitude spectra of those given, see `surrogate_tuning`.

    The spectra are kept before the cut; after it, their mean over all units is kept, to a few
    percent.

    Args:
        curves: At least 0.
        generator: Of the phases, on the CPU.
    """
    peak = curves.detach().to("cpu", torch.float64).amax(1, keepdim=True).clamp(min=1e-30)
    given = curves.detach().to("cpu", torch.float64) / peak
    amplitude = torch.fft.rfft(given, dim=1).abs()
    amplitude[:, 0] = 0
    wanted = amplitude.square().mean(0)
    phase = 2 * math.pi * torch.rand(amplitude.shape, generator=generator, dtype=torch.float64)

    def drawn() -> Tensor:
        return _cut_like(torch.fft.irfft(torch.polar(amplitude, phase), n=given.shape[1]), given)

    for _ in range(_CORRECTIONS):
        found = torch.fft.rfft(drawn(), dim=1).abs().square().mean(0)
        amplitude = amplitude * (wanted / found.clamp(min=1e-18)).sqrt().clamp(0.5, 2)
    return drawn() * peak


def _cut_like(curves: Float[Tensor, "u n"], given: Float[Tensor, "u n"]) -> Float[Tensor, "u n"]:
    """Return curves cut off and scaled to the lowest and highest values of those given."""
    low, high = given.aminmax(dim=1, keepdim=True)
    at_low = (given <= low + 1e-6 * (high - low)).sum(1, keepdim=True)
    above = (curves - curves.sort(1).values.gather(1, at_low - 1)).clamp(min=0)
    return low + (high - low) * above / above.amax(1, keepdim=True).clamp(min=1e-30)


def weight_profiles(
    weights: WeightMap, *, inputs: Sequence[Family] | None = None
) -> Float[Tensor, "o p"]:
    """Return profiles of weights: sums of positive and of negative weights, by input.

    Args:
        weights: Kernels.
        inputs: Families of the source; sums are over all units of one, so that units which read
            the same family at another orientation are alike. Inputs in none are left out. None:
            each source channel for itself.

    Raises:
        CircuitError: If no input is in a family.
    """
    parts = torch.stack([weights.strength("positive"), weights.strength("negative")], 2)
    if inputs is not None:
        columns = [
            [k for k, channel in enumerate(weights.sources) if channel in set(chosen)]
            for chosen in (family.channels(weights.source) for family in inputs)
        ]
        if not any(columns):
            raise CircuitError(
                f"no unit of {weights.source!r} is in the families of the inputs; name some"
            )
        parts = torch.stack([parts[:, column].sum(1) for column in columns if column], 1)
    return parts.flatten(1)


def shuffled_weights(profiles: Float[Tensor, "u p"]) -> Shuffle:
    """Return the control of `weight_profiles`: each column's numbers among other units."""

    def shuffle(generator: torch.Generator) -> Tensor:
        order = torch.rand(profiles.shape, generator=generator).argsort(0)
        return profiles.gather(0, order)

    return shuffle


def _within(table: npt.NDArray[np.float64], groups: Sequence[Sequence[int]]) -> float:
    pairs = [
        table[np.ix_(rows, rows)][np.triu_indices(len(rows), 1)] for rows in groups if len(rows) > 1
    ]
    return float(np.concatenate(pairs).mean()) if pairs else 0.0
