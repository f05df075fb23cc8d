"""Two surfaces that meet: corners, edges, pairs of colours."""

import colorsys

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.stimuli.canvas import Ink, inside
from circuits.stimuli.strokes import DEFAULT_INK, Number, corner_field


def corners(
    angle_deg: Float[Tensor, " n"],
    *,
    size: tuple[int, int],
    opening_deg: Number = 90.0,
    radius_px: Number = 0.0,
    ink: Ink = DEFAULT_INK,
) -> Float[Tensor, "n 3 h w"]:
    """Draw corners filled with ink, their tip in the middle of the image.

    Args:
        angle_deg: Orientation: 180 minus the direction in which the corner opens.
        size: Height and width of the images, px.
        opening_deg: Between the two sides, above 0 and at most 180.
        radius_px: Of the tip; 0 is sharp.
        ink: Values of paper and ink.

    Raises:
        CircuitError: If the opening is out of range, or a radius below 0.
    """
    return ink.on_paper(_covered(angle_deg, size, opening_deg, radius_px))


def edges(
    angle_deg: Float[Tensor, " n"], *, size: tuple[int, int], ink: Ink = DEFAULT_INK
) -> Float[Tensor, "n 3 h w"]:
    """Draw half of the image in ink: corners of 180 degrees.

    Args:
        angle_deg: Orientation: 180 minus the direction of the inked side.
        size: Height and width of the images, px.
        ink: Values of paper and ink.
    """
    return corners(angle_deg, size=size, opening_deg=180.0, ink=ink)


def color_pairs(
    angle_deg: Float[Tensor, " n"],
    *,
    size: tuple[int, int],
    hue_deg: Number,
    saturation: float = 1.0,
    value: float = 0.75,
) -> Float[Tensor, "n 3 h w"]:
    """Draw two halves in opposite hues.

    Args:
        angle_deg: Orientation: 180 minus the direction of the side of the hue given.
        size: Height and width of the images, px.
        hue_deg: Of that side, 0 red, 120 green, 240 blue; the other side has it plus 180.
        saturation: Of both, 0..1.
        value: Of both, 0..1.
    """
    share = _covered(angle_deg, size, 180.0, 0.0)[:, None]
    hues = torch.as_tensor(hue_deg, dtype=torch.float64).expand(len(angle_deg)).tolist()
    sides = [
        angle_deg.new_tensor([colorsys.hsv_to_rgb(h / 360 % 1, saturation, value) for h in turned])
        for turned in (hues, [hue + 180 for hue in hues])
    ]
    first, second = (side.float().view(-1, 3, 1, 1) for side in sides)
    return second + (first - second) * share


def _covered(
    angle_deg: Float[Tensor, " n"],
    size: tuple[int, int],
    opening_deg: Number,
    radius_px: Number,
) -> Float[Tensor, "n h w"]:
    distance, nx, ny, _ = corner_field(
        angle_deg, size=size, opening_deg=opening_deg, radius_px=radius_px
    )
    return inside(distance, nx, ny)
