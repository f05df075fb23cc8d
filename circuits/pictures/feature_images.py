"""Small feature images of units, to stand beside their weights."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from featviz.images import to_picture
from featviz.models import Model
from featviz.rendering import render


def feature_images(
    model: Model,
    site: str,
    channels: Sequence[int],
    *,
    size: int = 96,
    steps: int = 96,
    seed: int = 0,
    progress: bool = False,
) -> dict[int, Float[Tensor, "c h w"]]:
    """Return an image that excites each unit; units whose image failed are left out.

    Args:
        model: The model.
        site: Site of the units.
        channels: Its channels.
        size: Side of the images in px.
        steps: Steps of the optimiser; few, for a small picture.
        seed: Decides every random number.
        progress: Whether to show progress on stderr.
    """
    wanted = list(dict.fromkeys(channels))
    texts = [f"{site}:{channel}" for channel in wanted]
    result = render(model, texts, size=size, steps=steps, seed=seed, progress=progress)
    # An interrupt leaves images unfinished, and none out.
    return {
        channel: result.images[k]
        for k, channel in enumerate(wanted)
        if k < len(result.images) and not bool(result.failed[k])
    }


def own_stimuli(
    model: Model,
    site: str,
    channels: Sequence[int],
    *,
    size: tuple[int, int],
    steps: int = 96,
    progress: bool = False,
) -> dict[int, Float[Tensor, "n c h w"]]:
    """Return for each unit two images that excite it, as a stimulus where there is no photograph.

    Args:
        model: The model.
        site: Site of the units.
        channels: Its channels.
        size: Height and width in px.
        steps: Steps of the optimiser.
        progress: Whether to show progress on stderr.
    """
    found: dict[int, list[Tensor]] = {channel: [] for channel in channels}
    for seed in (0, 1):
        texts = [f"{site}:{channel}" for channel in found]
        result = render(model, texts, size=size, steps=steps, seed=seed, progress=progress)
        for k, channel in enumerate(found):
            if not bool(result.failed[k]):
                found[channel].append(result.images[k])
    return {channel: torch.stack(images) for channel, images in found.items() if images}


def to_pictures(images: dict[int, Float[Tensor, "c h w"]]) -> dict[int, Image.Image]:
    """Return the images as 8-bit pictures."""
    return {channel: to_picture(image) for channel, image in images.items()}
