"""What objectives are given, and what they give back."""

from collections.abc import Callable, Mapping
from typing import TypeAlias

from jaxtyping import Float
from torch import Tensor

IMAGE = "image"
"""Stands for the image itself, before transforms, among the sites of an objective."""

ALPHA = "image.alpha"
"""Stands for the alpha channel of the image, [b 1 h w], before transforms."""

OUTSIDE = frozenset((IMAGE, ALPHA))
"""Sites of objectives that are no place in a network."""

Activations: TypeAlias = Mapping[str, Tensor]
"""Site name -> activation, [b c h w] or [b c]; objectives are given float32.

`image` holds the images themselves, 0..1, before transforms: transparent ones as they are seen
before their background. `image.alpha` says where they are opaque.
"""

Score: TypeAlias = Callable[[Activations], Float[Tensor, " b"]]
"""Float32 scores from activations in the precision of the network.

A score takes what it needs before it casts: a whole map cast is a map more to write and read.
"""


def outside(
    images: Float[Tensor, "b c h w"], alpha: Float[Tensor, "b 1 h w"] | None
) -> dict[str, Tensor]:
    """Return what an objective may read of images besides activations.

    Args:
        images: Values 0..1, as the network sees them.
        alpha: Of the same images; None: they are opaque.
    """
    if alpha is None:
        alpha = images.new_ones(()).expand(len(images), 1, *images.shape[2:])
    return {IMAGE: images, ALPHA: alpha}


def positions(activation: Tensor) -> Float[Tensor, "b c n"]:
    """View an activation as vectors at n positions."""
    return activation.flatten(2) if activation.dim() > 2 else activation[..., None]
