"""Symmetries of a family: what they do to a unit's angle, and what to a kernel.

Angles follow the convention of curves: a clockwise turn of the picture by 90 degrees adds 90. The
angle of a line shrinks by it, so give lines as minus their angle, with a period of 180.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from featviz.errors import CircuitError


@dataclass(frozen=True)
class Symmetry:
    """A change of the picture that turns one unit of a family into another.

    Attributes:
        name: For results.
        angle: Angles in degrees -> angles after it.
        kernel: Kernels -> kernels after it, the same size.
        wrong: The same change in the other direction for kernels alone, as a control; None if
            there is no other direction.
        disc: Whether only cells within the largest circle around the centre count: a turned
            square has no other cells in common with itself.
    """

    name: str
    angle: Callable[[Float[Tensor, " n"]], Float[Tensor, " n"]]
    kernel: Callable[[Float[Tensor, "o i kh kw"]], Float[Tensor, "o i kh kw"]]
    wrong: Callable[[Float[Tensor, "o i kh kw"]], Float[Tensor, "o i kh kw"]] | None = None
    disc: bool = False


def rotated(kernel: Float[Tensor, "*n kh kw"], angle_deg: float) -> Float[Tensor, "*n kh kw"]:
    """Return kernels turned clockwise about their centre.

    Exact for multiples of 90 degrees; by cubic interpolation otherwise, with zero outside.

    Args:
        kernel: Square, y downward.
        angle_deg: Clockwise.

    Raises:
        CircuitError: If the kernels are not square.
    """
    k = kernel.shape[-1]
    if kernel.shape[-2] != k:
        raise CircuitError(
            f"kernels of {kernel.shape[-2]}x{k} cannot be turned; give square ones, such as 3x3"
        )
    turns, rest = divmod(angle_deg, 90)
    if rest == 0:
        return torch.rot90(kernel, -int(turns) % 4, (-2, -1))
    cos, sin = math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))
    back = kernel.new_tensor([[cos, sin, 0], [-sin, cos, 0]])[None]
    flat = kernel.reshape(1, -1, k, k)
    grid = F.affine_grid(back, [1, flat.shape[1], k, k], align_corners=True)
    return F.grid_sample(flat, grid, mode="bicubic", align_corners=True).view_as(kernel)


def rotation(angle_deg: float) -> Symmetry:
    """Return a clockwise turn of the picture.

    Args:
        angle_deg: In degrees; kernels are interpolated unless it is a multiple of 90.
    """
    return Symmetry(
        f"rotation by {angle_deg:g}",
        lambda angles: angles + angle_deg,
        lambda kernel: rotated(kernel, angle_deg),
        # A half turn is its own opposite.
        wrong=None if angle_deg % 180 == 0 else lambda kernel: rotated(kernel, -angle_deg),
        disc=angle_deg % 90 != 0,
    )


def hue_rotation(hue_deg: float, *, angle_deg: float = 0.0) -> Symmetry:
    """Return a turn of the hue; angles of units are hues.

    Args:
        hue_deg: What it adds to hues.
        angle_deg: How far kernels turn with it, clockwise: 180 where a turn of the hue by 180
            equals half a turn of the picture, as for contrasts of two colours.
    """
    return Symmetry(
        f"hue by {hue_deg:g}",
        lambda angles: angles + hue_deg,
        lambda kernel: rotated(kernel, angle_deg),
        disc=angle_deg % 90 != 0,
    )


TOP_BOTTOM = Symmetry("top and bottom swapped", lambda a: -a, lambda kernel: kernel.flip(-2))
"""Reflection in a horizontal line."""

LEFT_RIGHT = Symmetry("left and right swapped", lambda a: 180 - a, lambda kernel: kernel.flip(-1))
"""Reflection in a vertical line."""

DIAGONAL = Symmetry("transposed", lambda a: 90 - a, lambda kernel: kernel.mT)
"""Reflection in the diagonal from the upper left."""
