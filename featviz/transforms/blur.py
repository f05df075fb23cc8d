"""Gaussian blur."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from featviz.errors import ConfigError
from featviz.resampling import GREY
from featviz.transforms.base import (
    Drawn,
    Extent,
    Filter,
    choices_to_text,
    choose,
    read_choices,
)

# Taps reach so many standard deviations of the widest blur: outside lies 0.3 % of a Gaussian.
_REACH_SD = 3


@dataclass(frozen=True)
class Blur(Filter):
    """Blur with a Gaussian, along one axis after the other, grey outside.

    The taps are samples of the Gaussian that add up to 1, for each image by itself.

    Attributes:
        choices_px: Standard deviations in pixels of what the network sees, each as likely as it is
            often; or the two ends.
        uniform: Whether the standard deviation is drawn between the ends.
    """

    name: ClassVar[str] = "blur"
    form: ClassVar[str] = "blur:LOW..HIGH or blur:A/B/C"
    choices_px: tuple[float, ...]
    uniform: bool = False

    def __post_init__(self) -> None:
        if not self.choices_px or not all(0 < sd < math.inf for sd in self.choices_px):
            raise ConfigError(f"blur must be above 0 px, got {self.choices_px}")

    @property
    def reach_px(self) -> int:
        """Taps on each side of the middle one."""
        return math.ceil(_REACH_SD * max(self.choices_px))

    def draw(self, extent: Extent, *, generator: torch.Generator) -> Drawn:
        """Return standard deviations."""
        if self.reach_px >= min(extent.size):
            raise ConfigError(
                f"blur of {max(self.choices_px):g} px reaches {self.reach_px} px each way, over "
                f"the whole of images of {extent.size[0]}x{extent.size[1]} px; choose less"
            )
        sd_px = choose(self.choices_px, extent.rows, between=self.uniform, generator=generator)
        return Drawn(sd_px.float())

    def apply(
        self, images: Float[Tensor, "n c h w"], numbers: Float[Tensor, " n"], banks: Tensor
    ) -> Float[Tensor, "n c h w"]:
        """Return blurred images."""
        del banks
        n, c, h, w = images.shape
        reach = self.reach_px
        offset_px = torch.arange(-reach, reach + 1, device=images.device, dtype=images.dtype)
        taps = (offset_px / numbers.to(images.dtype)[:, None]).square().mul(-0.5).softmax(dim=1)
        # One channel of the convolution is one channel of one image.
        taps = taps.repeat_interleave(c, dim=0)[:, None, None]
        x = (images - GREY).view(1, n * c, h, w)
        x = F.conv2d(x, taps, padding=(0, reach), groups=n * c)
        x = F.conv2d(x, taps.mT, padding=(reach, 0), groups=n * c)
        return x.view(n, c, h, w) + GREY

    @classmethod
    def from_text(cls, value: str) -> "Blur":
        """Read `1..1.1` or `0.5/1/2`."""
        return cls(*read_choices(value))

    def to_text(self) -> str:
        """Return `blur:1..1.1` or `blur:0.5/1/2`."""
        return f"blur:{choices_to_text(self.choices_px, between=self.uniform)}"
