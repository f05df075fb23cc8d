"""How much of a unit is left when only some of its inputs are: the check of a circuit.

    probe = Probe(model, "arcs:6", probe_images(model, "arcs:6"), region="center")
    preservation_curve(probe, ["early_curves:6", "early_curves:18", ...])

A circuit that explains a unit keeps its activation with few units; units drawn at random, and the
same choice in a network without learnt order, say how much that is worth.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.ablation.keeping import channel_means, check_ablation, keep_only
from circuits.tuning.measuring import read_map
from featviz.errors import CircuitError
from featviz.models import Model
from featviz.units import Unit, parse_units

BATCH = 32


@dataclass(frozen=True)
class Probe:
    """A unit, and what its activation is read on.

    Attributes:
        model: The network.
        unit: `SITE:CHANNEL`.
        images: RGB (or the network's own channels), 0..1.
        region: Where the map is read: `center`, `map` or `mean`, see tuning.py.
        ablation: What silenced units become: `zero`, or the `mean` of their channel over the
            images.
    """

    model: Model
    unit: str
    images: Float[Tensor, "n c h w"]
    region: str = "map"
    ablation: str = "zero"

    def __post_init__(self) -> None:
        """Check the way of ablation and the unit."""
        check_ablation(self.ablation)
        self._target()

    def _target(self) -> Unit:
        parsed = parse_units(self.unit)
        found = parsed.expand(self.model.site_table().resolve(parsed.site).channels)
        if len(found) != 1:
            raise CircuitError(f"{self.unit!r} names {len(found)} units; a check is of one")
        return found[0]

    def response(self, kept: Mapping[str, Sequence[int]] | None = None) -> Float[Tensor, " n"]:
        """Return the unit's activation on each image, at least 0.

        Args:
            kept: Channels left on, by site; None: the whole network.
        """
        kept = kept or {}
        fill = None
        if self.ablation == "mean" and kept:
            fill = channel_means(self.model, self.images, list(kept))
        target = self._target()
        found = []
        with torch.no_grad(), keep_only(self.model, kept, fill=fill):
            for batch in self.images.split(BATCH):
                maps = self.model.record(batch.to(self.model.device), [target.site])[target.site]
                found.append(read_map(maps, self.region)[:, target.channel].cpu())
        return torch.cat(found)


def pearson(one: Float[Tensor, " n"], other: Float[Tensor, " n"]) -> float:
    """Return the correlation of two series; not-a-number where one does not vary."""
    a, b = (x.double() - x.double().mean() for x in (one, other))
    scale = float(a.norm() * b.norm())
    # Sums that should be 0 leave rounding behind.
    least = 1e-12 * float(one.double().norm() * other.double().norm())
    return float(a @ b) / scale if scale > least else math.nan


@dataclass(frozen=True)
class PreservationPoint:
    """What is left of a unit with a number of units kept.

    Attributes:
        kept: How many.
        correlation: With the whole network, over the images; not-a-number if nothing varies.
        mean_ratio: Mean activation over that of the whole network.
        random: Correlations with as many units drawn at random.
    """

    kept: int
    correlation: float
    mean_ratio: float
    random: tuple[float, ...]

    @property
    def random_mean(self) -> float:
        """Mean of the random draws; a unit that no longer varies counts as 0."""
        known = [0.0 if math.isnan(value) else value for value in self.random]
        return sum(known) / len(known) if known else math.nan


def preservation_curve(
    probe: Probe,
    ranking: Sequence[str],
    *,
    sites: Sequence[str] | None = None,
    keeps: Sequence[int] | None = None,
    draws: int = 8,
    seed: int = 0,
) -> list[PreservationPoint]:
    """Return what is left of a unit when only the first units of a ranking are kept.

    Args:
        probe: The unit, and the images.
        ranking: Units, `SITE:CHANNEL`, most important first.
        sites: Sites whose other units are silenced; None: those of the ranking.
        keeps: How many are kept; None: 1, 2, 4 and so on, and all of the ranking.
        draws: Random selections for each.
        seed: Of the draws.

    Raises:
        CircuitError: If the ranking is empty or has doubles, a number to keep is out of range,
            or the unit is the same on all images, so that nothing can correlate with it.
        UnitError: If a unit is malformed or out of range.
    """
    found = _units(probe.model, ranking)
    places = list(dict.fromkeys(sites or [unit.site for unit in found]))
    table = probe.model.site_table()
    pool = [Unit(site, c) for site in places for c in range(table.resolve(site).channels)]
    counts = sorted(set(_doublings(len(found)) if keeps is None else keeps))
    if not counts or counts[0] < 1 or counts[-1] > len(found):
        raise CircuitError(f"keeps must be 1 to {len(found)}, the length of the ranking")
    full = varying_response(probe)
    generator = torch.Generator().manual_seed(seed)
    points = []
    for count in counts:
        left = probe.response(_by_site(found[:count], places))
        random = []
        for _ in range(draws):
            order = torch.randperm(len(pool), generator=generator)[:count].tolist()
            some = probe.response(_by_site([pool[k] for k in order], places))
            random.append(pearson(some, full))
        ratio = float(left.mean() / full.mean())
        points.append(PreservationPoint(count, pearson(left, full), ratio, tuple(random)))
    return points


def varying_response(probe: Probe) -> Float[Tensor, " n"]:
    """Return the response of the whole network.

    Raises:
        CircuitError: If it is the same on all images.
    """
    full = probe.response()
    if math.isnan(pearson(full, full)):
        raise CircuitError(
            f"{probe.unit} in {probe.model.name!r} responds alike to all {len(full)} images, so "
            "nothing can be checked on them; give images that it responds to"
        )
    return full


def _units(model: Model, ranking: Sequence[str]) -> list[Unit]:
    table = model.site_table()
    found = []
    for text in ranking:
        parsed = parse_units(text)
        found += parsed.expand(table.resolve(parsed.site).channels)
    if not found or len(set(found)) < len(found):
        raise CircuitError("a ranking must name units, each once")
    return found


def _doublings(count: int) -> list[int]:
    found = [1]
    while found[-1] * 2 < count:
        found.append(found[-1] * 2)
    return [*found, count]


def _by_site(units: Sequence[Unit], sites: Sequence[str]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {site: [] for site in sites}
    for unit in units:
        found[unit.site].append(unit.channel)
    return found


@dataclass(frozen=True)
class Faithfulness:
    """Whether a circuit does what its unit does, and nothing is missing or too much.

    m is the unit's mean activation over the images.

    Attributes:
        faithfulness: (m(circuit) - m(nothing)) / (m(network) - m(nothing)): 1 if the circuit alone
            does as much as the network.
        incompleteness: (m(network without circuit) - m(nothing)) / (m(network) - m(nothing)): 0 if
            nothing outside of the circuit does anything.
        minimality: For each unit of the circuit, |m(circuit) - m(circuit without it)| over
            m(network) - m(nothing): 0 if it could be left out.
    """

    faithfulness: float
    incompleteness: float
    minimality: Mapping[str, float]


def measure_faithfulness(
    probe: Probe, circuit: Mapping[str, Sequence[int]], *, minimality: bool = True
) -> Faithfulness:
    """Return how faithful, complete and minimal a circuit is.

    Args:
        probe: The unit, and the images.
        circuit: Channels by site, without the unit's own; `CircuitGraph.channels` gives them.
        minimality: Whether to leave each unit out in turn, one pass each.

    Raises:
        CircuitError: If the unit does the same with all units of these sites silenced.
    """
    table = probe.model.site_table()
    rest = {
        site: sorted(set(range(table.resolve(site).channels)) - set(channels))
        for site, channels in circuit.items()
    }

    def mean(kept: Mapping[str, Sequence[int]] | None) -> float:
        return float(probe.response(kept).double().mean())

    nothing, full = mean(dict.fromkeys(circuit, ())), mean(None)
    scale = full - nothing
    if abs(scale) <= 1e-9 * max(abs(full), abs(nothing)) or scale == 0:
        raise CircuitError(
            f"{probe.unit} does the same with and without {', '.join(circuit)}, so no circuit can "
            "be checked there; choose other sites or images"
        )
    kept = mean(circuit)
    losses = {}
    for site, channels in circuit.items() if minimality else ():
        for channel in channels:
            fewer = {**circuit, site: [c for c in channels if c != channel]}
            losses[f"{site}:{channel}"] = abs(kept - mean(fewer)) / abs(scale)
    return Faithfulness((kept - nothing) / scale, (mean(rest) - nothing) / scale, losses)
