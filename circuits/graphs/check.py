"""Check a drawn circuit on its network: is the unit still itself with these units alone?

    halves = hold_out(images)
    check = check_circuit(model, graph, halves, rebuild=lambda m, unit: build_graph(m, unit))

Beside each number stand as many units drawn at random, and circuits built in the same way in
copies of the network whose weights are in other places, or drawn anew (controls.py). verdict.py
says when a number is better than chance.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from circuits import stimuli
from circuits.ablation.chance import DRAWS
from circuits.graphs.check_progress import CONTROL_PARTS, CheckProgress, Tell, count_parts
from circuits.graphs.faithfulness import (
    Faithfulness,
    Selection,
    faithfulness_of,
    random_selections,
)
from circuits.graphs.graph import CircuitGraph
from circuits.graphs.held_out import HeldOut
from circuits.graphs.probe import (
    ControlProbe,
    Probe,
    check_draws,
    control_probes,
    pearson,
    units_text,
    varying_response,
)
from circuits.graphs.silencing import Silencing
from circuits.graphs.verdict import Verdict, judge
from circuits.tuning.stimulus_scale import middle_size, scale_of
from featviz.errors import CircuitError
from featviz.models import Model

Rebuild = Callable[[Model, str], CircuitGraph]
_PROBES = (("curve", 24), ("line", 12))
_ONE_SET = "one set of images was given"


@dataclass(frozen=True)
class CheckRow:
    """One set of sites with only the circuit's units on.

    Attributes:
        sites: Whose other units are silenced.
        kept: Units of the circuit there.
        total: Units there.
        correlation: Of the target's activation with that in the whole network, over the images:
            1 if it is the same up to a factor and an offset.
        random: The same with as many units of each site at random.
        shuffled: The same of circuits of the shuffled network, one for each of some targets;
            empty if none responds there.
        random_weights: The same in the network with weights drawn anew.
        empty: Those of the sites of which the circuit has no unit: all of theirs are silenced.
    """

    sites: tuple[str, ...]
    kept: int
    total: int
    correlation: float
    random: tuple[float, ...]
    shuffled: tuple[float, ...]
    random_weights: tuple[float, ...] = ()
    empty: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """How the correlation stands among those of random selections."""
        return judge(self.correlation, self.random, ideal=1)


@dataclass(frozen=True)
class CircuitCheck:
    """What a circuit is worth.

    Attributes:
        target: `SITE:CHANNELS`; of several units, the correlation is over units and images.
        images: What it was checked on, in words.
        ablation: What silenced units became.
        rows: For each column, nearest first, then for all together.
        faithfulness: Of all together.
        checked_on: Number of images.
        chosen_on: Number of other images that the circuit was built on; 0 if there are none.
        why_not: Why none were held out; empty if they were.
    """

    target: str
    images: str
    ablation: str
    rows: tuple[CheckRow, ...]
    faithfulness: Faithfulness | None
    checked_on: int = 0
    chosen_on: int = 0
    why_not: str = ""


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
    images: Float[Tensor, "n c h w"] | HeldOut,
    *,
    told: str = "",
    region: str = "map",
    ablation: str = "zero",
    draws: int = DRAWS,
    seed: int = 0,
    rebuild: Rebuild | None = None,
    minimality: bool = False,
    on_progress: Tell | None = None,
) -> CircuitCheck:
    """Return how much of the target is left with only the circuit's units on.

    Args:
        model: The network that the graph is of.
        graph: With one unit at its end, or several of one site, also as families.
        images: RGB (or the network's own channels), 0..1; or halves of them, of which one was for
            building the graph: the other is used.
        told: What the images are, for people.
        region: Where the target's map is read, see tuning/measuring.py.
        ablation: `zero` or `mean`.
        draws: Random selections, for each column and for all together.
        seed: Of the draws and of the other networks.
        rebuild: Builds the circuit of units (`SITE:CHANNELS`) in another network, for the controls
            with shuffled weights and with weights drawn anew; None: no such controls.
        minimality: Whether to leave each unit out in turn.
        on_progress: Told how many parts are done, and about how many there are; what it raises
            ends the check.

    Raises:
        CircuitError: If the graph ends in units of several sites, or the target does not vary over
            the images; if draws are fewer than 1.
    """
    check_draws(draws)
    target = _end(graph)
    given = images if isinstance(images, HeldOut) else HeldOut(images, images, _ONE_SET)
    probe = Probe(model, target, given.checking, region=region, ablation=ablation)
    full = varying_response(probe)
    generator = torch.Generator().manual_seed(seed)
    others = {} if rebuild is None else control_probes(probe, seed)
    site_sets = _site_sets(graph)
    progress = CheckProgress(
        count_parts(
            site_sets,
            controls=sum(map(len, others.values())),
            draws=draws,
            minimality=len(graph.nodes) if minimality else 0,
        ),
        on_progress,
    )
    controls = {} if rebuild is None else _controls(others, rebuild, progress)
    rows: list[CheckRow] = []
    for sites in site_sets:
        if rows and sites == rows[-1].sites:
            # One column is all columns together.
            rows.append(rows[-1])
            continue
        kept, silencing = _kept(graph, sites), Silencing(probe, sites, on_run=progress.add)
        selections = list(random_selections(model, kept, draws, generator))
        rows.append(_row(silencing, kept, selections, full, controls))
    score = None
    # The last sites were all together. The unit may do the same without; the rows say so too.
    with contextlib.suppress(CircuitError):
        score = faithfulness_of(silencing, kept, selections, generator, minimality=minimality)
    progress.end()
    counts = {"checked_on": len(given.checking), "chosen_on": given.chosen_on}
    return CircuitCheck(target, told, ablation, tuple(rows), score, **counts, why_not=given.why_not)


def _row(
    silencing: Silencing,
    kept: Selection,
    selections: Sequence[Selection],
    full: Float[Tensor, " responses"],
    controls: "Mapping[str, _Controls]",
) -> CheckRow:
    sites, model = silencing.sites, silencing.probe.model
    return CheckRow(
        sites=sites,
        kept=sum(map(len, kept.values())),
        total=sum(_width(model, site) for site in sites),
        correlation=pearson(silencing(kept), full),
        random=tuple(pearson(silencing(some), full) for some in selections),
        shuffled=_replayed(controls.get("shuffled", []), sites),
        random_weights=_replayed(controls.get("random_weights", []), sites),
        empty=tuple(site for site, channels in kept.items() if not channels),
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


def _controls(
    probes: Mapping[str, Sequence[ControlProbe]], rebuild: Rebuild, progress: CheckProgress
) -> dict[str, _Controls]:
    """Return circuits of networks without learnt order, by kind of network."""
    found: dict[str, _Controls] = {}
    for kind, controls in probes.items():
        found[kind] = []
        for control in controls:
            found[kind].append((control, rebuild(control.probe.model, control.probe.unit)))
            progress.add(CONTROL_PARTS)
    return found


def _replayed(controls: _Controls, sites: Sequence[str]) -> tuple[float, ...]:
    """Return what is left of the targets of control circuits with these alone on."""
    return tuple(
        pearson(control.probe.response(_kept(circuit, sites)), control.full)
        for control, circuit in controls
    )
