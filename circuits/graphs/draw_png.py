"""A circuit graph as a PNG, drawn from the same layout as the SVG (draw.py)."""

import io
import itertools
from dataclasses import dataclass

import torch
from PIL import Image, ImageColor, ImageDraw, ImageFont

from circuits.graphs.draw import (
    BLUE,
    BLUE_ON_DARK,
    RED,
    RED_ON_DARK,
    kernel_png,
    legend_top,
    scale_lines,
    tuning_marks,
    tuning_points,
)
from circuits.graphs.graph import CircuitGraph
from circuits.graphs.layout import (
    BADGE_PX,
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
    wire_width,
)
from circuits.pictures.kernels import diverging_colors
from featviz.errors import CircuitError

MAX_PIXELS = 30_000_000
_FINER = 2
_STEPS = 60
_DASH_PX, _SPACE_PX = 7.0, 4.0


@dataclass(frozen=True)
class _Ink:
    ink: str
    soft: str
    paper: str
    rim: str
    box: str
    red: str
    blue: str
    tuned: str


_THEMES: dict[str, _Ink] = {
    "light": _Ink("#1b1f24", "#5c6670", "#ffffff", "#b4bcc4", "#f4f6f8", RED, BLUE, "#0072b2"),
    "dark": _Ink(
        "#e8ebee", "#a6b0ba", "#14181c", "#4b555f", "#20262c", RED_ON_DARK, BLUE_ON_DARK, "#56b4e9"
    ),
}


def graph_picture(graph: CircuitGraph, *, theme: str = "light", resolution: int = 2) -> Image.Image:
    """Return a graph as a picture.

    Args:
        graph: Any circuit graph.
        theme: `light` or `dark`.
        resolution: Pixels for one px of the layout.

    Raises:
        CircuitError: If the theme is unknown, or the picture would be too large.
    """
    if theme not in _THEMES:
        raise CircuitError(f"unknown theme {theme!r}; choose light or dark")
    layout = lay_out(graph)
    width, height = (int(side * resolution) for side in (layout.width, layout.height))
    if resolution < 1 or width * height > MAX_PIXELS:
        raise CircuitError(
            f"a PNG of {width}x{height} px would be too large; write SVG or HTML, or keep fewer "
            "nodes"
        )
    large = _Painter(layout, _THEMES[theme], resolution * _FINER).painted()
    return large.resize((width, height), Image.Resampling.BOX)


class _Painter:
    def __init__(self, layout: Layout, ink: _Ink, k: int) -> None:
        self._layout, self._ink, self._k = layout, ink, k
        size = (int(layout.width * k), int(layout.height * k))
        self._sheet = Image.new("RGB", size, ink.paper)
        self._draw = ImageDraw.Draw(self._sheet, "RGBA")
        self._font = ImageFont.load_default(TEXT_PX * k)
        self._tiny = ImageFont.load_default(8 * k)

    def painted(self) -> Image.Image:
        for wire in self._layout.wires:
            self._wire(wire)
        for title, x in self._layout.heads:
            self._text(x, MARGIN_PX, title, self._ink.ink)
        for place in self._layout.places.values():
            self._node(place)
        self._legend()
        return self._sheet

    def _text(self, x: float, y: float, text: str, color: str, anchor: str = "la") -> None:
        at = (x * self._k, y * self._k)
        self._draw.text(at, text, color, font=self._font, anchor=anchor)

    def _paste(self, data: bytes, x: float, y: float, side: float) -> None:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
            px = round(side * self._k)
            clear = picture.has_transparency_data
            whole = picture.convert("RGBA" if clear else "RGB")
            fitted = whole.resize((px, px), Image.Resampling.BOX)
        at = (round(x * self._k), round(y * self._k))
        self._sheet.paste(fitted.convert("RGB"), at, fitted if clear else None)

    def _box(self, x: float, y: float, w: float, h: float, **options: str) -> None:
        k = self._k
        self._draw.rectangle(
            [x * k, y * k, (x + w) * k, (y + h) * k], width=max(1, k // 2), **options
        )

    def _wire(self, wire: Wire) -> None:
        color = self._ink.blue if wire.edge.weight < 0 else self._ink.red
        self._line(_bezier(wire.points), color, wire.width, dashed=wire.edge.weight < 0)

    def _line(
        self, points: list[tuple[float, float]], color: str, width: float, *, dashed: bool
    ) -> None:
        fill = ImageColor.getrgb(color)[:3]
        px = max(1, round(width * self._k))
        for run in _dashes(points) if dashed else [points]:
            scaled = [(x * self._k, y * self._k) for x, y in run]
            self._draw.line(scaled, fill=fill, width=px, joint="curve")

    def _node(self, place: Place) -> None:
        ink, node = self._ink, place.node
        for shift in (2 * STACK_PX, STACK_PX, 0) if node.is_family else (0,):
            x, y = place.x - 3 + shift, place.y - 3 - shift
            self._box(x, y, place.width + 6, PICTURE_PX + 6, fill=ink.box, outline=ink.rim)
        if place.picture_x is not None and node.image is not None:
            self._paste(node.image, place.picture_x, place.y, PICTURE_PX)
        if place.tuning_x is not None and node.tuning is not None:
            self._tuning(place)
        if place.tile_x is not None and place.tile_edge is not None:
            edge = self._layout.graph.edges[place.tile_edge]
            data = kernel_png(edge, TILE_PX * self._k)
            self._paste(data, place.tile_x, place.middle - TILE_PX / 2, TILE_PX)
        if node.is_family:
            self._badge(place)
        for n, line in enumerate(place.lines):
            self._text(place.x, place.y + PICTURE_PX + 4 + n * LINE_PX, line, ink.ink)

    def _badge(self, place: Place) -> None:
        text, x, y, width = badge(place)
        k = self._k
        self._draw.rounded_rectangle(
            [x * k, y * k, (x + width) * k, (y + BADGE_PX) * k],
            radius=BADGE_PX * k / 2,
            fill=self._ink.ink,
        )
        self._text(x + width / 2, y + BADGE_PX / 2, text, self._ink.paper, "mm")

    def _tuning(self, place: Place) -> None:
        assert place.tuning_x is not None
        assert place.node.tuning is not None
        k, tuning = self._k, place.node.tuning
        x, y = place.tuning_x + TUNING_PX / 2, place.middle
        for radius in (TUNING_RADIUS_PX, TUNING_RADIUS_PX / 2):
            around = [(x - radius) * k, (y - radius) * k, (x + radius) * k, (y + radius) * k]
            self._draw.ellipse(around, outline=self._ink.rim)
        points = [(a * k, b * k) for a, b in tuning_points(tuning, x, y, TUNING_RADIUS_PX)]
        color = ImageColor.getrgb(self._ink.tuned)[:3]
        if len(points) > 1:
            self._draw.polygon(points, fill=(*color, 64))
            self._draw.line([*points, points[0]], fill=color, width=k)
        anchors = {"start": "ls", "middle": "ms", "end": "rs"}
        for text, a, b, anchor in tuning_marks(tuning, place.tuning_x, place.y):
            at = (a * k, b * k)
            self._draw.text(at, text, self._ink.soft, font=self._tiny, anchor=anchors[anchor])

    def _legend(self) -> None:
        x, y, ink = MARGIN_PX, legend_top(self._layout), self._ink
        bar = diverging_colors(torch.linspace(-1, 1, 160 * self._k)[None])
        strip = Image.fromarray((bar.permute(1, 2, 0) * 255).round().byte().numpy(), "RGB")
        strip = strip.resize((160 * self._k, 12 * self._k))
        self._sheet.paste(strip, (round(x * self._k), round(y * self._k)))
        for value, text in ((0, "-1"), (80, "0"), (160, "+1")):
            self._text(x + value, y + 15, text, ink.soft, "ma")
        for left, color, text, dashed in (
            (210, ink.red, "excites", False),
            (340, ink.blue, "inhibits", True),
        ):
            way = [(float(x + left + step), y + 6.0) for step in range(47)]
            self._line(way, color, 4, dashed=dashed)
            self._text(x + left + 54, y, text, ink.ink)
        for n, share in enumerate(WIDTHS_SHOWN):
            left = x + 470 + 80 * n
            way = [(float(left), y + 6.0), (float(left + 34), y + 6.0)]
            self._line(way, ink.red, wire_width(share), dashed=False)
            self._text(left + 40, y, f"{share:g}", ink.soft)
        for n, line in enumerate(scale_lines(self._layout.graph)):
            self._text(x, y + 36 + n * 18, line, ink.soft)


def _bezier(points: tuple[tuple[float, float], ...]) -> list[tuple[float, float]]:
    found = []
    for step in range(_STEPS + 1):
        t = step / _STEPS
        parts = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3)
        x, y = (sum(p * point[axis] for p, point in zip(parts, points, strict=True))
                for axis in (0, 1))  # fmt: skip
        found.append((x, y))
    return found


def _dashes(points: list[tuple[float, float]]) -> list[list[tuple[float, float]]]:
    """Cut a line into dashes of the length that the SVG has."""
    runs: list[list[tuple[float, float]]] = [[points[0]]]
    on, left = True, _DASH_PX
    for start, stop in itertools.pairwise(points):
        length = ((stop[0] - start[0]) ** 2 + (stop[1] - start[1]) ** 2) ** 0.5
        done = 0.0
        while length - done > left:
            done += left
            at = tuple(a + (b - a) * done / length for a, b in zip(start, stop, strict=True))
            if on:
                runs[-1].append((at[0], at[1]))
            else:
                runs.append([(at[0], at[1])])
            on, left = not on, _SPACE_PX if on else _DASH_PX
        left -= length - done
        if on:
            runs[-1].append(stop)
    return [run for run in runs if len(run) > 1]
