"""Images as plain pixels before a sigmoid, optionally in decorrelated colours."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from featviz.params.base import (
    ImageParameters,
    Parameterisation,
    check_colors,
    color_matrix,
    image_to_logits,
    logits_to_image,
    positive,
)


class PixelImages(ImageParameters):
    """Pixels of a batch of images.

    Args:
        pixels: Start values before colour matrix and sigmoid.
        matrix: Colour matrix, or None.
    """

    def __init__(
        self, pixels: Float[Tensor, "b c h w"], *, matrix: Float[Tensor, "c c"] | None
    ) -> None:
        super().__init__()
        self.pixels = nn.Parameter(pixels)
        self.matrix: Tensor | None
        self.register_buffer("matrix", matrix)

    def forward(self) -> Float[Tensor, "b c h w"]:
        """Return the images, 0..1."""
        return logits_to_image(self.pixels, self.matrix)


@dataclass(frozen=True)
class Pixels(Parameterisation):
    """One value a pixel and channel, all frequencies alike: shows why Fourier is the default.

    Attributes:
        sd: Standard deviation of the start values, before the sigmoid.
        decorrelate: Whether RGB images are optimised in decorrelated colours.
        colors: File of `featviz spectrum` whose colour axes to take; empty: Lucid's, of ImageNet.
    """

    name: ClassVar[str] = "pixels"
    sd: float = 0.01
    decorrelate: bool = True
    colors: str = ""

    def __post_init__(self) -> None:
        positive(self.name, "sd", self.sd)
        check_colors(self.name, self.colors, decorrelate=self.decorrelate)

    def start(
        self,
        *,
        channels: int,
        size: tuple[int, int],
        generators: Sequence[torch.Generator],
        device: torch.device,
    ) -> PixelImages:
        """Return pixels drawn from N(0, sd), one generator an image."""
        matrix = self._matrix(channels)
        shape = (channels, *size)
        pixels = torch.stack([torch.randn(shape, generator=g) for g in generators]) * self.sd
        return PixelImages(pixels, matrix=matrix).to(device)

    def start_from(self, images: Float[Tensor, "b c h w"], *, device: torch.device) -> PixelImages:
        """Return the pixels of given images, clamped to 0.01..0.99."""
        matrix = self._matrix(images.shape[1])
        pixels = image_to_logits(self.name, images, matrix).float()
        return PixelImages(pixels, matrix=matrix).to(device)

    def _matrix(self, channels: int) -> Tensor | None:
        return color_matrix(
            self.name, decorrelate=self.decorrelate, channels=channels, colors=self.colors
        )
