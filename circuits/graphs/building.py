"""Build the circuit of a unit: the strongest inputs of each node, column by column.

    graph = build_graph(model, "fire4:141", depth=3, keep=8)

Between adjacent sites the kernels are the network's own; otherwise they are expanded under a gate
policy, and the graph's meta says so. Pictures and tuning are added by features.py.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import SupportsIndex

from torch import Tensor
from tqdm import tqdm

from circuits.expansion.expand import expand
from circuits.expansion.observed import Images
from circuits.expansion.raw_weights import first_obstacle, raw_weights
from circuits.expansion.weight_map import WeightMap
from circuits.graphs.ending import why_no_inputs
from circuits.graphs.graph import MAX_EDGES, CircuitGraph, Edge, Node
from circuits.graphs.input_scores import SCORES, ContributionScore, EdgeScore, weight_score
from circuits.tracing.opgraph import Tracing
from circuits.tracing.site_columns import site_columns
from featviz.borrowing import own_settings
from featviz.errors import CircuitError, UnitError, did_you_mean
from featviz.models import Model
from featviz.units import parse_units


@dataclass(frozen=True)
class _Input:
    """One candidate edge."""

    source: str
    channel: int
    target: str
    score: float
    weights: WeightMap
    scale: float

    @property
    def name(self) -> str:
        return f"{self.source}:{self.channel}"

    def edge(self, score_name: str) -> Edge:
        target = int(self.target.rpartition(":")[2])
        kernel = self.weights.of_target(target)[self.weights.sources.index(self.channel)]
        return Edge(
            source=self.name,
            target=self.target,
            weight=self.score,
            kernel=tuple(tuple(row) for row in kernel.tolist()),
            scale=self.scale,
            score_name=score_name,
        )


@own_settings()
def build_graph(
    model: Model,
    units: str,
    *,
    depth: int = 3,
    keep: int = 8,
    width: int = 12,
    threshold: float = 0.0,
    score: str | EdgeScore = "weights",
    gates: str = "identity",
    images: Images | None = None,
    sites: Sequence[str] | None = None,
    progress: bool = False,
) -> CircuitGraph:
    """Return the graph of what a unit, or several of one site, are built from.

    Every node keeps its strongest inputs from the column before, all its sites together; then
    each column keeps the nodes that matter most to the target. A node's score says how much that
    is: the target has 1, and passes it on to its inputs by their share in the magnitudes of the
    scores of all its inputs, also those that are not drawn; what a node gets over all its edges
    adds up.

    Args:
        model: The network; left as it was.
        units: `SITE:CHANNELS`.
        depth: Columns before the target at most, see `site_columns`.
        keep: Inputs of each node at most.
        width: Nodes of each column at most.
        threshold: Least magnitude of an edge, as a share of its target's strongest, 0..1.
        score: `weights`: L2 norm of the kernel with the sign of its sum; `contribution`: kernel
            times activation over `images`; a `ContributionScore`, which keeps its activations from
            graph to graph; or a function from a `WeightMap` to numbers [o i].
        gates: Policy where sites are not adjacent, see `expand`.
        images: For `contribution`, and for gates that need some.
        sites: Sites that the circuit may run through; None: the browsable ones.
        progress: Whether to show a bar on stderr.

    Returns:
        The graph. If no input is left before `depth` columns, its meta says under `ended` why, and
        what to do.

    Raises:
        CircuitError: If an option is out of range, no circuit leads to the units, a score is not a
            finite number, or as for `expand`.
        SiteError: If a site is unknown.
        UnitError: If a unit is.
    """
    _check_options(depth, keep, width, threshold)
    site, found = _targets(model, units)
    scorer, name = _scorer(model, score, images)
    columns = site_columns(model, site, depth=depth, sites=sites)
    flow = dict.fromkeys(found, 1.0 / len(found))
    layers = [dict(flow)]
    edges: list[Edge] = []
    notes: dict[str, None] = {}
    ended = ""
    with tqdm(total=len(columns), disable=not progress, desc=f"{model.name} {units}") as bar:
        if isinstance(scorer, ContributionScore):
            bar.set_postfix_str("activations")
        kernels = _Kernels(model, columns, site, scorer, gates, images)
        for column in columns:
            bar.set_postfix_str(" ".join(column))
            maps = kernels.into(_by_site(layers[-1]), column)
            notes.update({f"{m.source} -> {m.target}: {n}": None for m in maps for n in m.notes})
            kept, flow = _strongest(maps, scorer, layers[-1], keep, threshold)
            nodes = dict(sorted(flow.items(), key=lambda item: -item[1])[:width])
            edges += [each.edge(name) for each in kept if each.name in nodes]
            _check_count(edges)
            bar.update()
            if not nodes:
                ended = why_no_inputs(list(layers[-1]), column, maps, scorer)
                break
            layers.append(nodes)
    about = {
        "model": model.name, "weights": model.weights_origin, "target": units, "score": name,
        **_settings(gates, keep, width, threshold, columns, notes),
    }  # fmt: skip
    return CircuitGraph(
        tuple(_node(model, n, score) for layer in layers[::-1] for n, score in _placed(layer)),
        tuple(edges),
        {**about, "ended": ended} if ended else about,
    )


def _targets(model: Model, units: str) -> tuple[str, list[str]]:
    """Return the site and the names of the units of `SITE:CHANNELS`."""
    parsed = parse_units(units)
    if parsed.position is not None:
        raise UnitError(f"{units!r} names a position; a circuit is the same at all: leave it out")
    found = parsed.expand(model.site_table().resolve(parsed.site).channels)
    return parsed.site, [str(unit) for unit in found]


def _settings(
    gates: str,
    keep: int,
    width: int,
    threshold: float,
    columns: Sequence[Sequence[str]],
    notes: Iterable[str],
) -> dict[str, str]:
    return {
        "gates": gates,
        "keep": str(keep),
        "width": str(width),
        "threshold": f"{threshold:g}",
        "sites": ", ".join(" ".join(column) for column in columns[::-1]),
        "approximated": "\n".join(notes),
    }


def _check_count(edges: Sequence[Edge]) -> None:
    if len(edges) > MAX_EDGES:
        raise CircuitError(f"the graph has more than {MAX_EDGES} edges; lower keep, width or depth")


def _check_options(depth: int, keep: int, width: int, threshold: float) -> None:
    for name, value in (("depth", depth), ("keep", keep), ("width", width)):
        if not isinstance(value, SupportsIndex) or isinstance(value, bool):
            raise CircuitError(f"{name} must be a whole number, got {value!r}")
        if value < 1 and name != "depth":  # of depth, site_columns says what it counts
            raise CircuitError(f"{name} must be 1 or more, got {value}")
    if not _is_share(threshold):
        raise CircuitError(f"threshold must be 0 to 1, a share of the strongest, got {threshold!r}")


def _is_share(value: object) -> bool:
    return isinstance(value, Real) and 0 <= float(value) <= 1


def _scorer(model: Model, score: str | EdgeScore, images: Images | None) -> tuple[EdgeScore, str]:
    if isinstance(score, ContributionScore):
        if score.model is not model:
            raise CircuitError(
                f"the contributions are those of {score.model.name!r}, another network than "
                f"{model.name!r}; make a ContributionScore of this one"
            )
        return score, "contribution"
    if callable(score):
        return score, getattr(score, "__name__", type(score).__name__)
    if score == "weights":
        return weight_score, score
    if not isinstance(score, str) or score not in SCORES:
        raise CircuitError(
            f"unknown score {score!r}{did_you_mean(str(score), SCORES)} choose one of "
            f"{', '.join(SCORES)}, or give a function from a WeightMap to numbers [o i]"
        )
    if not isinstance(images, Tensor):
        raise CircuitError("the score 'contribution' needs images [n c h w] in 0..1; give some")
    return ContributionScore(model, images), score


def _by_site(nodes: dict[str, float]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for name in nodes:
        site, _, channel = name.rpartition(":")
        found.setdefault(site, []).append(int(channel))
    return found


class _Kernels:
    """The kernels between the sites of a circuit; what the network does is recorded once."""

    def __init__(
        self,
        model: Model,
        columns: Sequence[Sequence[str]],
        end: str,
        scorer: EdgeScore,
        gates: str,
        images: Images | None,
    ) -> None:
        self._model, self._gates, self._images = model, gates, images
        sites = [end, *(site for column in columns for site in column)]
        size = None
        if isinstance(scorer, ContributionScore):
            scorer.record(sites)
            # Kernels that end with the map must fit the activations that they are multiplied by.
            size = scorer.size
        self._tracing = Tracing(model, sites, size=size)

    def into(self, readers: Mapping[str, Sequence[int]], column: Sequence[str]) -> list[WeightMap]:
        """Return the kernels of some units, by site, from each site of a column they read."""
        return [
            self._between(source, target, channels)
            for target, channels in readers.items()
            for source in column
            if self._tracing.reads(source, target)
        ]

    def _between(self, source: str, target: str, channels: Sequence[int]) -> WeightMap:
        traced = self._tracing.between(source, target)
        if first_obstacle(traced) is None:
            return raw_weights(self._model, source, target, units=channels, traced=traced)
        return expand(
            self._model,
            source,
            target,
            units=channels,
            gates=self._gates,
            images=self._images,
            traced=traced,
        )


def _strongest(
    maps: Sequence[WeightMap],
    scorer: EdgeScore,
    readers: dict[str, float],
    keep: int,
    threshold: float,
) -> tuple[list[_Input], dict[str, float]]:
    """Return the strongest inputs of each reader, and what reaches each of them."""
    candidates: dict[str, list[_Input]] = {name: [] for name in readers}
    for weights in maps:
        scores = scorer(weights)
        if tuple(scores.shape) != tuple(weights.kernel.shape[:2]) or not scores.isfinite().all():
            raise CircuitError(
                f"the score of {weights.source} -> {weights.target} must be finite numbers "
                f"{tuple(weights.kernel.shape[:2])}, got shape {tuple(scores.shape)}"
                + ("" if scores.isfinite().all() else " with NaN or infinity")
            )
        largest = weights.display_scale().tolist()
        for row, channel in enumerate(weights.targets):
            target = f"{weights.target}:{channel}"
            candidates[target] += [
                _Input(weights.source, source, target, value, weights, largest[row])
                for source, value in zip(weights.sources, scores[row].tolist(), strict=True)
            ]
    kept: list[_Input] = []
    flow: dict[str, float] = {}
    for target, inputs in candidates.items():
        total = sum(abs(each.score) for each in inputs)
        ranked = sorted(inputs, key=lambda each: -abs(each.score))[:keep]
        scale = max((each.scale for each in inputs), default=0.0)
        for each in ranked:
            if each.score and abs(each.score) >= threshold * abs(ranked[0].score):
                kept.append(replace(each, scale=scale))
                share = readers[target] * abs(each.score) / total
                flow[each.name] = flow.get(each.name, 0.0) + share
    return kept, flow


def _placed(layer: dict[str, float]) -> list[tuple[str, float]]:
    """Return the nodes of a column by channel, sites in the order they came."""
    sites = list(dict.fromkeys(name.rpartition(":")[0] for name in layer))

    def place(item: tuple[str, float]) -> tuple[int, int]:
        site, _, channel = item[0].rpartition(":")
        return sites.index(site), int(channel)

    return sorted(layer.items(), key=place)


def _node(model: Model, name: str, score: float) -> Node:
    site, _, channel = name.rpartition(":")
    labels = (model.spec.unit_labels() if model.spec.unit_labels else {}).get(site)
    label = labels[int(channel)] if labels else ""
    return Node(id=name, site=site, units=(int(channel),), label=label, score=score)
