"""How far the gate policies agree on the kernels of a circuit graph: what its picture rests on.

    agreement = gate_agreement(model, graph, images)
    agreement.rows[0].correlation, agreement.rows[0].chance_correlation

Between sites that are not adjacent a kernel is no property of the network alone: it depends on what
one takes the gates between for. gate_report.py says it in tables and words.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from circuits.expansion.agreement import GateReport, measure_agreement
from circuits.expansion.expand import expand
from circuits.expansion.gates import NEEDS_IMAGES, check_gates
from circuits.expansion.observed import Images
from circuits.expansion.raw_weights import first_obstacle
from circuits.graphs.graph import CircuitGraph
from circuits.tracing.opgraph import Tracing
from featviz.borrowing import own_settings
from featviz.errors import CircuitError
from featviz.models import Model

COMPARED = ("identity", "positive_top", "attribution")


@dataclass(frozen=True)
class GateRow:
    """How far two policies agree on what the units of one site read from an earlier one.

    Attributes:
        source: Site that is read.
        target: Site that reads.
        units: Its units in the graph.
        gates: The policy that the graph was built with, and the other.
        correlation: Of the kernels from all units of the source, for each unit; not-a-number for
            one that has no weights under a policy, such as one that is silent on the images.
        chance_correlation: Mean magnitude of the same after the inputs were shuffled.
        overlap: Share of the `top` strongest inputs (L2) that both policies have, for each unit.
        top: How many inputs count as the strongest.
        chance_overlap: Overlap of two random choices.
    """

    source: str
    target: str
    units: tuple[int, ...]
    gates: tuple[str, str]
    correlation: tuple[float, ...]
    chance_correlation: tuple[float, ...]
    overlap: tuple[float, ...]
    top: int
    chance_overlap: float


@dataclass(frozen=True)
class GateAgreement:
    """How far policies agree over a graph.

    Attributes:
        gates: The policies; the graph was built with the first.
        rows: For each pair of sites with gates between, nearest to the target first, and for each
            other policy.
        adjacent: Pairs of sites without: their kernels are the network's own.
        notes: Comparisons that could not be made, and why.
    """

    gates: tuple[str, ...]
    rows: tuple[GateRow, ...]
    adjacent: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]


def gate_agreement(
    model: Model,
    graph: CircuitGraph,
    images: Images | None = None,
    *,
    gates: Sequence[str] = COMPARED,
    top: int = 12,
    seed: int = 0,
) -> GateAgreement:
    """Return how far gate policies agree, for each pair of sites that a graph has edges between.

    The units of the graph at the reading end are compared over all inputs, drawn or not. A policy
    that cannot be had between two sites is named in the notes and not compared there.

    Args:
        model: The network that the graph is of; left as it was.
        graph: Of units or families. Its meta says which policy it was built with; without, the
            first of `gates` counts as that.
        images: RGB (or the network's own channels), 0..1, see `expand`; None: policies that need
            some are not compared.
        gates: What that policy is compared with; itself among them does not matter.
        top: How many of the strongest inputs to compare.
        seed: Decides how inputs are shuffled for the baseline.

    Raises:
        CircuitError: If a policy is unknown or named twice, none is to be compared, or the graph's
            own cannot be had.
        SiteError: If the graph is of another network.
        UnitError: If it is.
    """
    policies = _policies(graph, gates)
    readers = _readers(graph)
    rows: list[GateRow] = []
    adjacent: list[tuple[str, str]] = []
    notes: list[str] = []
    with own_settings():
        tracing = Tracing(model, dict.fromkeys(site for pair in readers for site in pair))
        ways = {pair: tracing.between(*pair) for pair in readers}
    for (source, target), units in readers.items():
        traced = ways[source, target]
        if first_obstacle(traced) is None:
            adjacent.append((source, target))
            continue
        how: dict[str, Any] = {"units": units, "images": images, "traced": traced}
        own = expand(model, source, target, gates=policies[0], **how)
        for other in policies[1:]:
            if images is None and other in NEEDS_IMAGES:
                notes.append(f"{source} -> {target}: {other} is not compared: it needs images")
                continue
            try:
                weights = expand(model, source, target, gates=other, **how)
            except CircuitError as error:
                notes.append(f"{source} -> {target}: {other} is not compared: {error}")
                continue
            rows.append(_row(measure_agreement((own, weights), top=top, seed=seed)))
    return GateAgreement(tuple(policies), tuple(rows), tuple(adjacent), tuple(notes))


def _policies(graph: CircuitGraph, gates: Sequence[str]) -> list[str]:
    """Return the graph's policy and those that it is compared with."""
    named = [check_gates(name) for name in gates]
    own = check_gates(graph.meta.get("gates") or (named[0] if named else "identity"))
    others = [name for name in named if name != own]
    if len(set(named)) < len(named) or not others:
        raise CircuitError(
            f"name each gate policy once, and one at least besides {own!r}; got {list(gates)}"
        )
    return [own, *others]


def _readers(graph: CircuitGraph) -> dict[tuple[str, str], list[int]]:
    """Return the units that read, by pair of sites, nearest to the end of the graph first."""
    sites = {node.id: node for node in graph.nodes}
    found: dict[tuple[str, str], dict[int, None]] = {}
    for edge in graph.edges:
        source, target = sites[edge.source], sites[edge.target]
        found.setdefault((source.site, target.site), {}).update(dict.fromkeys(target.units))
    place = {site: number for number, site in enumerate(graph.sites)}
    pairs = sorted(found, key=lambda pair: (-place[pair[1]], -place[pair[0]]))
    return {pair: sorted(found[pair]) for pair in pairs}


def _row(report: GateReport) -> GateRow:
    own, other = report.maps
    blind = [
        bool(silent)
        for silent in ((own.strength("l2") == 0).all(1) | (other.strength("l2") == 0).all(1))
    ]

    def values(numbers: Tensor) -> tuple[float, ...]:
        # Among inputs that all weigh nothing, which are the strongest is an accident.
        pairs = zip(numbers[:, 0, 1].tolist(), blind, strict=True)
        return tuple(math.nan if silent else value for value, silent in pairs)

    return GateRow(
        source=own.source,
        target=own.target,
        units=own.targets,
        gates=(own.gates, other.gates),
        correlation=values(report.correlation),
        chance_correlation=values(report.chance_correlation),
        overlap=values(report.overlap),
        top=report.top,
        chance_overlap=report.chance_overlap,
    )
