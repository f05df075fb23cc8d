"""One number an image from the map of a unit: what attribution and edge scores explain."""

from typing import Literal, TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor

from featviz.errors import CircuitError, UnitError

Where: TypeAlias = Literal["peak", "center", "sum"] | tuple[int, int]
"""Of a map: its largest position on each image, the middle one, the sum, or one (y, x)."""


def read_unit(activation: Float[Tensor, "n c *map"], channel: int, where: Where) -> Tensor:
    """Return the value of a unit on each image, [n]; of a vector, the entry itself.

    Args:
        activation: [n c h w] or [n c].
        channel: Of the site.
        where: See `Where`.

    Raises:
        CircuitError: If the position is none.
        UnitError: If there is no such channel.
    """
    check_channel(activation, channel)
    flat = activation[:, channel].flatten(1)
    if where == "sum":
        return flat.sum(1)
    return flat.gather(1, places_of(activation, channel, where)[:, None])[:, 0]


def places_of(
    activation: Float[Tensor, "n c *map"], channel: int, where: Where
) -> Int[Tensor, " n"]:
    """Return which position of the flattened map is read on each image.

    Args:
        activation: [n c h w] or [n c].
        channel: Of the site.
        where: See `Where`, but not the sum.

    Raises:
        CircuitError: If the position is none.
    """
    shape = activation.shape[2:] or (1, 1)
    if where == "peak":
        return activation[:, channel].flatten(1).argmax(1)
    y, x = (shape[0] // 2, shape[1] // 2) if where == "center" else _position(where)
    if not (0 <= y < shape[0] and 0 <= x < shape[1]):
        raise CircuitError(f"position {y},{x} is outside of the map of {shape[0]}x{shape[1]}")
    return torch.full((len(activation),), y * shape[1] + x, device=activation.device)


def check_channel(activation: Tensor, channel: int) -> None:
    """Check that a site has a channel.

    Raises:
        UnitError: If not.
    """
    if not 0 <= channel < activation.shape[1]:
        raise UnitError(
            f"channel {channel} is out of range: there are {activation.shape[1]} channels, 0 to "
            f"{activation.shape[1] - 1}"
        )


def _position(where: object) -> tuple[int, int]:
    if not isinstance(where, tuple):
        raise CircuitError(f"cannot read {where!r}; give 'peak', 'center', 'sum' or a (y, x)")
    return where
