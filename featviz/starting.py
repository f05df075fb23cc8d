"""From settings to the parameters of a batch of images: where the climb starts."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from featviz.config import RenderConfig
from featviz.params import ImageParameters, Parameterisation, parse_parameterisation
from featviz.params.alpha import AlphaImages, start_alpha
from featviz.resampling import GREY


@dataclass(frozen=True)
class Origin:
    """What images start from, other than noise.

    Attributes:
        photo: Values 0..1, of transparent images alpha last; None: noise, half transparent.
        mask: 1 where the image is optimised, 0 where it stays as the photograph is, or without one
            grey, and transparent if it can be; None: 1 everywhere.
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
        base: Float[Tensor, "#c #h #w"],
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
        config: The settings; with `alpha`, the images have one channel more.
        channels: Channels that the network takes.
        size: Height and width in pixels.
        generators: CPU generators, one an image; the images of one objective are neighbours.
        device: Where the parameters live.
        origin: What they start from.

    Raises:
        ConfigError: If this kind of image cannot start from a photograph.
    """
    param = parse_parameterisation(config.param)
    count = len(generators)
    if origin.photo is None:
        started = _from_noise(config, param, channels, size, generators, device)
    else:
        photos = origin.photo[:channels].expand(count, -1, -1, -1)
        started = param.start_from(photos, device=device)
    if config.alpha is not None:
        # Even, so that colours and moves are drawn as for opaque images.
        alpha = torch.full((1, *size), GREY) if origin.photo is None else origin.photo[channels:]
        alphas = start_alpha(alpha.expand(count, -1, -1, -1), param, device=device)
        started = AlphaImages(started, alphas)
    if origin.mask is None:
        return started
    base = _nothing(channels, config) if origin.photo is None else origin.photo
    return Masked(started, base, origin.mask).to(device)


def _nothing(channels: int, config: RenderConfig) -> Float[Tensor, "c 1 1"]:
    """Return grey, or grey that is transparent."""
    alpha = [] if config.alpha is None else [0.0]
    return torch.tensor([GREY] * channels + alpha).view(-1, 1, 1)


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
