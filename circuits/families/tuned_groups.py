"""Units of a site in families by their tuning, beside two controls.

Silent and untuned units come apart first; the tuned ones are grouped by the shape of their curves.
A group is a family if it is larger than any of random curves as smooth as those measured
(`surrogate_tuning`), and than any in networks with shuffled weights, measured in the same way. A
site whose units are all of one smooth shape, which random curves are as well, is compared with
those networks alone. Of 78 sites of networks with shuffled weights, 11 had a group beyond both.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from circuits.controls import shuffled
from circuits.families.grouping import (
    Grouping,
    cluster,
    group,
    similarity,
    surrogate_tuning,
    tuning_profiles,
)
from circuits.tuning.measuring import TuningConfig, TuningCurve, measure_tuning
from featviz.models.model import Model

SILENT = "silent"
UNTUNED = "untuned"
OTHER = "other"

# Largest of 20: structureless units exceed it once in 21 sites.
_DRAWS = 20
_NETWORKS = 5

Curves = Mapping[str, Sequence[TuningCurve]]
"""Stimulus -> curves of all units of the site."""


@dataclass(frozen=True)
class TunedGroups:
    """Families by tuning.

    Attributes:
        channels: Those of each family, the largest first; then `other`, `untuned` and `silent`.
        grouping: How they were found; None if no unit is tuned.
        networks: Units of the largest group in each of some networks with shuffled weights; empty
            where no group is beyond random curves, or there is no convolution to shuffle.
    """

    channels: dict[str, tuple[int, ...]]
    grouping: Grouping | None
    networks: tuple[int, ...]


def measure_all(
    model: Model, site: str, stimuli: Sequence[str], config: TuningConfig | None
) -> dict[str, list[TuningCurve]]:
    """Return the tuning of all units of a site to each of some stimuli."""
    return {name: measure_tuning(model, site, stimulus=name, config=config) for name in stimuli}


def preferred(curves: Curves) -> list[TuningCurve]:
    """Return the curve of each unit for the stimulus that excites it most."""
    return [max(of_unit, key=_strongest) for of_unit in zip(*curves.values(), strict=True)]


def tuned_groups(
    model: Model,
    site: str,
    curves: Curves,
    *,
    config: TuningConfig | None,
    count: int | None,
    threshold: float | None,
    seed: int,
) -> TunedGroups:
    """Group the units of a site by the shape of their tuning curves.

    Args:
        model: The network.
        site: Name of the site.
        curves: Of all its units, measured with `config`.
        config: How; for networks with shuffled weights.
        count: Number of groups; see `group`.
        threshold: Least correlation within groups; see `group`.
        seed: Of the controls.

    Raises:
        CircuitError: If the units cannot be grouped.
    """
    best = preferred(curves)
    silent, untuned, tuned = _sorted_out(best)
    named: dict[str, tuple[int, ...]] = {}
    grouping: Grouping | None = None
    networks: tuple[int, ...] = ()
    if tuned:
        responses = _responses(curves, tuned)
        grouping = group(
            tuning_profiles(responses),
            surrogate_tuning(responses),
            count=count,
            threshold=threshold,
            draws=_DRAWS,
            seed=seed,
        )
        least, largest = grouping.by_chance, len(grouping.groups[0])
        whole = 1 < len(tuned) == largest <= least
        if grouping.threshold is not None and (whole or largest > least):
            networks = _in_shuffled_networks(model, site, curves, config, grouping, seed)
            if networks:
                least = max(networks) if whole else max(least, *networks)
        named = _named([tuple(tuned[k] for k in rows) for rows in grouping.groups], best, least)
    rest = {UNTUNED: untuned, SILENT: silent}
    named |= {name: tuple(channels) for name, channels in rest.items() if channels}
    return TunedGroups(named, grouping, networks)


def small_as_other(found: Sequence[Sequence[int]], least: int) -> dict[str, tuple[int, ...]]:
    """Return the units of groups that chance gives too, as one group; empty if there are none."""
    rest = sorted(c for channels in found if len(channels) <= least for c in channels)
    return {OTHER: tuple(rest)} if rest else {}


def _strongest(curve: TuningCurve) -> float:
    # Not the peak of the curve: that is a mean over widths or radii, which differ between stimuli.
    return float(curve.surface.amax())


def _sorted_out(best: Sequence[TuningCurve]) -> tuple[list[int], list[int], list[int]]:
    """Return the channels that never respond, those that hardly change, and all others."""
    silent = [curve.channel for curve in best if curve.silent]
    untuned = [
        curve.channel
        for curve in best
        if not curve.silent and float(curve.response.amin()) > curve.peak / 2
    ]
    apart = {*silent, *untuned}
    return silent, untuned, [curve.channel for curve in best if curve.channel not in apart]


def _responses(curves: Curves, channels: Sequence[int]) -> list[Float[Tensor, "u _n"]]:
    return [torch.stack([of[c].response for c in channels]).double() for of in curves.values()]


def _in_shuffled_networks(
    model: Model,
    site: str,
    curves: Curves,
    config: TuningConfig | None,
    grouping: Grouping,
    seed: int,
) -> tuple[int, ...]:
    """Return the size of the largest group in networks with shuffled weights, one a network."""
    if not any(isinstance(module, nn.Conv2d) for module in model.module.modules()):
        return ()
    sizes = []
    for number in range(_NETWORKS):
        twin = shuffled(model, seed=seed + number)
        theirs = measure_all(twin, site, list(curves), config)
        tuned = _sorted_out(preferred(theirs))[2]
        if tuned:
            alike = similarity(tuning_profiles(_responses(theirs, tuned)))
            sizes.append(len(cluster(alike, threshold=grouping.threshold)[0]))
        else:
            sizes.append(0)
    return tuple(sizes)


def _named(
    found: Sequence[tuple[int, ...]], best: Sequence[TuningCurve], least: int
) -> dict[str, tuple[int, ...]]:
    """Return groups under the name of what they prefer, those that chance gives as one."""
    kinds: Counter[str] = Counter()
    named = {}
    for channels in found:
        if len(channels) > least:
            kind = Counter(best[channel].stimulus for channel in channels).most_common(1)[0][0]
            kinds[kind] += 1
            named[f"{kind} {kinds[kind]}"] = channels
    return named | small_as_other(found, least)
