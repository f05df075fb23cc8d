"""A circuit graph as a still picture: SVG that follows the reader's light or dark, and PNG.

Both come from one layout (layout.py); page.py puts the SVG into an interactive page.
Red excites and is drawn through, blue inhibits and is dashed, so that no colour is needed.
"""

import base64
import html
import math
from collections.abc import Sequence

import torch

from circuits.graphs.graph import CircuitGraph, Edge, Tuning
from circuits.graphs.layout import (
    BADGE_PX,
    LEGEND_PX,
    LINE_PX,
    MARGIN_PX,
    PICTURE_PX,
    STACK_PX,
    TEXT_PX,
    TILE_PX,
    TUNING_PX,
    TUNING_RADIUS_PX,
    WIDTHS_SHOWN,
    Layout,
    Place,
    Wire,
    badge,
    lay_out,
    text_width,
    wire_width,
)
from circuits.pictures.kernels import ANCHORS, kernel_picture
from featviz.images import png_bytes

RED, BLUE = "#ca0020", "#0571b0"
# Half way to the next anchor, where the ground is dark.
RED_ON_DARK, BLUE_ON_DARK = "#df5351", "#4c9bc7"

STYLE = f"""
svg.circuit {{ --ink: #1b1f24; --soft: #5c6670; --paper: #ffffff; --rim: #b4bcc4; --box: #f4f6f8;
  --red: {RED}; --blue: {BLUE}; --tuned: #0072b2; color-scheme: light dark; }}
@media (prefers-color-scheme: dark) {{ svg.circuit {{ --ink: #e8ebee; --soft: #a6b0ba;
  --paper: #14181c; --rim: #4b555f; --box: #20262c; --red: {RED_ON_DARK}; --blue: {BLUE_ON_DARK};
  --tuned: #56b4e9; }} }}
.paper {{ fill: var(--paper); }}
.circuit text {{ font: {TEXT_PX}px system-ui, "Segoe UI", Arial, sans-serif; fill: var(--ink); }}
.circuit .head {{ font-weight: 600; }}
.circuit .soft {{ fill: var(--soft); }}
.box, .behind {{ fill: var(--box); stroke: var(--rim); }}
.badge rect {{ fill: var(--ink); }}
.circuit .tiny {{ font-size: 8px; fill: var(--soft); }}
.circuit .badge text {{ fill: var(--paper); font-weight: 600; }}
.rim {{ fill: none; stroke: var(--rim); stroke-width: .8; }}
.tuned {{ fill: var(--tuned); fill-opacity: .25; stroke: var(--tuned); stroke-width: 1.3;
  stroke-linejoin: round; }}
.wire {{ fill: none; stroke-opacity: .75; stroke: var(--red); }}
.wire.neg {{ stroke: var(--blue); stroke-dasharray: 7 4; }}
"""


FAMILY_LINE = (
    "stacked: a family and how many units; edge: mean over units that read of the sum over units "
    "read"
)
TUNING_LINE = (
    "round plots: response by orientation; number and outer ring: its peak, inner ring: half; "
    "0, 90, 180 degrees"
)


def scale_lines(graph: CircuitGraph) -> tuple[str, ...]:
    """Return what colours and widths mean, and what the weights are, for the legend."""
    score = graph.meta.get("score", "weight")
    gates = graph.meta.get("gates")
    between = f"; gates between sites not adjacent: {gates}" if gates else ""
    families = any(node.is_family for node in graph.nodes)
    return (
        "squares: kernel of a node's strongest edge; weight / max |weight| over all inputs of the "
        "unit that reads",
        f"width: magnitude / strongest input; score: {score}{between}",
        *([FAMILY_LINE] if families else []),
        *([TUNING_LINE] if any(node.tuning is not None for node in graph.nodes) else []),
    )


def graph_to_svg(graph: CircuitGraph, *, layout: Layout | None = None) -> str:
    """Return a graph as one SVG element that needs nothing but itself.

    Args:
        graph: Any circuit graph.
        layout: Of this graph, if there is one already.
    """
    laid = layout or lay_out(graph)
    w, h = math.ceil(laid.width), math.ceil(laid.height)
    target = graph.meta.get("target", graph.nodes[-1].id)
    name = f"circuit of {target}: {len(graph.nodes)} nodes, {len(graph.edges)} edges"
    heads = "".join(
        f'<text class="head" x="{x:.1f}" y="{MARGIN_PX + TEXT_PX}">{html.escape(title)}</text>'
        for title, x in laid.heads
    )
    return (
        f'<svg class="circuit" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w} {h}" '
        f'width="{w}" height="{h}" role="group" aria-label="{html.escape(name, quote=True)}">'
        f"<style>{STYLE}</style>"
        f'<rect class="paper" width="{w}" height="{h}"/><g id="drawing">'
        f'<g class="wires">{"".join(map(_wire_svg, laid.wires))}</g>{heads}'
        f'<g class="nodes">{"".join(_node_svg(p, graph) for p in laid.places.values())}</g></g>'
        f"{_legend_svg(laid)}</svg>"
    )


def edge_text(edge: Edge) -> str:
    """Return an edge in one line: ends, weight, sums of its kernel."""
    text = f"{edge.source} to {edge.target}: {edge.score_name} {edge.weight:+.4g}"
    if edge.kernel is not None:
        text += f", kernel sums {edge.positive:+.4g} and {edge.negative:+.4g}"
    return text


def _wire_svg(wire: Wire) -> str:
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = wire.points
    sign = " neg" if wire.edge.weight < 0 else ""
    return (
        f'<path class="wire{sign}" data-edge="{wire.number}" data-share="{wire.share:.6f}" '
        f'data-source="{html.escape(wire.edge.source, quote=True)}" '
        f'data-target="{html.escape(wire.edge.target, quote=True)}" '
        f'stroke-width="{wire.width:.2f}" d="M{x0:.1f} {y0:.1f}C{x1:.1f} {y1:.1f} {x2:.1f} '
        f'{y2:.1f} {x3:.1f} {y3:.1f}"><title>{html.escape(edge_text(wire.edge))}</title></path>'
    )


def _node_svg(place: Place, graph: CircuitGraph) -> str:
    node = place.node
    said = html.escape(f"{node.id} {node.label}".strip(), quote=True)
    wide = max(place.width, *map(text_width, place.lines))
    parts = [
        f'<g class="node" data-node="{html.escape(node.id, quote=True)}">'
        # What lies between picture and name belongs to the node for the pointer too.
        f'<rect x="{place.x:.1f}" y="{place.y:.1f}" width="{wide:.1f}" '
        f'height="{place.height:.1f}" fill="none" pointer-events="all"/>',
        *_frames_behind_svg(place),
        f'<rect class="box" x="{place.x - 3:.1f}" y="{place.y - 3:.1f}" '
        f'width="{place.width + 6:.1f}" height="{PICTURE_PX + 6}" rx="4"/>',
    ]
    if place.picture_x is not None and node.image is not None:
        picture = _image_svg(
            node.image, place.picture_x, place.y, PICTURE_PX, f"feature image of {node.id}"
        )
        parts.append(picture.replace("<image ", '<image data-feature="" '))
    if place.tuning_x is not None and node.tuning is not None:
        parts.append(_tuning_svg(node.tuning, place.tuning_x, place.y))
    if place.tile_x is not None and place.tile_edge is not None:
        edge = graph.edges[place.tile_edge]
        top = place.middle - TILE_PX / 2
        alt = f"kernel of {edge_text(edge)}"
        parts.append(_image_svg(kernel_png(edge, TILE_PX * 2), place.tile_x, top, TILE_PX, alt))
    parts += _badge_svg(place)
    top = place.y + PICTURE_PX + 4
    parts += [
        f'<text x="{place.x:.1f}" y="{top + LINE_PX * (k + 1) - 3:.1f}">{html.escape(line)}</text>'
        for k, line in enumerate(place.lines)
    ]
    return "".join(parts) + f"<title>{said}</title></g>"


def _tuning_svg(tuning: Tuning, x: float, y: float) -> str:
    cx, cy = x + TUNING_PX / 2, y + PICTURE_PX / 2
    points = tuning_points(tuning, cx, cy, TUNING_RADIUS_PX)
    text = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
    marks = "".join(
        f'<text class="tiny" x="{a:.1f}" y="{b:.1f}" text-anchor="{anchor}">{mark}</text>'
        for mark, a, b, anchor in tuning_marks(tuning, x, y)
    )
    rings = "".join(
        f'<circle class="rim" cx="{cx:.1f}" cy="{cy:.1f}" r="{radius:g}"/>'
        for radius in (TUNING_RADIUS_PX, TUNING_RADIUS_PX / 2)
    )
    return (
        f'<g class="tuning" data-box="{x:.1f} {y:.1f} {TUNING_PX} {PICTURE_PX}">{rings}'
        f'<polygon class="tuned" points="{text}"><title>{html.escape(tuning_text(tuning))}</title>'
        f"</polygon>{marks}</g>"
    )


def _frames_behind_svg(place: Place) -> list[str]:
    """Return the frames of a stack behind the first one; none for a single unit."""
    if not place.node.is_family:
        return []
    return [
        f'<rect class="behind" x="{place.x - 3 + shift:.1f}" y="{place.y - 3 - shift:.1f}" '
        f'width="{place.width + 6:.1f}" height="{PICTURE_PX + 6}" rx="4"/>'
        for shift in (2 * STACK_PX, STACK_PX)
    ]


def _badge_svg(place: Place) -> list[str]:
    """Return the number of units of a family, on the corner of its stack."""
    if not place.node.is_family:
        return []
    text, x, y, width = badge(place)
    return [
        f'<g class="badge"><rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" '
        f'height="{BADGE_PX}" rx="{BADGE_PX / 2}"/><text x="{x + width / 2:.1f}" '
        f'y="{y + BADGE_PX - 4:.1f}" text-anchor="middle">{text}</text></g>'
    ]


def _image_svg(data: bytes, x: float, y: float, side: float, alt: str) -> str:
    text = html.escape(alt, quote=True)
    return (
        f'<image x="{x:.1f}" y="{y:.1f}" width="{side}" height="{side}" role="img" '
        f'aria-label="{text}" href="data:image/png;base64,{base64.b64encode(data).decode()}"/>'
    )


def kernel_png(edge: Edge, side_px: int) -> bytes:
    """Return the kernel of an edge as a PNG of coloured cells, in its own scale."""
    kernel = torch.tensor(edge.kernel or ((0.0,),), dtype=torch.float64)
    return png_bytes(kernel_picture(kernel, scale=edge.color_scale, side_px=side_px))


def tuning_text(tuning: Tuning) -> str:
    """Return a tuning in words."""
    preferred = tuning.preferred_deg
    peak = peak_text(tuning)
    said = "no response" if math.isnan(preferred) else f"most at {preferred:.0f}°, {peak} there"
    return f"tuning to the stimulus {tuning.stimulus}: {said}"


def peak_text(tuning: Tuning) -> str:
    """Return the largest response in three digits, without an exponent where that is short."""
    peak = max(tuning.response)
    return f"{peak:.0f}" if 100 <= peak < 1e6 else f"{peak:.3g}"


def tuning_points(
    tuning: Tuning, x: float, y: float, radius: float
) -> Sequence[tuple[float, float]]:
    """Return the polar curve of a tuning, its peak at the radius.

    Curves run clockwise from the right, so that a direction is where the bulge points; lines
    counter-clockwise and twice, so that it lies along the line.
    """
    peak = max(tuning.response) or 1.0
    once = tuning.period_deg == 360
    places = []
    for turn in range(1 if once else 2):
        for k, value in enumerate(tuning.response):
            degrees = k * tuning.period_deg / len(tuning.response) + 180 * turn
            angle = math.radians(degrees if once else -degrees)
            reach = radius * value / peak
            places.append((x + reach * math.cos(angle), y + reach * math.sin(angle)))
    return places


def tuning_marks(tuning: Tuning, x: float, y: float) -> list[tuple[str, float, float, str]]:
    """Return the peak and the orientations around a tuning: text, its x, its foot, its anchor.

    Args:
        tuning: The tuning.
        x: Left end of its place.
        y: Top of it.
    """
    cx, cy, reach = x + TUNING_PX / 2, y + PICTURE_PX / 2, TUNING_RADIUS_PX + 2
    # Curves run clockwise, lines counter-clockwise; see `tuning_points`.
    ninety = cy + reach + 7 if tuning.period_deg == 360 else cy - reach
    return [
        (peak_text(tuning), x, y + 7, "start"),
        ("0", cx + reach, cy + 3, "start"),
        ("90", cx, ninety, "middle"),
        ("180", cx - reach, cy + 3, "end"),
    ]


def legend_top(layout: Layout) -> float:
    """Return where the legend begins."""
    return layout.height - MARGIN_PX - LEGEND_PX + 20


def _legend_svg(layout: Layout) -> str:
    x, y = MARGIN_PX, legend_top(layout)
    stops = "".join(
        f'<stop offset="{(place + 1) / 2:g}" stop-color="rgb({r},{g},{b})"/>'
        for place, (r, g, b) in ANCHORS
    )
    lines = "".join(
        f'<text class="soft" x="{x}" y="{y + 46 + k * 18}">{html.escape(line)}</text>'
        for k, line in enumerate(scale_lines(layout.graph))
    )
    ticks = (
        "".join(
            f'<text class="soft" x="{x + 80 * (value + 1)}" y="{y + 26}" text-anchor="middle">'
            f"{value:+d}</text>"
            for value in (-1, 1)
        )
        + f'<text class="soft" x="{x + 80}" y="{y + 26}" text-anchor="middle">0</text>'
    )
    return (
        f'<g class="legend"><defs><linearGradient id="scale">{stops}</linearGradient></defs>'
        f'<rect class="rim" x="{x}" y="{y}" width="160" height="12"/>'
        f'<rect x="{x}" y="{y}" width="160" height="12" fill="url(#scale)"/>{ticks}'
        f'<path class="wire" stroke-width="4" d="M{x + 210} {y + 6}h46"/>'
        f'<text x="{x + 264}" y="{y + 10}">excites</text>'
        f'<path class="wire neg" stroke-width="4" d="M{x + 340} {y + 6}h46"/>'
        f'<text x="{x + 394}" y="{y + 10}">inhibits</text>{_widths_svg(x + 470, y)}{lines}</g>'
    )


def _widths_svg(x: float, y: float) -> str:
    """Return edges of some magnitudes, with these."""
    return "".join(
        f'<path class="wire" stroke-width="{wire_width(share):.2f}" '
        f'd="M{x + 80 * k} {y + 6}h34"/><text class="soft" x="{x + 80 * k + 40}" y="{y + 10}">'
        f"{share:g}</text>"
        for k, share in enumerate(WIDTHS_SHOWN)
    )
