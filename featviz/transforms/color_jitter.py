"""Random changes of brightness, contrast, saturation and hue."""

import math
from dataclasses import astuple, dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from featviz.errors import ConfigError
from featviz.resampling import GREY
from featviz.transforms.base import Drawn, Extent, Filter, check_range, number_to_text, uniform

# Weights of R, G and B in brightness as seen, ITU-R BT.601.
_LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class ColorJitter(Filter):
    """Change colours by one affine map an image and step, in this order, everywhere the same.

    Nothing is clipped, because that kills gradients: values may leave 0..1.

    Attributes:
        brightness: Values are multiplied by 1 - brightness to 1 + brightness.
        contrast: Distances from grey likewise. torchvision takes the mean brightness of the image
            instead of grey, which would let pixels see each other.
        saturation: Distances from the pixel's own grey likewise, BT.601 weights, as torchvision.
        hue_deg: Colours turn by up to this angle either way, about the axis of greys. At 120
            degrees R turns into G as in torchvision, which goes round a hexagon instead.
    """

    name: ClassVar[str] = "color"
    form: ClassVar[str] = "color:BRIGHTNESS/CONTRAST/SATURATION/HUE_DEGREES"
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue_deg: float = 0.0

    def __post_init__(self) -> None:
        for key in ("brightness", "contrast", "saturation"):
            value = getattr(self, key)
            if not 0 <= value < 1:
                raise ConfigError(f"color: {key} must be 0 or more and below 1, got {value}")
        check_range("color: hue", self.hue_deg, 0, 180)

    def draw(self, extent: Extent, *, generator: torch.Generator) -> Drawn:
        """Return for each row the matrix and, as a fourth column, the offset."""
        if extent.channels != 3:
            raise ConfigError(
                f"color needs images with 3 channels, these have {extent.channels}; leave it out"
            )
        reach = torch.tensor(astuple(self), dtype=torch.float64)
        change = (2 * uniform(extent.rows, 4, generator) - 1) * reach
        brightness, contrast, saturation = (1 + change[:, :3]).T[:, :, None, None]
        eye = torch.eye(3, dtype=torch.float64)
        grey = torch.tensor(_LUMA, dtype=torch.float64).expand(3, 3)
        colors = saturation * eye + (1 - saturation) * grey
        turned = _turn(change[:, 3] * (math.pi / 180)) @ colors
        # All but the first step leave grey where it is, so that the contrast's offset survives.
        offset = (GREY * (1 - contrast)).expand(-1, 3, 1)
        return Drawn(torch.cat([brightness * contrast * turned, offset], dim=2).float())

    def apply(
        self, images: Float[Tensor, "n 3 h w"], numbers: Float[Tensor, "n 3 4"], banks: Tensor
    ) -> Float[Tensor, "n 3 h w"]:
        """Return images in other colours."""
        del banks
        maps = numbers.to(images.dtype)
        pixels = torch.baddbmm(maps[:, :, 3:], maps[:, :, :3], images.flatten(2))
        return pixels.view_as(images)

    @classmethod
    def from_text(cls, value: str) -> "ColorJitter":
        """Read `0.2/0.2/0.2/10`; what is left out at the end is 0."""
        numbers = [float(v) for v in value.split("/")]
        if len(numbers) > 4:
            raise ValueError(value)
        return cls(*numbers)

    def to_text(self) -> str:
        """Return `color:0.2/0.2/0.2/10`."""
        return "color:" + "/".join(map(number_to_text, astuple(self)))


def _turn(angle: Float[Tensor, " rows"]) -> Float[Tensor, "rows 3 3"]:
    """Return rotations of RGB about (1, 1, 1), from R towards G, by Rodrigues' formula."""
    axis = torch.full((3,), 1 / math.sqrt(3), dtype=torch.float64)
    a = axis[0]
    cross = a * torch.tensor([[0, -1, 1], [1, 0, -1], [-1, 1, 0]], dtype=torch.float64)
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    eye = torch.eye(3, dtype=torch.float64)
    return cos * eye + sin * cross + (1 - cos) * torch.outer(axis, axis)
