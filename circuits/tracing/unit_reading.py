"""One number an image from the map of a unit: what attribution and edge scores explain."""

import operator
from collections.abc import Iterable
from typing import Literal, TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor

from featviz.errors import CircuitError, UnitError
from featviz.models import Model
from featviz.sites import pre_activation_name

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
    return read_at(activation, channel, places_of(activation, channel, where))


def read_at(
    activation: Float[Tensor, "n c *map"], channel: int, places: Int[Tensor, " n"] | None
) -> Float[Tensor, " n"]:
    """Return what a unit gives at one position of each image.

    Args:
        activation: [n c h w] or [n c].
        channel: Of the site.
        places: Position of the flattened map on each image, see `places_of`; None: the sum.
    """
    flat = flat_unit(activation, channel)
    return flat.sum(1) if places is None else flat.gather(1, places[:, None])[:, 0]


def flat_unit(activation: Float[Tensor, "n c *map"], channel: int) -> Float[Tensor, "n p"]:
    """Return all positions of a unit; a vector has one."""
    return activation[:, channel].reshape(len(activation), -1)


def places_of(
    activation: Float[Tensor, "n c *map"], channel: int, where: Where
) -> Int[Tensor, " n"] | None:
    """Return which position of the flattened map is read on each image; None for the sum.

    Args:
        activation: [n c h w] or [n c].
        channel: Of the site.
        where: See `Where`.

    Raises:
        CircuitError: If the position is none.
    """
    if where == "sum":
        return None
    return one_place(activation, channel, where)


def one_place(
    activation: Float[Tensor, "n c *map"], channel: int, where: Where
) -> Int[Tensor, " n"]:
    """Return which position of the flattened map is read on each image, the sum left out.

    Args:
        activation: [n c h w] or [n c].
        channel: Of the site.
        where: See `Where`, but not the sum.

    Raises:
        CircuitError: If the position is none.
    """
    shape = activation.shape[2:] or (1, 1)
    if where == "peak":
        return flat_unit(activation, channel).argmax(1)
    y, x = (shape[0] // 2, shape[1] // 2) if where == "center" else _position(where)
    if not (0 <= y < shape[0] and 0 <= x < shape[1]):
        raise CircuitError(f"position {y},{x} is outside of the map of {shape[0]}x{shape[1]}")
    return torch.full((len(activation),), y * shape[1] + x, device=activation.device)


def check_channel(activation: Tensor, channel: int) -> None:
    """Check that a site has a channel, given its activation.

    Raises:
        CircuitError: If it is no whole number.
        UnitError: If there is none.
    """
    check_number(channel, activation.shape[1])


def check_number(channel: int, count: int) -> None:
    """Check that a channel is one of a site's.

    Raises:
        CircuitError: If it is no whole number.
        UnitError: If there is none.
    """
    if not 0 <= as_channel(channel) < count:
        raise UnitError(
            f"channel {channel} is out of range: there are {count} channels, 0 to {count - 1}"
        )


def as_channels(channels: object) -> tuple[int, ...]:
    """Return the numbers of channels, in the order given.

    Args:
        channels: Whole numbers, in any sequence: a list, a range, an array, a tensor.

    Raises:
        CircuitError: If something else is among them.
    """
    if isinstance(channels, str) or not isinstance(channels, Iterable):
        raise CircuitError(f"channels must be a sequence such as [0, 5], got {channels!r}")
    if isinstance(channels, Tensor) and channels.dim() != 1:
        raise CircuitError(
            f"channels must be a sequence such as [0, 5], got a tensor of shape "
            f"{tuple(channels.shape)}"
        )
    return tuple(as_channel(channel) for channel in channels)


def as_channel(channel: object) -> int:
    """Return the number of a channel, whatever kind of whole number it is.

    Raises:
        CircuitError: If it is none.
    """
    true_or_false = isinstance(channel, bool) or (
        isinstance(channel, Tensor) and channel.dtype == torch.bool
    )
    try:
        if not true_or_false:
            return operator.index(channel)  # type: ignore[arg-type]
    except TypeError:
        pass
    raise CircuitError(
        f"a channel must be a whole number, got {channel!r} ({type(channel).__name__}); give the "
        "numbers of units, of a mask those where it is true"
    )


def pre_site(model: Model, name: str, size: tuple[int, int] | None = None) -> str:
    """Return the pre-activation of a site if it has one, else the site itself.

    Args:
        model: The network.
        name: Of the site.
        size: Image size, height and width in px; None for the model's own.

    Raises:
        SiteError: If the site is unknown.
    """
    return pre_activation_name(name) if model.site_table(size).resolve(name).has_pre else name


def _position(where: object) -> tuple[int, int]:
    if not isinstance(where, tuple) or len(where) != 2:
        raise CircuitError(f"cannot read {where!r}; give 'peak', 'center', 'sum' or a (y, x)")
    return where
