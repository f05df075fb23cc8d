"""Where the parts of a circuit graph lie on paper, in px: the one layout of SVG, PNG and page.

One column a site, or several sites of the same depth, earliest on the left; a node is a row of its
feature image, its tuning and the kernel of its strongest edge, with its name below. Edges start
behind the kernel and end at the image of the node that reads.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from PIL import ImageFont

from circuits.graphs.graph import CircuitGraph, Edge, Node

PICTURE_PX = 56
TUNING_PX = 72
"""Width of a tuning; it is as high as a picture."""
TUNING_RADIUS_PX = 19
TILE_PX = 42
TEXT_PX = 13
LINE_PX = 16
PART_GAP_PX = 6
ROW_GAP_PX = 16
COLUMN_GAP_PX = 100
MARGIN_PX = 24
HEAD_PX = 34
LEGEND_PX = 114
LEGEND_WIDTH_PX = 740
WIDTHS_SHOWN = (0.1, 0.5, 1.0)
"""Shares whose width of edge the legend shows."""
STACK_PX = 3
"""Between the frames of a family's stack."""
BADGE_PX = 17
"""Height of the badge with a family's number of units."""
_LABEL_PX = 150
# Fonts differ between machines; this much room is kept.
_FONT_SLACK = 1.18


@dataclass(frozen=True)
class Place:
    """Where one node lies.

    Attributes:
        node: The node.
        x: Left end.
        y: Top.
        width: Of picture, tuning and kernel.
        height: With the lines of its name.
        lines: Its name, broken to fit.
        picture_x: Left end of the feature image, or None without one.
        tuning_x: Likewise of the tuning.
        tile_x: Likewise of the kernel.
        tile_edge: Number of the edge whose kernel it is.
    """

    node: Node
    x: float
    y: float
    width: float
    height: float
    lines: tuple[str, ...]
    picture_x: float | None
    tuning_x: float | None
    tile_x: float | None
    tile_edge: int | None

    @property
    def middle(self) -> float:
        """Height of the row's pictures' middle."""
        return self.y + PICTURE_PX / 2


@dataclass(frozen=True)
class Wire:
    """The way of one edge: a cubic curve.

    Attributes:
        edge: The edge.
        number: Its number in the graph.
        points: Start, two controls, end.
        width: Of the stroke, by the magnitude.
        share: Magnitude over that of the target's strongest drawn input, 0..1.
    """

    edge: Edge
    number: int
    points: tuple[tuple[float, float], ...]
    width: float
    share: float


@dataclass(frozen=True)
class Layout:
    """All places.

    Attributes:
        graph: What is laid out.
        width: Of the paper.
        height: Of the paper.
        places: By id.
        wires: Weakest first, so that strong ones lie on top.
        heads: Name of each column and where its left end is.
    """

    graph: CircuitGraph
    width: float
    height: float
    places: dict[str, Place]
    wires: tuple[Wire, ...]
    heads: tuple[tuple[str, float], ...]


@lru_cache(maxsize=1)
def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(TEXT_PX)


def text_width(text: str) -> float:
    """Return the room that a text needs, in px, with slack for other fonts."""
    return float(_font().getlength(text)) * _FONT_SLACK


def wrapped(text: str, width_px: float) -> tuple[str, ...]:
    """Break a text into lines that fit; at spaces where possible, else anywhere."""
    lines: list[str] = []
    line = ""
    for word in text.split():
        while text_width(word) > width_px:
            room = len(word)
            while room > 1 and text_width(word[:room]) > width_px:
                room -= 1
            if line:
                lines.append(line)
                line = ""
            lines.append(word[:room])
            word = word[room:]
        joined = f"{line} {word}".strip()
        if text_width(joined) > width_px and line:
            lines.append(line)
            joined = word
        line = joined
    return (*lines, line) if line else tuple(lines)


def badge(place: Place) -> tuple[str, float, float, float]:
    """Return the number of units of a node as text, and left end, top and width of its badge.

    It sits on the upper right corner of the stack, beside the pictures.
    """
    text = str(len(place.node.units))
    width = max(BADGE_PX, text_width(text) + 8)
    x = place.x + place.width + 3 + 2 * STACK_PX - width / 2
    return text, x, place.y - 3 - 2 * STACK_PX - 2, width


def lay_out(graph: CircuitGraph) -> Layout:
    """Return where everything lies.

    Args:
        graph: Any circuit graph.
    """
    columns = _columns(graph)
    shares = _shares(graph)
    x = float(MARGIN_PX)
    drafts: list[list[Place]] = []
    heads = []
    strongest = _strongest_outputs(graph)
    for column in columns:
        slots = _slots(column, x, any(node.id in strongest for node in column))
        draft = [_draft(node, slots, x, strongest.get(node.id)) for node in column]
        title = " + ".join(dict.fromkeys(node.site for node in column))
        heads.append((title, x))
        drafts.append(draft)
        widest = max(max(place.width, *map(text_width, place.lines), 0) for place in draft)
        x += max(widest, text_width(title)) + COLUMN_GAP_PX
    width = max(x - COLUMN_GAP_PX + MARGIN_PX, LEGEND_WIDTH_PX + 2 * MARGIN_PX)
    tall = max(sum(place.height + ROW_GAP_PX for place in draft) for draft in drafts)
    places = {}
    for draft in drafts:
        own = sum(place.height + ROW_GAP_PX for place in draft)
        y = MARGIN_PX + HEAD_PX + (tall - own) / 2
        for place in draft:
            places[place.node.id] = replace(place, y=y)
            y += place.height + ROW_GAP_PX
    wires = [_wire(graph, k, places, shares[k]) for k in range(len(graph.edges))]
    wires.sort(key=lambda wire: wire.share)
    height = MARGIN_PX + HEAD_PX + tall + LEGEND_PX + MARGIN_PX
    return Layout(graph, width, height, places, tuple(wires), tuple(heads))


def _shares(graph: CircuitGraph) -> list[float]:
    top: dict[str, float] = {}
    for edge in graph.edges:
        top[edge.target] = max(top.get(edge.target, 0.0), abs(edge.weight))
    return [abs(edge.weight) / (top[edge.target] or 1.0) for edge in graph.edges]


def _strongest_outputs(graph: CircuitGraph) -> dict[str, int]:
    """Return the number of each node's strongest edge that has a kernel."""
    shares = _shares(graph)
    found: dict[str, int] = {}
    for number, edge in enumerate(graph.edges):
        if edge.kernel is None:
            continue
        if edge.source not in found or shares[number] > shares[found[edge.source]]:
            found[edge.source] = number
    return found


def _columns(graph: CircuitGraph) -> list[list[Node]]:
    """Put nodes into columns by their distance from the end, ordered for few crossings."""
    depth = {node.id: 0 for node in graph.nodes}
    outputs: dict[str, list[Edge]] = {node.id: [] for node in graph.nodes}
    waiting = {node.id: 0 for node in graph.nodes}
    inputs: dict[str, list[Edge]] = {node.id: [] for node in graph.nodes}
    for edge in graph.edges:
        outputs[edge.source].append(edge)
        inputs[edge.target].append(edge)
        waiting[edge.source] += 1
    free = [node.id for node in graph.nodes if not waiting[node.id]]
    while free:
        name = free.pop()
        for edge in inputs[name]:
            depth[edge.source] = max(depth[edge.source], depth[name] + 1)
            waiting[edge.source] -= 1
            if not waiting[edge.source]:
                free.append(edge.source)
    columns: list[list[Node]] = [[] for _ in range(max(depth.values()) + 1)]
    for node in graph.nodes:
        columns[-1 - depth[node.id]].append(node)
    _sort(columns, outputs)
    return columns


def _sort(columns: list[list[Node]], outputs: dict[str, list[Edge]]) -> None:
    """Order rows by the weighted middle of what reads them, from the target backwards.

    The inputs of one target alone come by weight, what excites on top.
    """
    for column, readers in zip(columns[-2::-1], columns[:0:-1], strict=True):
        row = {node.id: n for n, node in enumerate(readers)}
        keys = {
            node.id: -sum(edge.weight for edge in outputs[node.id] if edge.target in row)
            if len(readers) == 1
            else _middle(outputs[node.id], row)
            for node in column
        }
        column.sort(key=lambda node: keys[node.id])


def _middle(edges: Sequence[Edge], row: dict[str, int]) -> float:
    pairs = [(abs(edge.weight), row[edge.target]) for edge in edges if edge.target in row]
    total = sum(weight for weight, _ in pairs)
    return sum(weight * place for weight, place in pairs) / total if total else len(row) / 2


def _slots(column: Sequence[Node], x: float, tile: bool) -> dict[str, float]:
    """Return where each kind of picture of a column begins, and its right end."""
    slots: dict[str, float] = {}
    right = x
    for name, there, side in (
        ("picture", any(node.image is not None for node in column), PICTURE_PX),
        ("tuning", any(node.tuning is not None for node in column), TUNING_PX),
        ("tile", tile, TILE_PX),
    ):
        if there:
            slots[name] = right
            right += side + PART_GAP_PX
    return {**slots, "right": max(right - PART_GAP_PX, x + TILE_PX)}


def _draft(node: Node, slots: dict[str, float], x: float, tile_edge: int | None) -> Place:
    """Return a node's place with its top at 0."""
    width = slots["right"] - x
    lines = wrapped(node.id, max(_LABEL_PX, width))
    if node.label:
        lines += wrapped(node.label, max(_LABEL_PX, width))
    return Place(
        node=node,
        x=x,
        y=0.0,
        width=width,
        height=PICTURE_PX + 4 + LINE_PX * len(lines),
        lines=lines,
        picture_x=slots.get("picture") if node.image is not None else None,
        tuning_x=slots.get("tuning") if node.tuning is not None else None,
        tile_x=slots.get("tile") if tile_edge is not None else None,
        tile_edge=tile_edge,
    )


def wire_width(share: float) -> float:
    """Return the width in px of an edge by its magnitude, a share of the strongest input's."""
    return 0.6 + 5.4 * share


def _wire(graph: CircuitGraph, number: int, places: dict[str, Place], share: float) -> Wire:
    edge = graph.edges[number]
    start, end = places[edge.source], places[edge.target]
    x0, y0 = start.x + start.width + 3, start.middle
    x1, y1 = end.x - 5, end.middle
    bend = max(30.0, (x1 - x0) * 0.5)
    points = ((x0, y0), (x0 + bend, y0), (x1 - bend, y1), (x1, y1))
    return Wire(edge, number, points, width=wire_width(share), share=share)
