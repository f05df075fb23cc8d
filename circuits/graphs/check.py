"""Check a drawn circuit on its network: is the unit still itself with these units alone?

    check = check_circuit(model, graph, images, rebuild=lambda m, unit: build_graph(m, unit))

Beside each number stand as many units drawn at random, and circuits built in the same way in
copies of the network whose weights are in other places, or drawn anew (controls.py).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from circuits import stimuli
from circuits.graphs.graph import CircuitGraph
from circuits.graphs.preservation import Faithfulness, measure_faithfulness
from circuits.graphs.probe import (
    ControlProbe,
    Probe,
    control_probes,
    pearson,
    units_text,
    varying_response,
)
from circuits.tuning.stimulus_scale import middle_size, scale_of
from featviz.errors import CircuitError
from featviz.models import Model

Rebuild = Callable[[Model, str], CircuitGraph]
_PROBES = (("curve", 24), ("line", 12))


@dataclass(frozen=True)
class CheckRow:
    """One set of sites with only the circuit's units on.

    Attributes:
        sites: Whose other units are silenced.
        kept: Units of the circuit there.
        total: Units there.
        correlation: Of the target's activation with that in the whole network.
        random: The same with as many units of each site at random.
        shuffled: The same of circuits of the shuffled network, one for each of some targets;
            empty if none responds there.
        random_weights: The same in the network with weights drawn anew.
    """

    sites: tuple[str, ...]
    kept: int
    total: int
    correlation: float
    random: tuple[float, ...]
    shuffled: tuple[float, ...]
    random_weights: tuple[float, ...] = ()


@dataclass(frozen=True)
class CircuitCheck:
    """What a circuit is worth.

    Attributes:
        target: `SITE:CHANNELS`; of several units, the correlation is over units and images.
        images: What it was checked on, in words.
        ablation: What silenced units became.
        rows: For each column, nearest first, then for all together.
        faithfulness: Of all together.
    """

    target: str
    images: str
    ablation: str
    rows: tuple[CheckRow, ...]
    faithfulness: Faithfulness | None


def probe_images(model: Model, site: str) -> Float[Tensor, "n 3 h w"]:
    """Return arcs and lines of all orientations at the scale of a site.

    Args:
        model: One that takes RGB.
        site: Name of the site.

    Raises:
        CircuitError: If the model takes no RGB.
        SiteError: If the site is unknown.
    """
    if model.spec.channels != 3:
        raise CircuitError(
            f"stimuli are RGB, and {model.name!r} takes images of {model.spec.channels} channels; "
            "give images"
        )
    size = middle_size(model, site)
    scale = scale_of(model.site_table(size).resolve(site), size)
    return torch.cat(
        [
            stimuli.grid(name, size=size, scale_px=scale, angles=angles).images()
            for name, angles in _PROBES
        ]
    )


def check_circuit(
    model: Model,
    graph: CircuitGraph,
    images: Float[Tensor, "n c h w"],
    *,
    told: str = "",
    region: str = "map",
    ablation: str = "zero",
    draws: int = 5,
    seed: int = 0,
    rebuild: Rebuild | None = None,
    minimality: bool = False,
) -> CircuitCheck:
    """Return how much of the target is left with only the circuit's units on.

    Args:
        model: The network that the graph is of.
        graph: With one unit at its end, or several of one site, also as families.
        images: RGB (or the network's own channels), 0..1.
        told: What the images are, for people.
        region: Where the target's map is read, see tuning/measuring.py.
        ablation: `zero` or `mean`.
        draws: Random selections.
        seed: Of the draws and of the other networks.
        rebuild: Builds the circuit of units (`SITE:CHANNELS`) in another network, for the controls
            with shuffled weights and with weights drawn anew; None: no such controls.
        minimality: Whether to leave each unit out in turn.

    Raises:
        CircuitError: If the graph ends in units of several sites, or the target does not vary over
            the images.
    """
    target = _end(graph)
    probe = Probe(model, target, images, region=region, ablation=ablation)
    full = varying_response(probe)
    generator = torch.Generator().manual_seed(seed)
    controls = {} if rebuild is None else _controls(probe, rebuild, seed)
    rows = []
    for sites in _site_sets(graph):
        kept = _kept(graph, sites)
        random = []
        for _ in range(draws):
            some = {
                site: torch.randperm(_width(model, site), generator=generator)[: len(channels)]
                .tolist()
                for site, channels in kept.items()
            }  # fmt: skip
            random.append(pearson(probe.response(some), full))
        rows.append(
            CheckRow(
                sites=sites,
                kept=sum(map(len, kept.values())),
                total=sum(_width(model, site) for site in sites),
                correlation=pearson(probe.response(kept), full),
                random=tuple(random),
                shuffled=_replayed(controls.get("shuffled", []), sites),
                random_weights=_replayed(controls.get("random_weights", []), sites),
            )
        )
    return CircuitCheck(
        target, told, ablation, tuple(rows), _faithfulness(probe, graph, minimality=minimality)
    )


def _end(graph: CircuitGraph) -> str:
    read = {edge.source for edge in graph.edges}
    ends = [node for node in graph.nodes if node.id not in read]
    sites = list(dict.fromkeys(node.site for node in ends))
    if len(sites) != 1 or not graph.edges:
        raise CircuitError(
            f"a circuit is checked on the units of one site that it ends in; this one has "
            f"{len(graph.edges)} edges and ends in {len(ends)} nodes of {', '.join(sites)}"
        )
    return units_text(sites[0], [channel for node in ends for channel in node.units])


def _site_sets(graph: CircuitGraph) -> list[tuple[str, ...]]:
    """Return the sites of each column before the target, nearest first, then all."""
    columns = [
        tuple(column.split()) for column in graph.meta.get("sites", "").split(", ") if column
    ]
    inner = {site for column in columns for site in column}
    if not columns or not set(graph.sites[:-1]) <= inner:
        columns = [(site,) for site in graph.sites[:-1]]
    found = columns[::-1]
    return [*found, tuple(site for column in columns for site in column)][: len(found) + 1]


def _kept(graph: CircuitGraph, sites: Sequence[str]) -> dict[str, tuple[int, ...]]:
    channels = graph.channels()
    return {site: channels.get(site, ()) for site in sites}


def _width(model: Model, site: str) -> int:
    return model.site_table().resolve(site).channels


_Controls = list[tuple[ControlProbe, CircuitGraph]]


def _controls(probe: Probe, rebuild: Rebuild, seed: int) -> dict[str, _Controls]:
    """Return circuits of networks without learnt order, by kind of network."""
    return {
        kind: [(c, rebuild(c.probe.model, c.probe.unit)) for c in controls]
        for kind, controls in control_probes(probe, seed).items()
    }


def _replayed(controls: _Controls, sites: Sequence[str]) -> tuple[float, ...]:
    """Return what is left of the targets of control circuits with these alone on."""
    return tuple(
        pearson(control.probe.response(_kept(circuit, sites)), control.full)
        for control, circuit in controls
    )


def _faithfulness(probe: Probe, graph: CircuitGraph, *, minimality: bool) -> Faithfulness | None:
    sites = _site_sets(graph)[-1]
    try:
        return measure_faithfulness(probe, _kept(graph, sites), minimality=minimality)
    except CircuitError:
        # The unit does the same without these sites; the rows say so too.
        return None
