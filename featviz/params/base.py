"""What every image parameterisation offers, and the registry that gives them names.

A parameterisation is a frozen dataclass of settings. Its `start` makes the parameters of a batch
of images, one random generator an image, so that an image does not depend on its neighbours.
A new one is one file and one line in params/__init__.py.
"""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from featviz.color import decorrelated_to_rgb_matrix, mix_channels
from featviz.errors import ConfigError, did_you_mean


class ImageParameters(nn.Module, ABC):
    """The parameters of a batch of images."""

    @abstractmethod
    def forward(self) -> Float[Tensor, "b c h w"]:
        """Return the images, 0..1."""


@dataclasses.dataclass(frozen=True)
class Parameterisation(ABC):
    """Settings of one kind of image."""

    name: ClassVar[str]

    @abstractmethod
    def start(
        self,
        *,
        channels: int,
        size: tuple[int, int],
        generators: Sequence[torch.Generator],
        device: torch.device,
    ) -> ImageParameters:
        """Return the parameters of one start image a generator.

        Args:
            channels: Channels of the images.
            size: Height and width in pixels; the images have exactly this size.
            generators: CPU generators, one an image, used for nothing but the start values.
            device: Where the parameters live.
        """

    @classmethod
    def from_text(cls, options: str) -> "Parameterisation":
        """Read `key=value,key=value`.

        Raises:
            ConfigError: If a key is unknown or a value has the wrong type.
        """
        fields = {field.name: field for field in dataclasses.fields(cls)}
        values: dict[str, object] = {}
        for item in filter(None, options.split(",")):
            key, _, value = item.partition("=")
            if key not in fields:
                raise ConfigError(
                    f"unknown option {key!r} of {cls.name!r}{did_you_mean(key, fields)} "
                    f"it has {', '.join(fields)}"
                )
            values[key] = _read(cls.name, key, value, type(fields[key].default))
        return cls(**values)

    def to_text(self) -> str:
        """Return the text that `parse_parameterisation` reads back; defaults are left out."""
        changed = [
            f"{field.name}={str(getattr(self, field.name)).lower()}"
            for field in dataclasses.fields(self)
            if getattr(self, field.name) != field.default
        ]
        return self.name + (":" + ",".join(changed) if changed else "")


def _read(name: str, key: str, value: str, kind: type) -> object:
    words = {"true": True, "false": False}
    try:
        return words[value.lower()] if kind is bool else kind(value)
    except (KeyError, ValueError):
        wanted = "true or false" if kind is bool else f"a {kind.__name__}"
        raise ConfigError(f"{name}: {key} must be {wanted}, got {value!r}") from None


def positive(name: str, key: str, value: float) -> None:
    """Raise ConfigError unless a setting is a finite number above 0."""
    if not 0 < value < float("inf"):
        raise ConfigError(f"{name}: {key} must be above 0, got {value}")


def logits_to_image(
    x: Float[Tensor, "b c h w"], matrix: Float[Tensor, "c c"] | None
) -> Float[Tensor, "b c h w"]:
    """Mix colour channels by a matrix, if there is one, and squash to 0..1 with a sigmoid."""
    return torch.sigmoid(x if matrix is None else mix_channels(x, matrix))


def color_matrix(name: str, *, decorrelate: bool, channels: int) -> Tensor | None:
    """Return the colour matrix in float32, or None for images without RGB colours.

    Args:
        name: Of the parameterisation, for messages.
        decorrelate: Whether the settings ask for decorrelated colours; images with another
            number of channels than 3 have no colours to decorrelate.
        channels: Channels of the images.

    Raises:
        ConfigError: If there is less than one channel.
    """
    if channels < 1:
        raise ConfigError(f"{name}: images need at least 1 channel, got {channels}")
    return decorrelated_to_rgb_matrix().float() if decorrelate and channels == 3 else None
