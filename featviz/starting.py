"""From settings to the parameters of a batch of images: where the climb starts."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from featviz.config import RenderConfig
from featviz.params import ImageParameters, parse_parameterisation


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
) -> ImageParameters:
    """Return the parameters of one start image a generator.

    Args:
        config: The settings.
        channels: Channels of the images.
        size: Height and width in pixels.
        generators: CPU generators, one an image; the images of one objective are neighbours.
        device: Where the parameters live.
    """
    param = parse_parameterisation(config.param)
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
