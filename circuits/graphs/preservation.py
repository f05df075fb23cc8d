"""How much of a unit is left when only some of its inputs are: the check of a circuit.

    probe = Probe(model, "arcs:6", probe_images(model, "arcs"), region="center")
    preservation_curve(probe, ["early_curves:6", "early_curves:18", ...], rank=my_ranking)

A circuit that explains a unit keeps its activation with few units; units drawn at random, and the
same choice in networks without learnt order, say how much that is worth.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch

from circuits.graphs.probe import Probe, control_probes, pearson, varying_response
from circuits.graphs.silencing import Silencing
from featviz.errors import CircuitError
from featviz.models import Model
from featviz.units import Unit, parse_units

Rank: TypeAlias = Callable[[Model, str], Sequence[str]]
"""Ranks the inputs of units (`SITE:CHANNELS`) of a network, most important first."""


@dataclass(frozen=True)
class PreservationPoint:
    """What is left of a unit with a number of units kept.

    Attributes:
        kept: How many.
        correlation: With the whole network, over the images; not-a-number if nothing varies.
        mean_ratio: Mean activation over that of the whole network.
        random: Correlations with as many units drawn at random.
        shuffled: Correlations of units of the network with shuffled weights, each with as many
            units of its own ranking kept; empty without `rank`, or if none responds there.
        random_weights: The same in the network with weights drawn anew.
    """

    kept: int
    correlation: float
    mean_ratio: float
    random: tuple[float, ...]
    shuffled: tuple[float, ...] = ()
    random_weights: tuple[float, ...] = ()

    @property
    def random_mean(self) -> float:
        """Mean of the random draws; a unit that no longer varies counts as 0."""
        return _mean(self.random)

    @property
    def shuffled_mean(self) -> float:
        """The same of the network with shuffled weights."""
        return _mean(self.shuffled)

    @property
    def random_weights_mean(self) -> float:
        """The same of the network with weights drawn anew."""
        return _mean(self.random_weights)


def _mean(values: Sequence[float]) -> float:
    known = [0.0 if math.isnan(value) else value for value in values]
    return sum(known) / len(known) if known else math.nan


def preservation_curve(
    probe: Probe,
    ranking: Sequence[str],
    *,
    sites: Sequence[str] | None = None,
    keeps: Sequence[int] | None = None,
    draws: int = 8,
    seed: int = 0,
    rank: Rank | None = None,
) -> list[PreservationPoint]:
    """Return what is left of a unit when only the first units of a ranking are kept.

    Args:
        probe: The unit or units, and the images.
        ranking: Units, `SITE:CHANNEL`, most important first.
        sites: Sites whose other units are silenced; None: those of the ranking.
        keeps: How many are kept; None: 1, 2, 4 and so on, and all of the ranking.
        draws: Random selections for each.
        seed: Of the draws and of the other networks.
        rank: Makes the ranking of units in another network as `ranking` was made in this one, for
            the controls; None: no such controls. Each kind of network gives up to three.

    Raises:
        CircuitError: If the ranking is empty, has doubles or leaves the sites, a number to keep is
            out of range, or the unit is the same on all images, so that nothing can correlate with
            it; if `rank` gives too few units.
        UnitError: If a unit is malformed or out of range.
    """
    found = _units(probe.model, ranking)
    places = list(dict.fromkeys(sites or [unit.site for unit in found]))
    _check_places(found, places)
    table = probe.model.site_table()
    pool = [Unit(site, c) for site in places for c in range(table.resolve(site).channels)]
    counts = sorted(set(_doublings(len(found)) if keeps is None else keeps))
    if not counts or counts[0] < 1 or counts[-1] > len(found):
        raise CircuitError(f"keeps must be 1 to {len(found)}, the length of the ranking")
    full = varying_response(probe)
    controls = {} if rank is None else _control_curves(probe, rank, places, counts, seed)
    generator = torch.Generator().manual_seed(seed)
    silencing = Silencing(probe, places)
    points = []
    for count in counts:
        left = silencing(_by_site(found[:count], places))
        random = []
        for _ in range(draws):
            order = torch.randperm(len(pool), generator=generator)[:count].tolist()
            some = silencing(_by_site([pool[k] for k in order], places))
            random.append(pearson(some, full))
        ratio = float(left.mean() / full.mean())
        others = {kind: curves[count] for kind, curves in controls.items()}
        points.append(PreservationPoint(count, pearson(left, full), ratio, tuple(random), **others))
    return points


def _control_curves(
    probe: Probe, rank: Rank, places: Sequence[str], counts: Sequence[int], seed: int
) -> dict[str, dict[int, tuple[float, ...]]]:
    """Return by kind of network and number kept what is left of its units."""
    curves: dict[str, dict[int, tuple[float, ...]]] = {}
    for kind, controls in control_probes(probe, seed).items():
        ranked = [(c, _units(c.probe.model, rank(c.probe.model, c.probe.unit))) for c in controls]
        for control, units in ranked:
            _check_places(units, places)
            if len(units) < counts[-1]:
                raise CircuitError(
                    f"rank gave {len(units)} units for {control.probe.unit} of the control, and "
                    f"{counts[-1]} are to be kept; let it rank as many as the ranking has"
                )
        curves[kind] = {
            count: tuple(
                pearson(control.probe.response(_by_site(units[:count], places)), control.full)
                for control, units in ranked
            )
            for count in counts
        }
    return curves


def _check_places(units: Sequence[Unit], places: Sequence[str]) -> None:
    beyond = sorted({unit.site for unit in units} - set(places))
    if beyond:
        raise CircuitError(
            f"the ranking names units of {', '.join(beyond)}, and only {', '.join(places)} are "
            "silenced; name these sites too, or leave their units out"
        )


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
