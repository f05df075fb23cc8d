"""A circuit as a graph: units or families as nodes, signed weights with kernels as edges.

    graph = circuits.build_graph(model, "fire4:141", depth=3)
    graph = circuits.CircuitGraph.from_json(path.read_text())

building.py makes graphs from weights, family_nodes.py joins units into families, graph_json.py
reads and writes graphs, draw.py and page.py show them.
"""

import io
import math
import struct
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from PIL import Image

from circuits.graphs.acyclic import check_acyclic
from featviz.errors import CircuitError, did_you_mean

Kernel: TypeAlias = tuple[tuple[float, ...], ...]

MAX_NODES = 10_000
MAX_EDGES = 100_000
MAX_LABEL = 300
MAX_TAPS = 400
"""Rows or columns of a kernel."""
MAX_IMAGE_PIXELS = 2**24
"""Of a feature image; a PNG of a few kilobytes can hold many more."""
_FEW = 3


@dataclass(frozen=True)
class Tuning:
    """A tuning curve small enough for a thumbnail.

    Attributes:
        stimulus: Family of the stimuli, such as `curve`.
        period_deg: 360, or 180 for lines.
        response: By orientation, in equal steps from 0 over the period; at least 0.
    """

    stimulus: str
    period_deg: float
    response: tuple[float, ...]

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.period_deg not in (180, 360):
            raise CircuitError(f"a tuning's period must be 180 or 360, got {self.period_deg!r}")
        if not 1 <= len(self.response) <= 1440:
            raise CircuitError(f"a tuning must have 1 to 1440 values, got {len(self.response)}")
        if not all(math.isfinite(value) and value >= 0 for value in self.response):
            raise CircuitError("a tuning must be finite and at least 0")

    @property
    def preferred_deg(self) -> float:
        """Orientation of the largest response; not-a-number for a silent unit."""
        peak = max(self.response)
        if not peak > 0:
            return math.nan
        return self.response.index(peak) * self.period_deg / len(self.response)


@dataclass(frozen=True)
class Node:
    """A unit, or a family of units of one site.

    Attributes:
        id: Unique in its graph; `SITE:CHANNEL` for a unit.
        site: Name of the site.
        units: Channels.
        label: More to say than the id, such as an orientation; may be empty.
        image: A feature image, PNG.
        tuning: Its tuning, if it has one.
        score: 1 for the target; for others, how much of what the target reads passes here, see
            building.py.
    """

    id: str
    site: str
    units: tuple[int, ...]
    label: str = ""
    image: bytes | None = None
    tuning: Tuning | None = None
    score: float = 1.0

    def __post_init__(self) -> None:
        """Check the parts."""
        for what, text in (("id", self.id), ("site", self.site)):
            if not text.strip():
                raise CircuitError(f"a node has an empty {what}; give it one")
        for text in (self.id, self.site, self.label):
            _check_text(text)
        if not self.units or len(set(self.units)) < len(self.units) or min(self.units) < 0:
            raise CircuitError(
                f"node {self.id!r} must have units, each once, from 0; got {self.units}"
            )
        if not math.isfinite(self.score):
            raise CircuitError(f"the score of node {self.id!r} is {self.score}; give a number")
        if self.image is not None:
            _check_png(self.id, self.image)

    @property
    def is_family(self) -> bool:
        """Whether it stands for more than one unit."""
        return len(self.units) > 1


def _check_text(text: str) -> None:
    if len(text) > MAX_LABEL:
        raise CircuitError(
            f"a node's text has {len(text)} characters, at most {MAX_LABEL} can be drawn: "
            f"{text[:40]!r}...; shorten it"
        )
    # XML allows no control characters, and files no halves of surrogate pairs.
    if any(unicodedata.category(letter) in {"Cc", "Cs"} for letter in text):
        raise CircuitError(
            f"a node's text holds control characters, which cannot be drawn: {text[:40]!r}; leave "
            "them out"
        )


def _check_png(name: str, data: bytes) -> None:
    # Pillow warns of large pictures, or fails in ways of its own: so the header is read first.
    if data[:8] == b"\x89PNG\r\n\x1a\n" and len(data) >= 24:
        width, height = struct.unpack(">II", data[16:24])
        if width * height > MAX_IMAGE_PIXELS:
            raise CircuitError(
                f"the image of node {name!r} has {width}x{height} pixels, at most "
                f"{MAX_IMAGE_PIXELS} are read; give a smaller one"
            )
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
            picture.verify()
    except (OSError, SyntaxError, ValueError) as error:
        raise CircuitError(f"the image of node {name!r} is no PNG: {error}") from error


@dataclass(frozen=True)
class Edge:
    """What a node reads from an earlier one.

    Attributes:
        source: Id of the node that is read.
        target: Id of the node that reads.
        weight: Signed: above 0 excites.
        kernel: Weights by row and column, row 0 on top; None if there is no one kernel.
        scale: The weight of the strongest colour: max |weight| over all inputs of the target, also
            those that are not drawn; None: that of this kernel.
        score_name: What `weight` is, such as `weights`.
    """

    source: str
    target: str
    weight: float
    kernel: Kernel | None = None
    scale: float | None = None
    score_name: str = "weights"

    def __post_init__(self) -> None:
        """Check the numbers."""
        name = f"{self.source} -> {self.target}"
        if not math.isfinite(self.weight):
            raise CircuitError(f"the weight of {name} is {self.weight}; give a finite number")
        if self.scale is not None and not (math.isfinite(self.scale) and self.scale >= 0):
            raise CircuitError(f"the scale of {name} is {self.scale}; give a number of at least 0")
        if self.kernel is None:
            return
        rows, columns = len(self.kernel), len(self.kernel[0]) if self.kernel else 0
        if not 0 < rows <= MAX_TAPS or not 0 < columns <= MAX_TAPS:
            raise CircuitError(
                f"the kernel of {name} is {rows}x{columns}; 1 to {MAX_TAPS} rows and columns can "
                "be drawn"
            )
        if any(len(row) != columns for row in self.kernel):
            raise CircuitError(f"the kernel of {name} has rows of different lengths")
        if not all(math.isfinite(value) for row in self.kernel for value in row):
            raise CircuitError(f"the kernel of {name} holds numbers that are not finite")

    @property
    def positive(self) -> float:
        """Sum of the kernel's positive weights; 0 without a kernel."""
        return math.fsum(value for row in self.kernel or () for value in row if value > 0)

    @property
    def negative(self) -> float:
        """Sum of the kernel's negative weights, at most 0."""
        return math.fsum(value for row in self.kernel or () for value in row if value < 0)

    @property
    def color_scale(self) -> float:
        """The weight of the strongest colour; 1 where all weights are 0."""
        own = max((abs(value) for row in self.kernel or () for value in row), default=0.0)
        return (own if self.scale is None else self.scale) or 1.0


@dataclass(frozen=True)
class CircuitGraph:
    """Nodes and edges without cycles.

    Attributes:
        nodes: In the order of the columns, earliest site first.
        edges: Each pair of nodes at most once.
        meta: What was done to make it: model, target, score, gates, notes and so on, as text.
    """

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    meta: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that it is a graph that can be drawn."""
        check_counts(len(self.nodes), len(self.edges))
        doubled = _doubled(node.id for node in self.nodes)
        if doubled:
            raise CircuitError(f"nodes are there twice: {doubled}; give each its own id")
        known = dict.fromkeys(node.id for node in self.nodes)
        for edge in self.edges:
            for end in (edge.source, edge.target):
                if end not in known:
                    raise CircuitError(
                        f"the edge {edge.source} -> {edge.target} leads to {end!r}, which is no "
                        f"node{did_you_mean(end, known)} add the node, or leave the edge out"
                    )
        doubled = _doubled(f"{edge.source} -> {edge.target}" for edge in self.edges)
        if doubled:
            raise CircuitError(f"edges are there twice: {doubled}; add their weights up")
        check_acyclic(list(known), [(edge.source, edge.target) for edge in self.edges])

    def __repr__(self) -> str:
        """Return one line with the sizes."""
        return (
            f"CircuitGraph({len(self.nodes)} nodes in {', '.join(self.sites)}; "
            f"{len(self.edges)} edges)"
        )

    @property
    def sites(self) -> tuple[str, ...]:
        """Names of the sites, in the order of the nodes."""
        return tuple(dict.fromkeys(node.site for node in self.nodes))

    def node(self, name: str) -> Node:
        """Return the node with an id.

        Raises:
            CircuitError: If there is none.
        """
        for node in self.nodes:
            if node.id == name:
                return node
        ids = [node.id for node in self.nodes]
        raise CircuitError(f"there is no node {name!r}{did_you_mean(name, ids)} see graph.nodes")

    def inputs(self, name: str) -> list[Edge]:
        """Return the edges into a node, strongest first."""
        return sorted((e for e in self.edges if e.target == name), key=lambda e: -abs(e.weight))

    def outputs(self, name: str) -> list[Edge]:
        """Return the edges out of a node, strongest first."""
        return sorted((e for e in self.edges if e.source == name), key=lambda e: -abs(e.weight))

    def channels(self) -> dict[str, tuple[int, ...]]:
        """Return the channels of each site that the graph holds, ascending."""
        found: dict[str, set[int]] = {site: set() for site in self.sites}
        for node in self.nodes:
            found[node.site].update(node.units)
        return {site: tuple(sorted(units)) for site, units in found.items()}

    def to_json(self) -> str:
        """Return the graph as JSON, see graph_json.py."""
        from circuits.graphs.graph_json import graph_to_json

        return graph_to_json(self)

    @classmethod
    def from_json(cls, text: str) -> "CircuitGraph":
        """Read a graph that `to_json` wrote.

        Raises:
            CircuitError: If the text is no such graph.
        """
        from circuits.graphs.graph_json import graph_from_json

        return graph_from_json(text)


def check_counts(nodes: int, edges: int) -> None:
    """Refuse graphs that nobody could read.

    Raises:
        CircuitError: If there are too many nodes or edges, or no node.
    """
    if not nodes:
        raise CircuitError("a graph needs at least one node")
    if nodes > MAX_NODES or edges > MAX_EDGES:
        raise CircuitError(
            f"the graph has {nodes} nodes and {edges} edges; at most {MAX_NODES} and {MAX_EDGES} "
            "can be shown: keep fewer inputs a node (keep), set a threshold, or group units into "
            "families"
        )


def _doubled(names: Iterable[str]) -> str:
    found = [name for name, count in Counter(names).items() if count > 1]
    return ", ".join(found[:_FEW]) + (", ..." if len(found) > _FEW else "")
