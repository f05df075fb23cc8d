"""Additive noise."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from featviz.transforms.base import Drawn, Extent, Filter, check_range, number_to_text, uniform


@dataclass(frozen=True)
class Noise(Filter):
    """Add noise to each pixel and channel: normal, plus uniform within half its sd either way.

    Drawn before the first step, noise for every step would fill the memory. So each image has one
    plane of noise, twice as high and wide as the image, and each channel of each row reads it from
    its own place on and with its own sign. A pixel's noise has exactly the distribution given;
    only that of channels and rows that overlap there is not independent.

    Attributes:
        sd: Standard deviation of the normal part, in units of the image, which is 0..1; in all
            it is sd * sqrt(1 + 1/12).

    References:
        Fel et al. 2023 and Xplique 2.0.0: normal of sd 0.08 and uniform in -0.04..0.04. There the
        image is -1..1 by default, so that the same number is half as much.
    """

    name: ClassVar[str] = "noise"
    form: ClassVar[str] = "noise:SD"
    sd: float

    def __post_init__(self) -> None:
        check_range("the sd of noise", self.sd, 0, math.inf)

    def draw(self, extent: Extent, *, generator: torch.Generator) -> Drawn:
        """Return the plane, and for each row and channel a corner (y, x) in it and a sign."""
        height, width = extent.size
        plane = (2 * height, 2 * width)
        bank = torch.randn(plane, generator=generator)
        bank += torch.rand(plane, generator=generator) - 0.5
        numbers = uniform(extent.rows, 3 * extent.channels, generator).view(extent.rows, -1, 3)
        corners = (numbers * torch.tensor([height, width, 2])).long()
        corners[..., 2] = 2 * corners[..., 2] - 1
        return Drawn(corners, bank * self.sd)

    def apply(
        self,
        images: Float[Tensor, "n c h w"],
        numbers: Int[Tensor, "n c 3"],
        banks: Float[Tensor, "b h2 w2"],
    ) -> Float[Tensor, "n c h w"]:
        """Return images with noise; nothing is clipped."""
        n, _, h, w = images.shape
        device = images.device
        owner = torch.arange(n, device=device) // (n // len(banks))
        y = numbers[..., 0, None] + torch.arange(h, device=device)
        x = numbers[..., 1, None] + torch.arange(w, device=device)
        noise = banks[owner[:, None, None, None], y[..., None], x[..., None, :]]
        sign = numbers[..., 2, None, None].to(images.dtype)
        return torch.addcmul(images, sign, noise.to(images.dtype))

    @classmethod
    def from_text(cls, value: str) -> "Noise":
        """Read `0.08`."""
        return cls(float(value))

    def to_text(self) -> str:
        """Return `noise:0.08`."""
        return f"noise:{number_to_text(self.sd)}"
