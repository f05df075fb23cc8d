"""Signed kernels as coloured tiles: blue for inhibition, red for excitation, white for nothing.

The colours keep apart for people who do not tell red from green. draw.py and the commands use it.
"""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from circuits.expansion.weight_map import Aggregation, WeightMap

ANCHORS: tuple[tuple[float, tuple[int, int, int]], ...] = (
    (-1.0, (0x05, 0x71, 0xB0)),
    (-0.5, (0x92, 0xC5, 0xDE)),
    (0.0, (0xF7, 0xF7, 0xF7)),
    (0.5, (0xF4, 0xA5, 0x82)),
    (1.0, (0xCA, 0x00, 0x20)),
)
"""Value -> RGB, linear between (the diverging scheme RdBu of ColorBrewer)."""

SCALE_TEXT = "colours: weight / max |weight| over all inputs of the unit"
_NOT_A_NUMBER = (0xFF, 0xD9, 0x2F)
_GAP_PX, _FONT_PX = 8, 12


def diverging_colors(values: Float[Tensor, "h w"]) -> Float[Tensor, "3 h w"]:
    """Return the colour of each value, RGB in 0..1; not-a-number is yellow.

    Args:
        values: -1..1; beyond, the colours of the ends.
    """
    array = values.detach().cpu().double().numpy()
    places = [place for place, _ in ANCHORS]
    channels = [
        np.where(
            np.isnan(array),
            _NOT_A_NUMBER[k],
            np.interp(np.nan_to_num(array), places, [color[k] for _, color in ANCHORS]),
        )
        for k in range(3)
    ]
    return torch.from_numpy(np.stack(channels) / 255).float()


def kernel_picture(
    kernel: Float[Tensor, "kh kw"], *, scale: float, side_px: int = 96
) -> Image.Image:
    """Return a kernel as square cells of whole pixels, centred on white.

    Args:
        kernel: Weights, row 0 on top.
        scale: The weight of the strongest colour; 0 is taken as 1.
        side_px: Height and width of the picture.
    """
    h, w = kernel.shape
    colors = diverging_colors(kernel / (scale or 1.0)).permute(1, 2, 0).numpy()
    cells = Image.fromarray((colors * 255).round().astype(np.uint8), "RGB")
    cell = max(1, side_px // max(h, w))
    side = max(side_px, cell * max(h, w))
    picture = Image.new("RGB", (side, side), "white")
    tile = cells.resize((w * cell, h * cell), Image.Resampling.NEAREST)
    picture.paste(tile, ((side - tile.width) // 2, (side - tile.height) // 2))
    ImageDraw.Draw(picture).rectangle(
        [
            ((side - tile.width) // 2, (side - tile.height) // 2),
            ((side + tile.width) // 2 - 1, (side + tile.height) // 2 - 1),
        ],
        outline=(0xB0, 0xB0, 0xB0),
    )
    return picture


def weight_sheet(
    weights: WeightMap,
    channel: int,
    *,
    count: int = 12,
    by: Aggregation = "l2",
    features: Mapping[int, Image.Image] | None = None,
    feature: Image.Image | None = None,
    side_px: int = 96,
    columns: int = 4,
) -> Image.Image:
    """Return one unit with its strongest inputs: feature image, kernel, name and strength.

    Args:
        weights: Of the unit, among others.
        channel: Of the target.
        count: Inputs at most.
        by: How they are ranked, see `WeightMap.strength`.
        features: Picture of each source channel; those without one show the kernel alone.
        feature: Picture of the unit itself.
        side_px: Height of pictures and kernels.
        columns: Inputs a row.

    Raises:
        CircuitError: If the map has no such target.
    """
    features = features or {}
    ranked = weights.top(channel, count=count, by=by)
    kernels = weights.of_target(channel)
    scale = float(kernels.abs().max())
    side = kernel_picture(kernels[0], scale=1.0, side_px=side_px).width
    wide = side * (2 if features else 1) + (4 if features else 0)
    cell_w = max(wide, 120) + _GAP_PX
    cell_h = side + _FONT_PX + 2 * _GAP_PX
    columns = min(columns, max(1, len(ranked)))
    lines = [
        f"{weights.target}:{channel}  from  {weights.source}",
        f"gates {weights.gates}, by {weights.method}; strongest by {by}; max |weight| {scale:.3g}",
        SCALE_TEXT,
        *weights.notes,
    ]
    font = ImageFont.load_default(_FONT_PX)
    text_px = max(int(font.getlength(line)) for line in lines)
    left = side + _GAP_PX if feature is not None else 0
    head = max(len(lines) * (_FONT_PX + 4), side if feature is not None else 0) + 2 * _GAP_PX
    width = max(columns * cell_w, left + text_px) + 2 * _GAP_PX
    rows = -(-len(ranked) // columns)
    sheet = Image.new("RGB", (width, head + rows * cell_h + _GAP_PX), "white")
    draw = ImageDraw.Draw(sheet)
    if feature is not None:
        sheet.paste(_fitted(feature, side), (_GAP_PX, _GAP_PX))
    for n, line in enumerate(lines):
        draw.text((_GAP_PX + left, _GAP_PX + n * (_FONT_PX + 4)), line, "black", font=font)
    for k, (source, strength) in enumerate(ranked):
        x, y = _GAP_PX + k % columns * cell_w, head + k // columns * cell_h
        if source in features:
            sheet.paste(_fitted(features[source], side), (x, y))
        kernel = kernels[weights.sources.index(source)]
        tile = kernel_picture(kernel, scale=scale, side_px=side_px)
        sheet.paste(tile, (x + (side + 4 if features else 0), y))
        draw.text((x, y + side + 2), f"{source}  {strength:.3g}", "black", font=font)
    return sheet


def _fitted(picture: Image.Image, side: int) -> Image.Image:
    return picture.convert("RGB").resize((side, side), Image.Resampling.LANCZOS)
