"""Family by family: all kernels between two groups of units, each in the order of its orientation.

Targets are columns and sources rows; kernels that depend only on the difference of orientation
look alike along the diagonals. Colours as in kernels.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from PIL import Image, ImageDraw, ImageFont

from circuits.expansion.weight_map import WeightMap
from circuits.families.family import Family
from circuits.pictures.kernels import SCALE_TEXT, diverging_colors, kernel_picture
from featviz.errors import CircuitError
from featviz.images import to_picture
from featviz.units import Unit

_GAP_PX, _FONT_PX, _LINE_PX, _BAR_PX = 3, 13, 17, 120


@dataclass(frozen=True)
class _Layout:
    side: int
    left: int
    top: int

    def corner(self, row: int, column: int) -> tuple[int, int]:
        step = self.side + _GAP_PX
        return self.left + column * step, self.top + row * step


def family_matrix(
    weights: WeightMap,
    sources: Family,
    targets: Family,
    *,
    pictures: Mapping[Unit, Image.Image] | None = None,
    title: str | None = None,
    side_px: int = 45,
) -> Image.Image:
    """Return the kernels between two families as one picture.

    Args:
        weights: Kernels; colours are scaled by the largest weight of each target over all its
            inputs, in a family or not.
        sources: Rows, in the order given; labelled with unit and degrees where they have angles.
        targets: Columns, likewise.
        pictures: Feature images of units, put beside the labels; those left out stay white.
        title: First line; None: from what to what.
        side_px: Height and width of kernels and pictures.

    Raises:
        CircuitError: If a unit of a family is not in the weights.
    """
    rows = _channels(sources, weights.source, weights.sources)
    columns = _channels(targets, weights.target, weights.targets)
    font = ImageFont.load_default(_FONT_PX)
    labels = [_labels(sources), _labels(targets)]
    label_px = [int(max(font.getlength(text) for text in texts)) + 8 for texts in labels]
    picture_px = side_px + _GAP_PX if pictures else 0
    lines = [
        title or f"{sources.name} of {weights.source} (rows) to {targets.name} of {weights.target}",
        f"{SCALE_TEXT}; red excites, blue inhibits; gates {weights.gates}, by {weights.method}",
        *weights.notes,
    ]
    head = len(lines) * _LINE_PX + 12
    layout = _Layout(side_px, label_px[0] + picture_px + 6, head + label_px[1] + picture_px)
    right, bottom = layout.corner(len(rows), len(columns))
    text_px = int(max(font.getlength(line) for line in lines))
    width = max(right, text_px + 20 + _BAR_PX + 40)
    sheet = Image.new("RGB", (width + 6, bottom + 30), "white")
    draw = ImageDraw.Draw(sheet)
    for k, line in enumerate(lines):
        draw.text((6, 6 + k * _LINE_PX), line, "black", font=font)
    bar = _color_bar(font)
    sheet.paste(bar, (max(6, width - bar.width), 4))
    _draw_axes(sheet, layout, (sources, targets), labels, pictures or {}, font)
    for c, target in enumerate(columns):
        kernels = weights.of_target(target)
        scale = float(kernels.abs().max())
        for r, source in enumerate(rows):
            tile = kernel_picture(
                kernels[weights.sources.index(source)], scale=scale, side_px=side_px
            )
            sheet.paste(tile, layout.corner(r, c))
    return sheet


def _color_bar(font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> Image.Image:
    """Return the colours from -1 to 1 with their numbers."""
    ramp = torch.linspace(-1, 1, _BAR_PX)[None].expand(12, -1)
    bar = Image.new("RGB", (_BAR_PX + 34, 12 + _LINE_PX), "white")
    bar.paste(to_picture(diverging_colors(ramp)), (12, 0))
    draw = ImageDraw.Draw(bar)
    for value in (-1, 0, 1):
        text = f"{value:+d}" if value else "0"
        middle = 12 + (value + 1) * _BAR_PX // 2
        draw.text((middle - font.getlength(text) / 2, 13), text, "black", font=font)
    return bar


def _channels(family: Family, site: str, known: Sequence[int]) -> tuple[int, ...]:
    for unit in family.units:
        if unit.site != site or unit.channel not in known:
            raise CircuitError(
                f"{unit} of the family {family.name!r} is not in the weights, which join units of "
                f"{site!r} here; leave it out, or expand weights with it"
            )
    return family.channels(site)


def _labels(family: Family) -> list[str]:
    angles = family.angles_deg or (None,) * len(family.units)
    return [
        str(unit.channel) if angle is None else f"{unit.channel}  {angle:.0f}°"
        for unit, angle in zip(family.units, angles, strict=True)
    ]


def _draw_axes(
    sheet: Image.Image,
    layout: _Layout,
    families: tuple[Family, Family],
    labels: Sequence[Sequence[str]],
    pictures: Mapping[Unit, Image.Image],
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> None:
    draw = ImageDraw.Draw(sheet)
    for axis, family in enumerate(families):
        for k, (unit, label) in enumerate(zip(family.units, labels[axis], strict=True)):
            x, y = layout.corner(0, k) if axis else layout.corner(k, 0)
            place = (x, y - layout.side - _GAP_PX) if axis else (x - layout.side - _GAP_PX, y)
            shown = pictures.get(unit)
            if shown is not None:
                size = (layout.side, layout.side)
                sheet.paste(shown.convert("RGB").resize(size, Image.Resampling.LANCZOS), place)
            reach = layout.side + _GAP_PX if pictures else 0
            if axis:
                _paste_upright(sheet, label, (x, y - reach - 4), layout.side, font)
            else:
                wide = int(font.getlength(label))
                middle = y + (layout.side - _FONT_PX) // 2
                draw.text((x - reach - wide - 5, middle), label, "black", font=font)


def _paste_upright(
    sheet: Image.Image,
    label: str,
    foot: tuple[int, int],
    side: int,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> None:
    """Write a label from below to above, ending at a foot, in the middle of its column."""
    strip = Image.new("RGB", (int(font.getlength(label)) + 2, _FONT_PX + 4), "white")
    ImageDraw.Draw(strip).text((0, 0), label, "black", font=font)
    turned = strip.transpose(Image.Transpose.ROTATE_90)
    sheet.paste(turned, (foot[0] + (side - turned.width) // 2, foot[1] - turned.height))
