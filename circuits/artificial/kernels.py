"""Kernels of the hand-built curve network, each from a closed formula.

First stage of the model `artificial_curves` (model.py): arrays in, arrays out, no torch.
Everything is computed in float64 and rounded to twelve decimals, so that the last bits of a
machine's sine do not show and the symmetries of the formulas hold exactly.

    gabors -> phases -> lines -> (max pool) -> early_curves, early_lines -> arcs

Orientations in degrees. A line's is the angle of the line, counter-clockwise from horizontal, and
repeats after 180. A curve's is 180 minus the direction of its centre of curvature: 0 looks like
`)`, 90 like a smile, and a turn of 90 degrees clockwise adds 90.

References:
    Cammarata et al. 2021, "Curve Circuits", Distill, section "An artificial artificial neural
    network". The article gives the layers, not all numbers; the formulas are a close approximation
    of the hand-written kernels. Left out: biases, and the lines of the fourth layer as inputs of
    the last one, which no known formula gives.
"""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float64]

LINE_DEG = tuple(float((90 - 10 * j) % 180) for j in range(18))
"""Orientation of the 18 lines, in channel order."""

CURVE_DEG = tuple(15.0 * u for u in range(24))
"""Orientation of the 24 curves, in channel order."""

PHASE_DEG = (0.0, 90.0, 180.0, 270.0)
"""Phases of the Gabors of one orientation, in channel order."""

# Gabors: those of a unit of InceptionV1's first layer, fitted with R^2 = .997.
_FREQUENCY = 0.286  # cycles a pixel
_SIGMA_PX = 2.4
_PHASE_REST = 0.5 / 18  # taken from every input, so that a grating of all orientations cancels

# Tiles along a line or a curve: how far beside it an input still helps, in cells.
_REACH = 1.2
_TILE_REST = 0.1
_ACROSS = 0.6  # inhibition by what runs across
_ACROSS_VARIANCE = 0.25
_SHARPNESS = 5  # power of the cosine of the angle between input and tangent

_EARLY_RADIUS = 3.0  # cells of the pooled map, 4 px each
_ARC_RADIUS = 7.0
_ARC_SIGMA = 0.65
_ARC_SHARPNESS = 6
_OPPOSED = 1.1  # inhibition by curves of the opposite orientation

_DECIMALS = 12


def gabors() -> Array:
    """Return the first layer, [72 1 7 7]: 18 orientations by four phases, phase fastest.

    A cosine across the line under a Gaussian, less its mean, over the sum of its magnitudes.
    """
    x, y = _cells(7)
    envelope = np.exp(-(x**2 + y**2) / (2 * _SIGMA_PX**2))
    kernels = []
    for line in LINE_DEG:
        across = _across(x, y, line)
        for phase in PHASE_DEG:
            kernel = np.cos(2 * np.pi * _FREQUENCY * across + np.deg2rad(phase)) * envelope
            kernel -= kernel.mean()
            kernels.append(kernel / np.abs(kernel).sum())
    return _rounded(np.stack(kernels)[:, None])


def phases() -> Array:
    """Return the second layer, [18 72 1 1]: each orientation's four phases, less a rest of all."""
    own = np.repeat(np.eye(len(LINE_DEG)), len(PHASE_DEG), axis=1)
    return _rounded((own - _PHASE_REST)[:, :, None, None])


def lines() -> Array:
    """Return the third layer, [18 18 3 3]: like lines end to end, less what runs across."""
    x, y = _cells(3)
    kernels = [_tiles(_across(x, y, line), np.full_like(x, line)) for line in LINE_DEG]
    return _rounded(np.stack(kernels))


def early_curves() -> Array:
    """Return the curves of the fourth layer, [24 18 3 3]: lines along an arc of three cells."""
    x, y = _cells(3)
    kernels = []
    for curve in CURVE_DEG:
        beside, centre_deg = _arc(x, y, curve, _EARLY_RADIUS)
        kernels.append(_tiles(beside, centre_deg - 90))
    return _rounded(np.stack(kernels))


def early_lines() -> Array:
    """Return the lines of the fourth layer, [18 18 3 3]: the third layer's formula again."""
    return lines()


def arcs() -> Array:
    """Return the last layer, [24 42 5 5]: 24 early curves, then 18 early lines.

    Curves along an arc of seven cells excite, those of the opposite orientation inhibit:
    `clip(g(s) [cos D]+^6 - 1.1 g+(s) [-cos D]+^6, -1, 1)`, where s is the distance from the arc,
    `g(s) = 1.1 exp(-s^2 / (2 * .65^2)) - .1`, and D the angle between the directions from the
    cell to the arc's centre and to the input's own. The lines' weights are zero.
    """
    x, y = _cells(5)
    kernels = []
    for target in CURVE_DEG:
        beside, centre_deg = _arc(x, y, target, _ARC_RADIUS)
        near = 1.1 * np.exp(-(beside**2) / (2 * _ARC_SIGMA**2)) - 0.1
        row = []
        for source in CURVE_DEG:
            agreement = _cos_deg(180 - source - centre_deg)
            excite = near * np.maximum(agreement, 0) ** _ARC_SHARPNESS
            inhibit = np.maximum(near, 0) * np.maximum(-agreement, 0) ** _ARC_SHARPNESS
            row.append(np.clip(excite - _OPPOSED * inhibit, -1, 1))
        kernels.append(np.stack(row))
    curves = np.stack(kernels)
    return _rounded(np.concatenate([curves, np.zeros((len(curves), len(LINE_DEG), 5, 5))], axis=1))


def _tiles(beside: Array, tangent_deg: Array) -> Array:
    """Return weights [18 kh kw] of lines that follow a path.

    `h(s) |cos d|^5 - .6 |sin d|^5 exp(-s^2 / .5)`, where s is the distance from the path, d the
    angle between line and tangent, and h a raised cosine of reach 1.2 less .1.

    Args:
        beside: Signed distance of each cell from the path, cells.
        tangent_deg: Direction of the path there.
    """
    along = np.where(np.abs(beside) < _REACH, 1.1 * np.cos(np.pi * beside / (2 * _REACH)) ** 2, 0.0)
    across = np.exp(-(beside**2) / (2 * _ACROSS_VARIANCE))
    return np.stack(
        [
            (along - _TILE_REST) * np.abs(_cos_deg(line - tangent_deg)) ** _SHARPNESS
            - _ACROSS * np.abs(_cos_deg(line - tangent_deg - 90)) ** _SHARPNESS * across
            for line in LINE_DEG
        ]
    )


def _arc(x: Array, y: Array, curve_deg: float, radius: float) -> tuple[Array, Array]:
    """Return the distance of each cell from an arc through the middle, and where its centre lies.

    Returns:
        Signed distance, negative inside, in cells; direction from the cell to the arc's centre,
        degrees counter-clockwise from right.
    """
    towards = np.deg2rad(180 - curve_deg)
    dx, dy = radius * np.cos(towards) - x, radius * np.sin(towards) - y
    return np.hypot(dx, dy) - radius, np.rad2deg(np.arctan2(dy, dx))


def _across(x: Array, y: Array, line_deg: float) -> Array:
    """Return the signed distance of each cell from a line through the middle, in cells."""
    normal = np.deg2rad(line_deg + 90)
    across: Array = x * np.cos(normal) + y * np.sin(normal)
    return across


def _cells(side: int) -> tuple[Array, Array]:
    """Return the place of each cell of a kernel: x to the right, y upwards, 0 in the middle."""
    reach = np.arange(side, dtype=np.float64) - (side - 1) / 2
    x, y = np.meshgrid(reach, -reach)
    return x, y


def _cos_deg(angle_deg: Array) -> Array:
    cosine: Array = np.cos(np.deg2rad(angle_deg))
    return cosine


def _rounded(kernels: Array) -> Array:
    # Adding 0 turns -0 into 0: equal kernels must have equal bytes.
    return np.round(kernels, _DECIMALS) + 0.0
