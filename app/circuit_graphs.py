"""Circuits for the app: built, thinned to what is shown, checked, and with parts silenced.

Nothing here knows of pages; views/circuit.py shows what comes out.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import streamlit as st
from PIL import Image
from torch import Tensor

from app.checks import Work
from app.networks import copy_of, held
from circuits.ablation.chance import Chance, compare_with_chance
from circuits.ablation.edits import Edit, parse_edit
from circuits.ablation.effects import UnitEffect, unit_effects
from circuits.expansion.gates import Gates
from circuits.families.family import parse_families
from circuits.graphs.building import build_graph
from circuits.graphs.check import CircuitCheck, check_circuit, probe_images
from circuits.graphs.check_progress import Tell
from circuits.graphs.family_nodes import with_families
from circuits.graphs.graph import CircuitGraph, Node
from circuits.graphs.held_out import HeldOut, hold_out
from featviz.images import png_bytes
from featviz.kept_memory import kept_memory
from featviz.models import Model

SCORES = ("contribution", "weights")


@dataclass(frozen=True)
class Options:
    """How a circuit is built.

    Attributes:
        depth: Columns before the target at most.
        keep: Inputs of each node at most.
        width: Nodes of a column at most.
        score: One of `SCORES`.
        gates: How activation functions are passed.
    """

    depth: int = 2
    keep: int = 6
    width: int = 10
    score: str = SCORES[0]
    gates: Gates = "identity"


@st.cache_resource(max_entries=8, show_spinner=False)
def stimuli_for(model: str, site: str) -> HeldOut:
    """Return arcs and lines at the scale of a site: one half builds circuits, the other checks.

    Args:
        model: Name of the network.
        site: Name of the site.

    Raises:
        CircuitError: If the network takes no RGB.
    """
    with held(model) as loaded:
        return hold_out(probe_images(loaded, site))


@st.cache_resource(max_entries=32, show_spinner="Building the circuit ...")
def circuit(model: str, unit: str, options: Options, families: str) -> CircuitGraph:
    """Return the circuit of a unit.

    Args:
        model: Name of the network.
        unit: `SITE:CHANNEL`.
        options: How it is built.
        families: Units that are one node, `NAME=UNITS; ...`; may be empty.

    Raises:
        FeatvizError: If there is none, or the families cannot be read.
    """
    images = stimuli_for(model, _site(unit)).choosing
    with held(model) as loaded:
        graph = _built(loaded, unit, options, images)
        if families.strip():
            graph = with_families(graph, parse_families(families), model=loaded)
    return graph


def _built(loaded: Model, unit: str, options: Options, images: Tensor) -> CircuitGraph:
    return build_graph(
        loaded,
        unit,
        depth=options.depth,
        keep=options.keep,
        width=options.width,
        score=options.score,
        gates=options.gates,
        images=images,
    )


def _site(unit: str) -> str:
    return unit.rpartition(":")[0]


def thinned(graph: CircuitGraph, least: float, pinned: Sequence[str] = ()) -> CircuitGraph:
    """Return what is left of a graph above a threshold.

    Edges between pinned nodes stay, and so do pinned nodes; other nodes go when no path leads
    from them to the target any more.

    Args:
        graph: Any.
        least: Share of the strongest edge into the same node that an edge must have, 0..1.
        pinned: Ids of nodes that stay.
    """
    strongest: dict[str, float] = {}
    for edge in graph.edges:
        strongest[edge.target] = max(strongest.get(edge.target, 0.0), abs(edge.weight))
    kept = [
        edge
        for edge in graph.edges
        if abs(edge.weight) >= least * strongest[edge.target]
        or (edge.source in pinned and edge.target in pinned)
    ]
    read = {edge.source for edge in graph.edges}
    alive = {node.id for node in graph.nodes if node.id not in read} | set(pinned)
    for node in reversed(graph.nodes):
        if node.id in alive:
            alive |= {edge.source for edge in kept if edge.target == node.id}
    return replace(
        graph,
        nodes=tuple(node for node in graph.nodes if node.id in alive),
        edges=tuple(e for e in kept if e.source in alive and e.target in alive),
    )


def with_pictures(graph: CircuitGraph, pictures: Mapping[str, bytes]) -> CircuitGraph:
    """Return a graph whose nodes have pictures.

    Args:
        graph: Any.
        pictures: Files of any kind that Pillow reads, by the id of the node.
    """

    def dressed(node: Node) -> Node:
        if node.id not in pictures:
            return node
        with Image.open(io.BytesIO(pictures[node.id])) as picture:
            return replace(node, image=png_bytes(picture.convert("RGB")))

    return replace(graph, nodes=tuple(map(dressed, graph.nodes)))


def checking(model: str, unit: str, options: Options) -> Work:
    """Return what checks how much of a unit is left with its circuit alone, beside chance.

    It needs no page: it may run in another thread, on a copy of the network.

    Args:
        model: Name of the network.
        unit: `SITE:CHANNEL`.
        options: How the circuit is built.

    Returns:
        Takes what is told how far it is. It raises CircuitError if the circuit cannot be checked.
    """
    graph, halves = circuit(model, unit, options, ""), stimuli_for(model, _site(unit))

    def rebuild(other: Model, name: str) -> CircuitGraph:
        return _built(other, name, options, halves.choosing)

    def check(tell: Tell) -> CircuitCheck:
        with kept_memory():
            return check_circuit(
                copy_of(model),
                graph,
                halves,
                told=f"{len(halves.choosing) + len(halves.checking)} arcs and lines",
                region="center",
                rebuild=rebuild,
                on_progress=tell,
            )

    return check


def edits_of(graph: CircuitGraph, off: Sequence[str]) -> list[Edit]:
    """Return the edits that silence parts of a graph.

    Args:
        graph: Any.
        off: Ids of nodes, and edges as `SOURCE>TARGET`; those that the graph does not have are
            passed over, so that a link outlives a change of the options.
    """
    nodes = {node.id: f"{node.site}:{','.join(map(str, node.units))}" for node in graph.nodes}
    edits = []
    for name in off:
        source, arrow, target = name.partition(">")
        if not arrow and name in nodes:
            edits.append(parse_edit(f"units {nodes[name]}"))
        elif arrow and source in nodes and target in nodes:
            edits.append(parse_edit(f"edge {nodes[source]}->{nodes[target]} x0"))
    return edits


@dataclass(frozen=True)
class Silenced:
    """What silencing parts of a circuit does to its unit.

    Attributes:
        effect: On the unit.
        chance: How random edits of the same size compare, by the mean activation left; None if
            none were made.
    """

    effect: UnitEffect
    chance: Chance | None

    @property
    def left(self) -> float:
        """Mean activation that is left, as a share."""
        before = self.effect.mean_before
        return self.effect.mean_after / before if before else float("nan")


@st.cache_data(max_entries=64, show_spinner=False)
def silence(
    model: str, unit: str, options: Options, families: str, off: tuple[str, ...], draws: int
) -> Silenced | None:
    """Return what is left of a unit without some parts of its circuit; None: nothing is silenced.

    Args:
        model: Name of the network.
        unit: `SITE:CHANNEL`.
        options: How the circuit is built.
        families: See `circuit`.
        off: See `edits_of`.
        draws: Random edits to compare with; 0 for none.

    Raises:
        CircuitError: If the edits cannot change the unit, or contradict each other.
    """
    edits = edits_of(circuit(model, unit, options, families), off)
    if not edits:
        return None
    site, channel = _site(unit), int(unit.rpartition(":")[2])
    images = stimuli_for(model, site).checking
    with held(model) as loaded:
        ((effect, drawn),) = unit_effects(loaded, edits, site, [channel], images, draws=draws)
    chance = None
    if drawn:
        random = [other.mean_after for other in drawn]
        chance = compare_with_chance(effect.mean_before, effect.mean_after, random)
    return Silenced(effect, chance)
