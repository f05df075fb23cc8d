"""From settings to the parameters of a batch of images: where the climb starts."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from featviz.config import RenderConfig
from featviz.params import ImageParameters, Parameterisation, parse_parameterisation
from featviz.resampling import GREY


@dataclass(frozen=True)
class Origin:
    """What images start from, other than noise.

    Attributes:
        photo: Values 0..1; None: noise.
        mask: 1 where the image is optimised, 0 where it stays as the photograph is, or grey
            without one; None: 1 everywhere.
    """

    photo: Float[Tensor, "c h w"] | None = None
    mask: Float[Tensor, "1 h w"] | None = None


NOISE = Origin()


class Masked(ImageParameters):
    """Images of which only a region is optimised.

    Args:
        inner: The parameters.
        base: What shows where the mask is 0.
        mask: 1 where the image is optimised.
    """

    def __init__(
        self,
        inner: ImageParameters,
        base: Float[Tensor, "c h w"] | Float[Tensor, ""],
        mask: Float[Tensor, "1 h w"],
    ) -> None:
        super().__init__()
        self.inner = inner
        self.base: Tensor
        self.mask: Tensor
        self.register_buffer("base", base)
        self.register_buffer("mask", mask)

    def forward(self) -> Float[Tensor, "b c h w"]:
        """Return the images."""
        mixed: Tensor = torch.lerp(self.base, self.inner(), self.mask)
        return mixed


class Several(ImageParameters):
    """Images whose parameters were started group by group."""

    def __init__(self, groups: Sequence[ImageParameters]) -> None:
        super().__init__()
        self.groups = nn.ModuleList(groups)

    def forward(self) -> Float[Tensor, "b c h w"]:
        """Return the images of all groups."""
        return torch.cat([group() for group in self.groups])


def start(
    config: RenderConfig,
    *,
    channels: int,
    size: tuple[int, int],
    generators: Sequence[torch.Generator],
    device: torch.device,
    origin: Origin,
) -> ImageParameters:
    """Return the parameters of one start image a generator.

    Args:
        config: The settings.
        channels: Channels of the images.
        size: Height and width in pixels.
        generators: CPU generators, one an image; the images of one objective are neighbours.
        device: Where the parameters live.
        origin: What they start from.

    Raises:
        ConfigError: If this kind of image cannot start from a photograph.
    """
    param = parse_parameterisation(config.param)
    if origin.photo is None:
        started = _from_noise(config, param, channels, size, generators, device)
    else:
        photos = origin.photo.expand(len(generators), -1, -1, -1)
        started = param.start_from(photos, device=device)
    if origin.mask is None:
        return started
    base = torch.tensor(GREY) if origin.photo is None else origin.photo
    return Masked(started, base, origin.mask).to(device)


def _from_noise(
    config: RenderConfig,
    param: Parameterisation,
    channels: int,
    size: tuple[int, int],
    generators: Sequence[torch.Generator],
    device: torch.device,
) -> ImageParameters:
    together = config.images if param.joint else len(generators)
    groups = [
        param.start(
            channels=channels,
            size=size,
            generators=generators[first : first + together],
            device=device,
        )
        for first in range(0, len(generators), together)
    ]
    return groups[0] if len(groups) == 1 else Several(groups)
