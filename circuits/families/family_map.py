"""The families of one site: units grouped, measured, and put in the order of their orientation.

    found = map_families(model, "fire4")
    [family.name for family in found.families]

tuned_groups.py and grouping.py find families where none are given; enrichment.py says where in the
layer they gather; page.py shows it all.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from circuits.expansion.weight_map import WeightMap
from circuits.families.enrichment import Enrichment, branch_enrichment
from circuits.families.family import Family, check_known, check_partition
from circuits.families.grouping import (
    Grouping,
    group,
    shuffled_weights,
    weight_profiles,
)
from circuits.families.tuned_groups import (
    OTHER,
    UNTUNED,
    measure_all,
    preferred,
    small_as_other,
    tuned_groups,
)
from circuits.tuning.measuring import TuningConfig, TuningCurve
from circuits.tuning.report import tuning_row
from featviz.errors import CircuitError
from featviz.models.model import Model
from featviz.sites import Site

_CLEAR = 0.5


@dataclass(frozen=True, eq=False)
class Member:
    """One unit of a family.

    Attributes:
        family: Name of its family.
        curve: Its tuning to the stimulus that most units of the family prefer.
    """

    family: str
    curve: TuningCurve

    def row(self) -> dict[str, Any]:
        """Return its numbers for tables and JSON; None where there is no number."""
        return {**tuning_row(self.curve), "stimulus": self.curve.stimulus, "family": self.family}


@dataclass(frozen=True, eq=False)
class FamilyMap:
    """The families of one site.

    Attributes:
        model: Name of the network.
        site: Name of the site.
        by: `tuning`, `weights`, or `given`.
        families: Units in the order of their angles; `untuned`, `other`, and families with silent
            units have no angles.
        members: All units, family by family, in the same order.
        branches: For each family, its enrichment in each part of the site; empty if the site has
            one part.
        grouping: How the families were found; None if they were given.
        networks: Units of the largest group in each of some networks with shuffled weights; empty
            where these were not asked, see `TunedGroups`.
        left_out: Number of units of the site in no family.
    """

    model: str
    site: str
    by: str
    families: tuple[Family, ...]
    members: tuple[Member, ...]
    branches: dict[str, dict[str, Enrichment]]
    grouping: Grouping | None
    networks: tuple[int, ...]
    left_out: int

    def of(self, family: str) -> list[Member]:
        """Return the members of one family, in order."""
        return [member for member in self.members if member.family == family]


def map_families(
    model: Model,
    site: str,
    *,
    families: Sequence[Family] | None = None,
    weights: WeightMap | None = None,
    inputs: Sequence[Family] | None = None,
    stimuli: Sequence[str] = ("curve", "line"),
    config: TuningConfig | None = None,
    branches: Sequence[Family] | None = None,
    count: int | None = None,
    threshold: float | None = None,
    seed: int = 0,
) -> FamilyMap:
    """Group the units of a site and measure them.

    By tuning, unless families or weights are given: units that never respond are `silent`, those
    that never fall below half their peak on the stimulus they prefer `untuned`; the others are
    grouped by the shape of their tuning curves at whatever orientation. Groups are named after the
    stimulus that most of their units prefer, the largest first. Groups no larger than those of
    random curves that are as smooth, or those of five networks with shuffled weights, mean nothing:
    their units are `other`. See tuned_groups.py for a site whose tuned units are all one group.

    The angle of a unit is the mean of its tuning curve, if all units of its family clearly prefer
    one orientation (selectivity of at least 0.5); else where its response is largest.

    Args:
        model: The network.
        site: Name of the site.
        families: Groups to use, of which those units count that lie in the site.
        weights: Kernels into the site, to group units by what they read.
        inputs: Families of the source of the weights; see `weight_profiles`.
        stimuli: What tuning is measured with.
        config: How; None: all defaults.
        branches: Parts of the layer, each unit of the site in one, for the enrichment; None: the
            modules that the site is put together from, if there are several.
        count: Number of groups; see `group`.
        threshold: Least correlation within groups; see `group`.
        seed: Of the controls.

    Raises:
        CircuitError: If arguments exclude each other, a family names unknown units, no family
            lies in the site, weights are those of another site, or units cannot be grouped.
        SiteError: If the site is unknown.
    """
    found = model.site_table().resolve(site)
    _check_one_way(families, weights, inputs, count, threshold)
    if not stimuli:
        raise CircuitError("no stimulus to measure tuning with; give one, such as 'curve'")
    if families is not None:
        here = _in_site(families, site, found.channels)
    if branches is not None:
        check_partition(branches, site, found.channels)
        typed = {branch.name: branch.channels(site) for branch in branches}
    curves = measure_all(model, site, stimuli, config)
    best = preferred(curves)
    grouping: Grouping | None = None
    networks: tuple[int, ...] = ()
    if families is not None:
        groups = {family.name: family.channels(site) for family in here}
    elif weights is not None:
        groups, grouping = _by_weights(weights, site, inputs, count, threshold, seed)
    else:
        tuned = tuned_groups(
            model, site, curves, config=config, count=count, threshold=threshold, seed=seed
        )
        groups, grouping, networks = tuned.channels, tuned.grouping, tuned.networks
    members = _members(groups, curves, best)
    ordered = tuple(_family(name, site, members) for name in groups)
    return FamilyMap(
        model=model.name,
        site=site,
        by="given" if families is not None else "tuning" if weights is None else "weights",
        families=ordered,
        members=members,
        branches=_enriched(groups, _parts(model, found) if branches is None else typed),
        grouping=grouping,
        networks=networks,
        left_out=found.channels - len({member.curve.channel for member in members}),
    )


def _members(
    groups: Mapping[str, Sequence[int]],
    curves: Mapping[str, list[TuningCurve]],
    best: list[TuningCurve],
) -> tuple[Member, ...]:
    """Return all units in order, each with its tuning to what most of its family prefer."""
    members: list[Member] = []
    for name, channels in groups.items():
        liked = Counter(best[c].stimulus for c in channels if not best[c].silent).most_common(1)
        stimulus = liked[0][0] if liked else next(iter(curves))
        members += _in_order([Member(name, curves[stimulus][channel]) for channel in channels])
    return tuple(members)


def _check_one_way(
    families: Sequence[Family] | None,
    weights: WeightMap | None,
    inputs: Sequence[Family] | None,
    count: int | None,
    threshold: float | None,
) -> None:
    found_by = (weights, count, threshold)
    if families is not None and any(way is not None for way in found_by):
        raise CircuitError(
            "families are given, so there is nothing to find: leave out weights, count, threshold"
        )
    if inputs is not None and weights is None:
        raise CircuitError("families of the inputs need the weights that read them; give weights")


def _by_weights(
    weights: WeightMap,
    site: str,
    inputs: Sequence[Family] | None,
    count: int | None,
    threshold: float | None,
    seed: int,
) -> tuple[dict[str, tuple[int, ...]], Grouping]:
    if weights.target != site:
        raise CircuitError(
            f"the weights lead to {weights.target!r}, not to {site!r}; give those of that site"
        )
    profiles = weight_profiles(weights, inputs=inputs)
    grouping = group(
        profiles, shuffled_weights(profiles), count=count, threshold=threshold, seed=seed
    )
    found = [tuple(weights.targets[k] for k in rows) for rows in grouping.groups]
    large = [channels for channels in found if len(channels) > grouping.by_chance]
    groups = {f"group {number}": channels for number, channels in enumerate(large, 1)}
    return groups | small_as_other(found, grouping.by_chance), grouping


def _angles(members: Sequence[Member]) -> list[float]:
    curves = [member.curve for member in members]
    sure = all(curve.selectivity >= _CLEAR for curve in curves)  # false also for silent ones
    return [curve.mean_deg if sure else curve.preferred_deg for curve in curves]


def _in_order(members: Sequence[Member]) -> list[Member]:
    """Return members by angle, then by channel; silent ones last."""
    angles = dict(zip(members, _angles(members), strict=True))

    def key(member: Member) -> tuple[bool, float, int]:
        angle = angles[member]
        return math.isnan(angle), 0.0 if math.isnan(angle) else angle, member.curve.channel

    return sorted(members, key=key)


def _family(name: str, site: str, members: Sequence[Member]) -> Family:
    own = [member for member in members if member.family == name]
    known = name not in {UNTUNED, OTHER} and not any(member.curve.silent for member in own)
    channels = [member.curve.channel for member in own]
    return Family.of(name, site, channels, angles_deg=_angles(own) if known else None)


def _in_site(families: Sequence[Family], site: str, channels: int) -> list[Family]:
    """Return the families with units in a site, if those units exist."""
    here = [family for family in families if family.channels(site)]
    if not here:
        raise CircuitError(f"none of the families has a unit of {site!r}; name another site")
    check_known([Family.of(f.name, site, f.channels(site)) for f in here], {site: channels})
    return here


def _parts(model: Model, site: Site) -> dict[str, range]:
    """Return the channels of each module that a site is put together from."""
    trace = model.trace()
    parts: dict[str, range] = {}
    first = -site.span[0]
    for part in site.parts:
        channels = trace.of(part.path)[part.index].shape[1]
        inside = range(max(first, 0), min(first + channels, site.channels))
        if inside:
            parts[part.path] = inside
        first += channels
    return parts


def _enriched(
    groups: Mapping[str, Sequence[int]], parts: Mapping[str, Sequence[int]]
) -> dict[str, dict[str, Enrichment]]:
    if len(parts) < 2:
        return {}
    return {name: branch_enrichment(channels, parts) for name, channels in groups.items()}
