"""Generators, extents and images for the tests of transforms."""

import torch
from torch import Tensor

from featviz.transforms import Extent, Moves, Transforms, parse_transforms


def generator(seed: int = 0) -> torch.Generator:
    """A new generator."""
    return torch.Generator().manual_seed(seed)


def extent(
    steps: int, *, views: int = 1, channels: int = 3, size: tuple[int, int] = (16, 16)
) -> Extent:
    """What numbers are drawn for."""
    return Extent(steps, views, channels, size)


def image(h: int, w: int, *, channels: int = 1, seed: int = 3, batch: int = 1) -> Tensor:
    """Uniform noise."""
    return torch.rand(batch, channels, h, w, generator=generator(seed))


def drawn(
    what: str | Transforms, steps: int, images: Tensor, seed: int = 0
) -> tuple[Transforms, Moves]:
    """Transforms, and their moves for each of some images, seeds counting up."""
    transforms = parse_transforms(what)
    channels, h, w = images.shape[1:]
    generators = [generator(seed + k) for k in range(len(images))]
    moves = transforms.draw_batch(steps, channels=channels, size=(h, w), generators=generators)
    return transforms, moves


def ks_distance(values: Tensor, distribution: Tensor) -> float:
    """Kolmogorov-Smirnov distance in units of 1 / sqrt(n); above 1.95 once in a thousand times.

    Args:
        values: Drawn numbers.
        distribution: Of each of them the share of the distribution that lies below it.
    """
    share = distribution[values.argsort()].double()
    n = len(share)
    steps = torch.arange(n + 1, dtype=torch.float64) / n
    distance = torch.maximum((share - steps[:-1]).abs().max(), (share - steps[1:]).abs().max())
    return float(distance) * n**0.5
