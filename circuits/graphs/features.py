"""What the nodes of a circuit graph show: feature images and tuning thumbnails."""

from collections.abc import Callable
from dataclasses import replace

from circuits.graphs.graph import CircuitGraph, Node, Tuning
from circuits.pictures.feature_images import feature_images, to_pictures
from circuits.tuning.measuring import TuningConfig, measure_tuning
from featviz.images import png_bytes
from featviz.models import Model

IMAGE_PX = 96
_LEAST_SELECTIVITY = 0.15
_STIMULI = ("curve", "line")


def with_images(
    graph: CircuitGraph,
    model: Model,
    *,
    steps: int = 96,
    size: int = IMAGE_PX,
    seed: int = 0,
    progress: bool = False,
) -> CircuitGraph:
    """Return the graph with a rendered feature image for each unit; families keep theirs.

    Args:
        graph: Of the model.
        model: The network.
        steps: Of the optimiser; few, for small pictures.
        size: Side of the images in px.
        seed: Decides every random number.
        progress: Whether to show progress on stderr.
    """
    pictures: dict[str, bytes] = {}
    for site in graph.sites:
        channels = [n.units[0] for n in graph.nodes if n.site == site and len(n.units) == 1]
        if not channels:
            continue
        found = feature_images(
            model, site, channels, size=size, steps=steps, seed=seed, progress=progress
        )
        for channel, picture in to_pictures(found).items():
            pictures[f"{site}:{channel}"] = png_bytes(picture)
    return _changed(graph, lambda node: replace(node, image=pictures.get(_unit(node), node.image)))


def with_tuning(graph: CircuitGraph, model: Model) -> CircuitGraph:
    """Return the graph with a tuning for each unit that has one.

    Arcs and lines are measured. Of the stimuli to which the selectivity is 0.15 or more, the one
    is kept that the unit answers most strongly; a unit without gets no thumbnail.

    Args:
        graph: Of the model.
        model: The network; one that does not take RGB gives no tuning.
    """
    if model.spec.channels != 3:
        return graph
    tunings: dict[str, Tuning] = {}
    for site in graph.sites:
        channels = [n.units[0] for n in graph.nodes if n.site == site and len(n.units) == 1]
        found = [
            measure_tuning(model, site, channels, stimulus=stimulus, config=TuningConfig(angles=36))
            for stimulus in _STIMULI
        ]
        for curves in zip(*found, strict=True):
            tuned = [c for c in curves if not c.silent and c.selectivity >= _LEAST_SELECTIVITY]
            if tuned:
                best = max(tuned, key=lambda curve: curve.peak)
                tunings[best.unit] = Tuning(
                    stimulus=best.stimulus,
                    period_deg=best.period_deg,
                    response=tuple(round(value, 6) for value in best.response.tolist()),
                )
    return _changed(graph, lambda node: replace(node, tuning=tunings.get(_unit(node), node.tuning)))


def _unit(node: Node) -> str:
    """Return the name of a node's unit; empty for a family."""
    return f"{node.site}:{node.units[0]}" if len(node.units) == 1 else ""


def _changed(graph: CircuitGraph, change: Callable[[Node], Node]) -> CircuitGraph:
    return replace(graph, nodes=tuple(change(node) for node in graph.nodes))
