"""Strokes of ink: lines, arcs, circles, angles with round tips, rings."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.stimuli.canvas import MAX_PX, Ink, band, directions, inside, per_image, pixels
from featviz.errors import CircuitError

Number = float | Float[Tensor, " n"]

DEFAULT_INK = Ink()


def lines(
    angle_deg: Float[Tensor, " n"],
    *,
    size: tuple[int, int],
    width_px: Number | None = None,
    offset_px: Number = 0.0,
    half_length_px: float = math.inf,
    ink: Ink = DEFAULT_INK,
) -> Float[Tensor, "n 3 h w"]:
    """Draw straight lines.

    Args:
        angle_deg: Angle of each line, counter-clockwise from horizontal.
        size: Height and width of the images, px.
        width_px: Of each line; None: that of the ink.
        offset_px: Distance from the middle of the image, to the left of the line's direction.
        half_length_px: From the line's middle to each end.
        ink: Values of paper and ink.
    """
    x, y = pixels(size, angle_deg.device)
    cos, sin = directions(angle_deg)
    beside, along = y * cos - x * sin - per_image(offset_px, angle_deg), x * cos + y * sin
    width = per_image(ink.width_px if width_px is None else width_px, angle_deg)
    nx, ny = -sin.expand_as(beside), cos.expand_as(beside)
    covered = band(beside, nx, ny, width_px=width)
    return ink.on_paper(covered * _before_end(along.abs(), half_length_px, ny, nx))


def arcs(
    angle_deg: Float[Tensor, " n"],
    *,
    size: tuple[int, int],
    radius_px: Number,
    half_length_px: float = math.inf,
    ink: Ink = DEFAULT_INK,
) -> Float[Tensor, "n 3 h w"]:
    """Draw arcs of circles through the middle of the image.

    Args:
        angle_deg: Orientation: 180 minus the direction of the centre of curvature.
        size: Height and width of the images, px.
        radius_px: Of curvature; infinity draws straight lines.
        half_length_px: From the middle of the image along the arc to each end; from pi times the
            radius on it is a full circle.
        ink: Width of the stroke, values of paper and ink.

    Raises:
        CircuitError: If a radius is not above 0, or above a million but not infinity.
    """
    x, y = pixels(size, angle_deg.device)
    curvature = 1 / per_image(radius_px, angle_deg)
    if not (curvature >= 0).all() or torch.isinf(curvature).any():
        raise CircuitError("radius_px must be above 0; infinity draws straight lines")
    if ((curvature > 0) & (curvature < 1 / MAX_PX)).any():
        raise CircuitError(f"radius_px must be at most {MAX_PX:g}, or infinity for straight lines")
    ux, uy = directions(180 - angle_deg)
    # With the curvature, not the radius, so that straight lines are no special case.
    gx, gy = curvature * x - ux, curvature * y - uy
    length = torch.hypot(gx, gy)
    deep, across = x * ux + y * uy, y * ux - x * uy
    distance = (curvature * (x.square() + y.square()) - 2 * deep) / (length + 1)
    nx, ny = gx / length, gy / length
    phase = torch.atan2(across * curvature, 1 - deep * curvature)
    along = torch.where(curvature > 0, phase / curvature.clamp(min=1e-12), across)
    covered = band(distance, nx, ny, width_px=ink.width_px)
    return ink.on_paper(covered * _before_end(along.abs(), half_length_px, ny, nx))


def circles(
    angle_deg: Float[Tensor, " n"],
    *,
    size: tuple[int, int],
    radius_px: Number,
    ink: Ink = DEFAULT_INK,
) -> Float[Tensor, "n 3 h w"]:
    """Draw full circles through the middle of the image, as the article's curve stimulus.

    Args:
        angle_deg: Orientation: 180 minus the direction of the centre.
        size: Height and width of the images, px.
        radius_px: Of the circle.
        ink: Width of the stroke, values of paper and ink; the article's is `ARTICLE_INK`.

    References:
        Cammarata et al. 2021, "Curve Circuits", Distill: 60 px, radius 29.9 px, steps of 18
        degrees.
    """
    return arcs(angle_deg, size=size, radius_px=radius_px, ink=ink)


def rings(
    radius_px: Float[Tensor, " n"],
    *,
    size: tuple[int, int],
    ink: Ink = DEFAULT_INK,
) -> Float[Tensor, "n 3 h w"]:
    """Draw circles around the middle of the image.

    Args:
        radius_px: One an image.
        size: Height and width of the images, px.
        ink: Width of the stroke, values of paper and ink.
    """
    x, y = pixels(size, radius_px.device)
    far = torch.hypot(x, y).clamp(min=1e-6)
    distance = far - radius_px.float()[:, None, None]
    nx, ny = (part.expand_as(distance) for part in (x / far, y / far))
    return ink.on_paper(band(distance, nx, ny, width_px=ink.width_px))


def angles(
    angle_deg: Float[Tensor, " n"],
    *,
    size: tuple[int, int],
    opening_deg: Number = 90.0,
    radius_px: Number = 0.0,
    half_length_px: float = math.inf,
    ink: Ink = DEFAULT_INK,
) -> Float[Tensor, "n 3 h w"]:
    """Draw angles whose tip lies in the middle of the image, sharp or round.

    Args:
        angle_deg: Orientation: 180 minus the direction in which the angle opens.
        size: Height and width of the images, px.
        opening_deg: Between the two legs, above 0 and at most 180.
        radius_px: Of the arc that joins the legs; 0 is a sharp tip.
        half_length_px: From the tip along each leg to its end.
        ink: Width of the stroke, values of paper and ink.

    Raises:
        CircuitError: If the opening is out of range, or a radius below 0.
    """
    distance, nx, ny, along = corner_field(
        angle_deg, size=size, opening_deg=opening_deg, radius_px=radius_px
    )
    covered = band(distance, nx, ny, width_px=ink.width_px)
    return ink.on_paper(covered * _before_end(along, half_length_px, ny, nx))


def corner_field(
    angle_deg: Float[Tensor, " n"],
    *,
    size: tuple[int, int],
    opening_deg: Number,
    radius_px: Number,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return where each pixel lies relative to an angle with its tip in the middle.

    Returns:
        Signed distance from the outline, negative inside; its gradient along x and y; distance
        from the tip along the outline. All [n h w], px.

    Raises:
        CircuitError: If the opening is out of range, or a radius below 0.
    """
    x, y = pixels(size, angle_deg.device)
    opening, radius = per_image(opening_deg, angle_deg), per_image(radius_px, angle_deg)
    if not ((opening > 0) & (opening <= 180)).all():
        raise CircuitError("opening_deg must be above 0 and at most 180")
    if not (radius >= 0).all() or torch.isinf(radius).any():
        raise CircuitError("radius_px of a tip must be 0 or more, and finite")
    half = torch.deg2rad(opening / 2)
    ux, uy = directions(180 - angle_deg)
    # Folded at the axis, so that one leg is enough: `deep` into the opening, `aside` from the axis.
    deep, side = x * ux + y * uy, y * ux - x * uy
    aside, sign = side.abs(), torch.where(side < 0, -1.0, 1.0)
    from_vertex = deep - radius + radius / half.sin()
    on_leg = from_vertex * half.cos() + aside * half.sin()
    straight_from = radius / half.tan()
    # With some room: where the legs are one line, the sign of a rounding error would decide.
    is_leg = on_leg >= straight_from - 1e-3
    rx, ry = deep - radius, aside
    far = torch.hypot(rx, ry)
    distance = torch.where(is_leg, aside * half.cos() - from_vertex * half.sin(), far - radius)
    ndeep = torch.where(is_leg, -half.sin(), rx / far.clamp(min=1e-6))
    nside = torch.where(is_leg, half.cos(), ry / far.clamp(min=1e-6)) * sign
    bend = math.pi / 2 - half
    round_part = radius * torch.atan2(ry, -rx)
    along = torch.where(is_leg, on_leg - straight_from + radius * bend, round_part)
    return distance, ndeep * ux - nside * uy, ndeep * uy + nside * ux, along


def _before_end(
    along: Float[Tensor, "n h w"],
    half_length_px: float,
    nx: Float[Tensor, "n h w"],
    ny: Float[Tensor, "n h w"],
) -> Float[Tensor, "n h w"] | float:
    """Return what share of each pixel lies before the end of a stroke, cut straight across."""
    if math.isinf(half_length_px):
        return 1.0
    return inside(along - half_length_px, nx, ny)
