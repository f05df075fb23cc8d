"""What objectives are given, and what they give back."""

from collections.abc import Callable, Mapping
from typing import TypeAlias

from jaxtyping import Float
from torch import Tensor

IMAGE = "image"
"""Stands for the image itself, before transforms, among the sites of an objective."""

Activations: TypeAlias = Mapping[str, Tensor]
"""Site name -> activation, [b c h w] or [b c]; objectives are given float32.

`image` holds the images themselves, 0..1, before transforms.
"""

Score: TypeAlias = Callable[[Activations], Float[Tensor, " b"]]
"""Float32 scores from activations in the precision of the network.

A score takes what it needs before it casts: a whole map cast is a map more to write and read.
"""


def positions(activation: Tensor) -> Float[Tensor, "b c n"]:
    """View an activation as vectors at n positions."""
    return activation.flatten(2) if activation.dim() > 2 else activation[..., None]


def gram_matrices(a: Float[Tensor, "b c n"]) -> Float[Tensor, "b c c"]:
    """Return the mean over positions of each pair of channels' product."""
    return a @ a.transpose(1, 2) / a.shape[-1]
