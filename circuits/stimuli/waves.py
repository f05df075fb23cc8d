"""Periodic surfaces: gratings, and high frequency beside low."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.stimuli.canvas import directions, inside, per_image, pixels
from circuits.stimuli.strokes import Number
from featviz.errors import CircuitError


def gratings(
    angle_deg: Float[Tensor, " n"],
    *,
    size: tuple[int, int],
    wavelength_px: Number,
    phase_deg: Number = 0.0,
    contrast: float = 1.0,
) -> Float[Tensor, "n 3 h w"]:
    """Draw cosine gratings around mid grey, averaged over each pixel.

    Args:
        angle_deg: Angle of the stripes, counter-clockwise from horizontal.
        size: Height and width of the images, px.
        wavelength_px: From stripe to stripe, at least 2.
        phase_deg: In the middle of the image; 0 is the middle of a bright stripe.
        contrast: 1 runs from black to white.

    Raises:
        CircuitError: If a wavelength is below 2 px, or the contrast out of 0..1.
    """
    grey = _wave(angle_deg, size, wavelength_px, phase_deg, contrast)
    return grey[:, None].expand(-1, 3, -1, -1).contiguous()


def high_low(
    angle_deg: Float[Tensor, " n"],
    *,
    size: tuple[int, int],
    high_px: Number,
    ratio: Number,
    stripes_deg: float = 0.0,
    contrast: float = 1.0,
) -> Float[Tensor, "n 3 h w"]:
    """Draw a grating of high frequency on one side of the middle, of low on the other.

    Args:
        angle_deg: Orientation: 180 minus the direction of the side of high frequency.
        size: Height and width of the images, px.
        high_px: Wavelength of the high frequency, at least 2.
        ratio: Of the low frequency's wavelength to it, at least 1.
        stripes_deg: Angle from the boundary to the stripes, counter-clockwise: 0 along it, 90
            across. What answers to both knows frequencies, not one line at the boundary.
        contrast: 1 runs from black to white.

    Raises:
        CircuitError: If a wavelength is below 2 px, a ratio below 1, or the contrast out of 0..1.

    References:
        Schubert et al. 2021, "High-Low Frequency Detectors", Distill.
    """
    long = per_image(high_px, angle_deg) * per_image(ratio, angle_deg)
    if not (per_image(ratio, angle_deg) >= 1).all():
        raise CircuitError("ratio must be 1 or more: the low frequency has the longer waves")
    along_deg = 90 - angle_deg + stripes_deg
    high = _wave(along_deg, size, high_px, 0.0, contrast)
    low = _wave(along_deg, size, long[:, 0, 0], 0.0, contrast)
    x, y = pixels(size, angle_deg.device)
    ux, uy = directions(180 - angle_deg)
    distance = -(x * ux + y * uy)
    share = inside(distance, -ux.expand_as(distance), -uy.expand_as(distance))
    grey = low + (high - low) * share
    return grey[:, None].expand(-1, 3, -1, -1).contiguous()


def _wave(
    angle_deg: Float[Tensor, " n"],
    size: tuple[int, int],
    wavelength_px: Number,
    phase_deg: Number,
    contrast: float,
) -> Float[Tensor, "n h w"]:
    """Return `(1 + contrast cos) / 2`, each pixel the exact mean over its square."""
    wavelength = per_image(wavelength_px, angle_deg)
    if not (wavelength >= 2).all():
        raise CircuitError("wavelength_px must be 2 or more: pixels cannot show shorter waves")
    if not 0 <= contrast <= 1:
        raise CircuitError(f"contrast must be from 0 to 1, got {contrast:g}")
    x, y = pixels(size, angle_deg.device)
    nx, ny = directions(angle_deg + 90)
    phase = torch.deg2rad(per_image(phase_deg, angle_deg))
    mean_over_pixel = torch.sinc(nx / wavelength) * torch.sinc(ny / wavelength)
    wave = torch.cos(2 * math.pi * (x * nx + y * ny) / wavelength + phase)
    return 0.5 + 0.5 * contrast * mean_over_pixel * wave
