"""What all stimuli are drawn with: places of pixels, covered shares of pixels, ink on paper."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from featviz.errors import CircuitError

MAX_PX = 1e6
"""Lengths beyond this are taken for slips; float32 places a stroke less exactly than a pixel."""

# Below this the ramp of an edge along an axis is as sharp as float32 lets us tell.
_SMALLEST_RAMP = 0.004


@dataclass(frozen=True)
class Ink:
    """How strokes and surfaces look.

    Attributes:
        paper: Value of the background, 0..1.
        value: Value of the ink, 0..1.
        width_px: Width of strokes.
    """

    paper: float = 1.0
    value: float = 0.24
    width_px: float = 1.5

    def __post_init__(self) -> None:
        if not (0 <= self.paper <= 1 and 0 <= self.value <= 1):
            raise CircuitError(
                f"paper and ink are values from 0 to 1, got {self.paper:g} and {self.value:g}"
            )
        if not 0 < self.width_px <= MAX_PX:
            raise CircuitError(
                f"width_px must be above 0, at most {MAX_PX:g}, got {self.width_px:g}"
            )

    def on_paper(self, covered: Float[Tensor, "n h w"]) -> Float[Tensor, "n 3 h w"]:
        """Return grey images of what share of each pixel is covered with ink."""
        grey = self.paper + (self.value - self.paper) * covered
        return grey[:, None].expand(-1, 3, -1, -1).contiguous()


ARTICLE_INK = Ink(paper=1.0, value=0.0, width_px=1.4)
"""Black outlines on white, as in Cammarata et al. 2021, "Curve Circuits"."""


def pixels(
    size: tuple[int, int], device: torch.device
) -> tuple[Float[Tensor, "1 w"], Float[Tensor, "h 1"]]:
    """Return x and y of the middle of each pixel; the origin is the middle of the image.

    Raises:
        CircuitError: If the size is not positive.
    """
    h, w = size
    if h < 1 or w < 1:
        raise CircuitError(f"a stimulus needs at least one pixel, got {h}x{w}")
    x = torch.arange(w, device=device) + (0.5 - w / 2)
    y = torch.arange(h, device=device) + (0.5 - h / 2)
    return x[None, :], -y[:, None]


def directions(angle_deg: Float[Tensor, " n"]) -> tuple[Tensor, Tensor]:
    """Return cosine and sine, [n 1 1], of directions counter-clockwise from right."""
    angle = torch.deg2rad(angle_deg.double())
    return angle.cos().float()[:, None, None], angle.sin().float()[:, None, None]


def per_image(
    value: float | Float[Tensor, " n"], like: Float[Tensor, " n"]
) -> Float[Tensor, "n 1 1"]:
    """Return one number an image, whether one or many were given."""
    rows = torch.as_tensor(value, dtype=torch.float32, device=like.device).expand(len(like))
    return rows[:, None, None]


def inside(
    distance: Float[Tensor, "n h w"], nx: Float[Tensor, "n h w"], ny: Float[Tensor, "n h w"]
) -> Float[Tensor, "n h w"]:
    """Return what share of each pixel lies where a signed distance is below 0.

    Exact for straight edges: the area of a unit square beyond a line, which is a box of the width
    |nx| smoothed by one of the width |ny|. For curved edges the error falls with the radius.

    Args:
        distance: At the middle of each pixel, px.
        nx: Gradient of the distance along x, of unit length together with `ny`.
        ny: Gradient along y.
    """
    a = nx.abs().clamp(min=_SMALLEST_RAMP)
    b = ny.abs().clamp(min=_SMALLEST_RAMP)
    t = (-distance).clamp(-1, 1)
    half_sum, half_gap = (a + b) / 2, (a - b) / 2

    def squared_ramp(x: Tensor) -> Tensor:
        return x.clamp(min=0).square()

    area = (
        squared_ramp(t + half_sum)
        - squared_ramp(t + half_gap)
        - squared_ramp(t - half_gap)
        + squared_ramp(t - half_sum)
    ) / (2 * a * b)
    return area.clamp(0, 1)


def band(
    distance: Float[Tensor, "n h w"],
    nx: Float[Tensor, "n h w"],
    ny: Float[Tensor, "n h w"],
    *,
    width_px: float | Float[Tensor, "n 1 1"],
) -> Float[Tensor, "n h w"]:
    """Return what share of each pixel a stroke covers whose middle is where the distance is 0.

    Args:
        distance: Signed, at the middle of each pixel, px.
        nx: Gradient of the distance along x.
        ny: Gradient along y.
        width_px: Of the stroke.
    """
    outer = inside(distance - width_px / 2, nx, ny)
    return (outer - inside(distance + width_px / 2, nx, ny)).clamp(min=0)
