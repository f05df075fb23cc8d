"""Check a drawn circuit on its network: is the unit still itself with these units alone?

    check = check_circuit(model, graph, images, rebuild=lambda m, unit: build_graph(m, unit))

Beside each number stand as many units drawn at random, and circuits built in the same way in a
copy of the network whose weights are in other places (controls.shuffled).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from circuits import stimuli
from circuits.controls import shuffled
from circuits.graphs.graph import CircuitGraph
from circuits.graphs.preservation import (
    Faithfulness,
    Probe,
    measure_faithfulness,
    pearson,
    varying_response,
)
from circuits.tuning.stimulus_scale import middle_size, scale_of
from featviz.errors import CircuitError
from featviz.models import Model

Rebuild = Callable[[Model, str], CircuitGraph]
_PROBES = (("curve", 24), ("line", 12))
_CONTROLS = 3
_TRIED = 24


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
    """

    sites: tuple[str, ...]
    kept: int
    total: int
    correlation: float
    random: tuple[float, ...]
    shuffled: tuple[float, ...]


@dataclass(frozen=True)
class CircuitCheck:
    """What a circuit is worth.

    Attributes:
        target: `SITE:CHANNEL`.
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
        graph: With one unit at its end.
        images: RGB (or the network's own channels), 0..1.
        told: What the images are, for people.
        region: Where the target's map is read, see tuning.py.
        ablation: `zero` or `mean`.
        draws: Random selections.
        seed: Of the draws and of the shuffled network.
        rebuild: Builds the circuit of a unit in another network, for the shuffled control; None:
            no such control.
        minimality: Whether to leave each unit out in turn.

    Raises:
        CircuitError: If the graph ends in no single unit, or that does not vary over the images.
    """
    target = _end(graph)
    probe = Probe(model, target, images, region=region, ablation=ablation)
    full = varying_response(probe)
    generator = torch.Generator().manual_seed(seed)
    controls = [] if rebuild is None else _controls(probe, rebuild, seed)
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
                shuffled=tuple(
                    pearson(other.response(_kept(circuit, sites)), whole)
                    for other, circuit, whole in controls
                ),
            )
        )
    return CircuitCheck(
        target, told, ablation, tuple(rows), _faithfulness(probe, graph, minimality=minimality)
    )


def _end(graph: CircuitGraph) -> str:
    read = {edge.source for edge in graph.edges}
    ends = [node for node in graph.nodes if node.id not in read]
    if len(ends) != 1 or len(ends[0].units) != 1 or not graph.edges:
        raise CircuitError(
            f"a circuit is checked on its one target unit; this one has {len(ends)} ends and "
            f"{len(graph.edges)} edges"
        )
    return f"{ends[0].site}:{ends[0].units[0]}"


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


def _controls(
    probe: Probe, rebuild: Rebuild, seed: int
) -> list[tuple[Probe, CircuitGraph, Tensor]]:
    """Return circuits of the shuffled network: the same unit if it varies there, and others."""
    twin = shuffled(probe.model, seed=seed)
    site, _, own = probe.unit.rpartition(":")
    width = _width(probe.model, site)
    found: list[tuple[Probe, CircuitGraph, Tensor]] = []
    for k in range(min(width, _TRIED)):
        unit = f"{site}:{(int(own) + k) % width}"
        other = replace(probe, model=twin, unit=unit)
        whole = other.response()
        if not math.isnan(pearson(whole, whole)):
            found.append((other, rebuild(twin, unit), whole))
        if len(found) == _CONTROLS:
            break
    return found


def _faithfulness(probe: Probe, graph: CircuitGraph, *, minimality: bool) -> Faithfulness | None:
    sites = _site_sets(graph)[-1]
    try:
        return measure_faithfulness(probe, _kept(graph, sites), minimality=minimality)
    except CircuitError:
        # The unit does the same without these sites; the rows say so too.
        return None


def check_document(check: CircuitCheck) -> dict[str, object]:
    """Return a check as plain data for JSON; what is not a number becomes null."""
    score = check.faithfulness
    return {
        "target": check.target,
        "images": check.images,
        "ablation": check.ablation,
        "rows": [
            {
                "sites": list(row.sites),
                "kept": row.kept,
                "total": row.total,
                "correlation": _plain(row.correlation),
                "random": [_plain(value) for value in row.random],
                "shuffled": [_plain(value) for value in row.shuffled],
            }
            for row in check.rows
        ],
        "faithfulness": None if score is None else score.faithfulness,
        "incompleteness": None if score is None else score.incompleteness,
        "minimality": None if score is None else dict(score.minimality),
    }


def _plain(value: float) -> float | None:
    return value if math.isfinite(value) else None


HEADS = (
    "only these units on", "kept", "correlation", "as many at random", "in the shuffled network",
)  # fmt: skip


def check_rows(check: CircuitCheck) -> list[list[str]]:
    """Return the table of a check as text, columns as in HEADS."""
    return [
        [
            " + ".join(row.sites),
            f"{row.kept} of {row.total}",
            "silent" if math.isnan(row.correlation) else f"{row.correlation:.2f}",
            _spread(row.random),
            _spread(row.shuffled),
        ]
        for row in check.rows
    ]


def check_text(check: CircuitCheck) -> str:
    """Return what stands below the table of a check."""
    text = (
        f"Correlation of {check.target} with itself in the whole network, over {check.images}; "
        f"other units of these sites set to {'0' if check.ablation == 'zero' else 'their mean'}."
    )
    score = check.faithfulness
    if score is None:
        return f"{text} Faithfulness cannot be told: the unit's mean is the same without the sites."
    return (
        f"{text} All columns together: faithfulness {score.faithfulness:.2f} (1: the circuit does "
        f"as much as the network), without the circuit {score.incompleteness:.2f} (0: nothing is "
        "missing from it)."
    )


def _spread(values: Sequence[float]) -> str:
    """Return mean and range; a silenced unit counts as 0."""
    if not values:
        return "-"
    known = [0.0 if math.isnan(value) else value for value in values]
    return f"{sum(known) / len(known):.2f} ({min(known):.2f} to {max(known):.2f})"
