"""What objectives are given, and what they give back."""

from collections.abc import Callable, Mapping
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from featviz.errors import ObjectiveError
from featviz.receptive_field import UNKNOWN
from featviz.sites import Site

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


def gram_matrices(a: Float[Tensor, "b c n"]) -> Float[Tensor, "b c c"]:
    """Return the mean over positions of each pair of channels' product."""
    return a @ a.transpose(1, 2) / a.shape[-1]


class Part(dict[str, Tensor]):
    """Activations of some rows of a batch, which know what they were cut out of.

    Args:
        found: Site name -> activation of these rows.
        whole: The activations of the batch.
        rows: Which rows of it these are.
    """

    def __init__(self, found: Mapping[str, Tensor], *, whole: Activations, rows: slice) -> None:
        super().__init__(found)
        self.whole = whole
        self.rows = rows


def gradient_at(
    scores: Float[Tensor, " b"], activations: Activations, site: str
) -> Float[Tensor, "b ..."]:
    """Return the gradient of scores with respect to an activation that they came from, held fixed.

    Args:
        scores: One a row of the activations.
        activations: What they were computed from, perhaps by way of the network.
        site: A site that lies before those that were read.

    Raises:
        ObjectiveError: If there are no gradients, or the scores do not depend on the site.
    """
    if not scores.requires_grad:
        raise ObjectiveError(
            f"there is no gradient at {site!r}: score images that require one, and outside of "
            "torch.no_grad()"
        )
    cuts, whole = [], activations
    while isinstance(whole, Part):
        cuts.append(whole.rows)
        whole = whole.whole
    # Blocked ReLUs are redirected by the sign of the gradient of a loss, see redirected_relu.py.
    (found,) = torch.autograd.grad(-scores.sum(), whole[site], retain_graph=True, allow_unused=True)
    if found is None:
        raise ObjectiveError(
            f"nothing leads from {site!r} as a whole to what is scored; choose an earlier site, "
            "neither a slice of channels nor a pre-activation"
        )
    for rows in reversed(cuts):
        found = found[rows]
    return -found


def image_site(channels: int, size: tuple[int, int], *, name: str = IMAGE) -> Site:
    """Return what objectives that read the image are checked against.

    Args:
        channels: Channels of the images.
        size: Their height and width in pixels.
        name: `image`, or `image.alpha`.
    """
    return Site(name, (), (0, channels), size, UNKNOWN, has_pre=False, order=-1)
