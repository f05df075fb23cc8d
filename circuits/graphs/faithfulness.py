"""Whether a circuit does what its unit does, and nothing is missing or too much.

    probe = Probe(model, "arcs:6", probe_images(model, "arcs"), region="center")
    measure_faithfulness(probe, {"early_curves": [6, 18], "early_lines": []})

m is the mean activation over the images; of several units, over these too. Each number stands
beside that of random selections of as many units of each site; verdict.py says when it is better.
"""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch

from circuits.ablation.chance import DRAWS
from circuits.graphs.probe import Probe
from circuits.graphs.silencing import Silencing
from circuits.graphs.verdict import Verdict, judge
from featviz.errors import CircuitError
from featviz.models import Model

Selection = Mapping[str, Sequence[int]]
"""Channels by site."""


@dataclass(frozen=True)
class Faithfulness:
    """How faithful, complete and minimal a circuit is, and random selections of its size.

    Attributes:
        faithfulness: (m(circuit) - m(nothing)) / (m(network) - m(nothing)): how much of the unit's
            mean activation the circuit alone brings; it should be 1.
        incompleteness: (m(network without circuit) - m(nothing)) / (m(network) - m(nothing)): how
            much of it all other units bring without the circuit; it should be 0.
        minimality: For each unit of the circuit, |m(circuit) - m(circuit without it)| over
            |m(network) - m(nothing)|: how much of it changes when that unit alone is left out; 0 if
            it was not needed.
        random_faithfulness: Of the random selections.
        random_incompleteness: Likewise.
        random_minimality: Of one unit of each random selection, drawn at random.
    """

    faithfulness: float
    incompleteness: float
    minimality: Mapping[str, float]
    random_faithfulness: tuple[float, ...] = ()
    random_incompleteness: tuple[float, ...] = ()
    random_minimality: tuple[float, ...] = ()

    @property
    def median_minimality(self) -> float | None:
        """What leaving out the middle one of the circuit's units changes; None if not measured."""
        return statistics.median(self.minimality.values()) if self.minimality else None

    @property
    def verdicts(self) -> dict[str, Verdict]:
        """How each of the three stands among random selections.

        That of minimality compares the middle unit of the circuit with one unit of each random
        selection: half of these would change as much if the circuit were one of them.
        """
        found = {
            "faithfulness": judge(self.faithfulness, self.random_faithfulness, ideal=1),
            "incompleteness": judge(self.incompleteness, self.random_incompleteness, ideal=0),
        }
        if self.median_minimality is not None:
            found["minimality"] = judge(self.median_minimality, self.random_minimality)
        return found


def measure_faithfulness(
    probe: Probe,
    circuit: Selection,
    *,
    minimality: bool = True,
    draws: int = DRAWS,
    seed: int = 0,
) -> Faithfulness:
    """Return how faithful, complete and minimal a circuit is, beside random selections.

    Args:
        probe: The unit, and the images.
        circuit: Channels by site, without the unit's own; `CircuitGraph.channels` gives them.
        minimality: Whether to leave each unit out in turn, one pass each.
        draws: Random selections, as many units of each site; up to three passes each.
        seed: Of the draws.

    Raises:
        CircuitError: If the unit does the same with all units of these sites silenced.
    """
    generator = torch.Generator().manual_seed(seed)
    selections = list(random_selections(probe.model, circuit, draws, generator))
    silencing = Silencing(probe, list(circuit))
    return faithfulness_of(silencing, circuit, selections, generator, minimality=minimality)


def random_selections(
    model: Model, circuit: Selection, draws: int, generator: torch.Generator
) -> Iterator[dict[str, list[int]]]:
    """Yield selections of as many units of each site as a circuit has, drawn at random."""
    for _ in range(draws):
        yield {
            site: torch.randperm(_width(model, site), generator=generator)[: len(channels)].tolist()
            for site, channels in circuit.items()
        }


def faithfulness_of(
    silencing: Silencing,
    circuit: Selection,
    selections: Sequence[Selection],
    generator: torch.Generator,
    *,
    minimality: bool,
) -> Faithfulness:
    """Return what `measure_faithfulness` does, of random selections that may have been run already.

    Args:
        silencing: Of the circuit's sites.
        circuit: Channels by site.
        selections: Random ones of its size.
        generator: Draws the unit that is left out of each.
        minimality: Whether to leave units out.

    Raises:
        CircuitError: As `measure_faithfulness`.
    """
    nothing, full = _mean(silencing, {}), float(silencing.full.double().mean())
    scale = full - nothing
    if abs(scale) <= 1e-9 * max(abs(full), abs(nothing)) or scale == 0:
        raise CircuitError(
            f"{silencing.probe.unit} does the same with and without {', '.join(circuit)}, so no "
            "circuit can be checked there; choose other sites or images"
        )
    model = silencing.probe.model

    def share(kept: Selection) -> float:
        return (_mean(silencing, kept) - nothing) / scale

    def loss(kept: Selection, unit: tuple[str, int]) -> float:
        return abs(share(kept) - share(_without(kept, unit)))

    drawn = [(some, _drawn(some, generator)) for some in selections] if minimality else []
    return Faithfulness(
        share(circuit),
        share(_rest(model, circuit)),
        {f"{site}:{c}": loss(circuit, (site, c)) for site, c in _units(circuit)}
        if minimality
        else {},
        tuple(share(some) for some in selections),
        tuple(share(_rest(model, some)) for some in selections),
        tuple(loss(some, unit) for some, unit in drawn if unit is not None),
    )


def _mean(silencing: Silencing, kept: Selection) -> float:
    return float(silencing(kept).double().mean())


def _units(selection: Selection) -> list[tuple[str, int]]:
    return [(site, channel) for site, channels in selection.items() for channel in channels]


def _drawn(selection: Selection, generator: torch.Generator) -> tuple[str, int] | None:
    units = _units(selection)
    if not units:
        return None
    return units[int(torch.randint(len(units), (), generator=generator))]


def _without(selection: Selection, unit: tuple[str, int]) -> Selection:
    site, channel = unit
    return {**selection, site: [c for c in selection[site] if c != channel]}


def _rest(model: Model, selection: Selection) -> Selection:
    return {
        site: sorted(set(range(_width(model, site))) - set(channels))
        for site, channels in selection.items()
    }


def _width(model: Model, site: str) -> int:
    return model.site_table().resolve(site).channels
