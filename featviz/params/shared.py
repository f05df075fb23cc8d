"""Images of a group that share low-resolution parts, so that their shapes line up."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from featviz.errors import ConfigError
from featviz.params.base import (
    ImageParameters,
    Parameterisation,
    check_colors,
    color_matrix,
    logits_to_image,
    positive,
)
from featviz.params.fourier import FourierImages, frequency_scale
from featviz.params.pyramid import MAX_LEVELS, enlarge, level_sizes


class SharedImages(ImageParameters):
    """One spectrum an image, and pixel images that all of them share.

    Args:
        own: Spectra of the images, without colour matrix.
        shared: Pixels added to every image, of several resolutions.
        matrix: Colour matrix, or None.
    """

    def __init__(
        self,
        own: FourierImages,
        *,
        shared: Sequence[Float[Tensor, "1 c _h _w"]],
        matrix: Float[Tensor, "c c"] | None,
    ) -> None:
        super().__init__()
        self.own = own
        self.shared = nn.ParameterList(shared)
        self.matrix: Tensor | None
        self.register_buffer("matrix", matrix)

    def forward(self) -> Float[Tensor, "b c h w"]:
        """Return the images, 0..1."""
        common = torch.stack([enlarge(level, self.own.size) for level in self.shared]).sum(0)
        return logits_to_image(self.own.logits() + common, self.matrix)


@dataclass(frozen=True)
class Shared(Parameterisation):
    """Fourier images plus pixels that the images of a group share, at several resolutions.

    A shared value gets the gradients of all images, so that what they have in common comes to lie
    at the same place in each: for interpolations, and for one unit through several layers.

    Attributes:
        levels: Shared resolutions: 1, 1/2, 1/4, ... of the image; Lucid's strides 1, 2, 4, 8.
        sd: Standard deviation of all start values, before the sigmoid; Lucid's.
        decay_power: Exponent of the power law of the spectra, see Fourier.
        decorrelate: Whether RGB images are optimised in decorrelated colours.
        colors: File of `featviz spectrum` whose colour axes to take; empty: Lucid's, of ImageNet.

    References:
        Mordvintsev et al. 2018, "Differentiable Image Parameterizations", Distill, section
        "Aligned Feature Visualization Interpolation".
    """

    name: ClassVar[str] = "shared"
    joint: ClassVar[bool] = True
    levels: int = 4
    sd: float = 0.01
    decay_power: float = 1.0
    decorrelate: bool = True
    colors: str = ""

    def __post_init__(self) -> None:
        positive(self.name, "sd", self.sd)
        check_colors(self.name, self.colors, decorrelate=self.decorrelate)
        if not 1 <= self.levels <= MAX_LEVELS:
            raise ConfigError(f"shared: levels must be 1 to {MAX_LEVELS}, got {self.levels}")
        if not 0 <= self.decay_power <= 4:
            raise ConfigError(f"shared: decay_power must be 0 to 4, got {self.decay_power}")

    def start(
        self,
        *,
        channels: int,
        size: tuple[int, int],
        generators: Sequence[torch.Generator],
        device: torch.device,
    ) -> SharedImages:
        """Return spectra, one generator an image, and shared pixels drawn from all of them.

        Each generator draws as much whatever the group, so that what is drawn from it later does
        not depend on the group; the sum of n draws over sqrt(n) is distributed as one draw.
        """
        matrix = color_matrix(
            self.name, decorrelate=self.decorrelate, channels=channels, colors=self.colors
        )
        scale = frequency_scale(size, decay_power=self.decay_power)
        shapes = [(channels, *scale.shape, 2)]
        shapes += [(channels, *level) for level in level_sizes(size, self.levels)]
        drawn = [[torch.randn(shape, generator=g) for shape in shapes] for g in generators]
        spectrum, *pixels = (torch.stack(part) * self.sd for part in zip(*drawn, strict=True))
        shared = [p.sum(0, keepdim=True) / len(generators) ** 0.5 for p in pixels]
        own = FourierImages(spectrum, scale=scale, size=size, matrix=None)
        return SharedImages(own, shared=shared, matrix=matrix).to(device)
