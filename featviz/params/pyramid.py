"""Images as the sum of pixel images of several resolutions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from featviz.errors import ConfigError
from featviz.params.base import (
    ImageParameters,
    Parameterisation,
    check_colors,
    color_matrix,
    image_to_logits,
    logits_to_image,
    positive,
)

# At level 16 a pixel of the coarsest level covers 65536 px of the image.
MAX_LEVELS = 16


def level_sizes(size: tuple[int, int], levels: int) -> list[tuple[int, int]]:
    """Return height and width of each level, finest first: sides over 1, 2, 4, ..., rounded down.

    Args:
        size: Height and width of the image in pixels.
        levels: How many.
    """
    h, w = size
    return [(max(1, h >> k), max(1, w >> k)) for k in range(levels)]


def enlarge(x: Float[Tensor, "b c _h _w"], size: tuple[int, int]) -> Float[Tensor, "b c h w"]:
    """Resize bilinearly to exactly a size, pixels being areas and not points; edges repeat."""
    if tuple(x.shape[2:]) == size:
        return x
    return F.interpolate(x, size, mode="bilinear", align_corners=False)


class PyramidImages(ImageParameters):
    """Levels of a batch of images.

    Args:
        levels: Start values, the finest level first: it has the size of the images.
        matrix: Colour matrix, or None.
    """

    def __init__(
        self, levels: Sequence[Float[Tensor, "b c _h _w"]], *, matrix: Float[Tensor, "c c"] | None
    ) -> None:
        super().__init__()
        self.levels = nn.ParameterList(levels)
        self.size = (levels[0].shape[2], levels[0].shape[3])
        self.matrix: Tensor | None
        self.register_buffer("matrix", matrix)

    def forward(self) -> Float[Tensor, "b c h w"]:
        """Return the images, 0..1."""
        finest, *coarser = self.levels
        x = torch.stack([finest, *(enlarge(level, self.size) for level in coarser)]).sum(0)
        return logits_to_image(x, self.matrix)


@dataclass(frozen=True)
class Pyramid(Parameterisation):
    """Laplacian pyramid: pixels at full size, half, a quarter, and so on, added up.

    Under Adam a coarse value moves many pixels by the step by which a fine one moves a single
    pixel, which favours coarse structure much as the power law of Fourier does, but locally.

    Attributes:
        levels: Resolutions, each half of the one before; 4 is Lucid's, Captum has 6.
        sd: Standard deviation of the start values of each level, before the sigmoid; Lucid's.
        decorrelate: Whether RGB images are optimised in decorrelated colours.
        colors: File of `featviz spectrum` whose colour axes to take; empty: Lucid's, of ImageNet.
    """

    name: ClassVar[str] = "pyramid"
    levels: int = 4
    sd: float = 0.01
    decorrelate: bool = True
    colors: str = ""

    def __post_init__(self) -> None:
        positive(self.name, "sd", self.sd)
        check_colors(self.name, self.colors, decorrelate=self.decorrelate)
        if not 1 <= self.levels <= MAX_LEVELS:
            raise ConfigError(f"pyramid: levels must be 1 to {MAX_LEVELS}, got {self.levels}")

    def start(
        self,
        *,
        channels: int,
        size: tuple[int, int],
        generators: Sequence[torch.Generator],
        device: torch.device,
    ) -> PyramidImages:
        """Return levels drawn from N(0, sd), the finest first, one generator an image."""
        matrix = self._matrix(channels)
        shapes = [(channels, *level) for level in level_sizes(size, self.levels)]
        drawn = [[torch.randn(shape, generator=g) for shape in shapes] for g in generators]
        levels = [torch.stack(level) * self.sd for level in zip(*drawn, strict=True)]
        return PyramidImages(levels, matrix=matrix).to(device)

    def start_from(
        self, images: Float[Tensor, "b c h w"], *, device: torch.device
    ) -> PyramidImages:
        """Return the pyramids of given images, clamped to 0.01..0.99.

        From the coarsest level on, each one holds the means of what is still missing over its
        pixels, and the finest level the rest.
        """
        matrix = self._matrix(images.shape[1])
        rest = image_to_logits(self.name, images, matrix)
        size = (images.shape[2], images.shape[3])
        levels = []
        for level in reversed(level_sizes(size, self.levels)[1:]):
            means = F.adaptive_avg_pool2d(rest, level)
            rest = rest - enlarge(means, size)
            levels.append(means.float())
        return PyramidImages([rest.float(), *reversed(levels)], matrix=matrix).to(device)

    def _matrix(self, channels: int) -> Tensor | None:
        return color_matrix(
            self.name, decorrelate=self.decorrelate, channels=channels, colors=self.colors
        )
