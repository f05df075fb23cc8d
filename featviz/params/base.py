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
from featviz.spectrum_files import read_spectrum

# A sigmoid reaches 0 and 1 nowhere, and has hardly a gradient near them.
DARKEST, BRIGHTEST = 0.01, 0.99
# Settings of any parameterisation that name a file of `featviz spectrum`.
FILE_SETTINGS = ("spectrum", "colors")


class ImageParameters(nn.Module, ABC):
    """The parameters of a batch of images."""

    @abstractmethod
    def forward(self) -> Float[Tensor, "b c h w"]:
        """Return the images, 0..1."""


@dataclasses.dataclass(frozen=True)
class Parameterisation(ABC):
    """Settings of one kind of image.

    Attributes:
        name: What it is called on the command line.
        learning_rate: Of Adam and NAdam, where the user names none.
        start_learning_rate: The same for images that start from given ones, where that keeps more
            of them; None: no other.
        optimiser: The optimiser, where the user names none.
        joint: Whether the images of one `start` share parameters, so that `start` must be called
            once for each group of images that belong together.
    """

    name: ClassVar[str]
    learning_rate: ClassVar[float] = 0.05
    start_learning_rate: ClassVar[float | None] = None
    optimiser: ClassVar[str] = "adam"
    joint: ClassVar[bool] = False

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

    def start_from(
        self, images: Float[Tensor, "b c h w"], *, device: torch.device
    ) -> ImageParameters:
        """Return the parameters of given images: `forward` gives them back.

        Values are clamped to 0.01..0.99 first.

        Args:
            images: Values 0..1.
            device: Where the parameters live.

        Raises:
            ConfigError: If values lie outside 0..1, or this kind of image cannot start from given
                ones.
        """
        del images, device  # what those that can do with them
        kinds = Parameterisation.__subclasses__()
        able = sorted(k.name for k in kinds if k.start_from is not Parameterisation.start_from)
        raise ConfigError(
            f"{self.name!r} cannot start from given images; choose one of {', '.join(able)}"
        )

    @property
    def files(self) -> tuple[str, ...]:
        """Files that the settings name, on which the images depend."""
        return tuple(filter(None, (getattr(self, name, "") for name in FILE_SETTINGS)))

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
                    f"it has {', '.join(fields) or 'none'}"
                )
            if key in values:
                raise ConfigError(f"{cls.name}: {key} is set twice in {options!r}; leave one out")
            values[key] = _read(cls.name, key, value, type(fields[key].default))
        return cls(**values)

    def to_text(self) -> str:
        """Return the text that `parse_parameterisation` reads back; defaults are left out."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        changed = [
            f"{field.name}={str(value).lower() if isinstance(value, bool) else value}"
            for field, value in zip(dataclasses.fields(self), values.values(), strict=True)
            if value != field.default
        ]
        return self.name + (":" + ",".join(changed) if changed else "")


def _read(name: str, key: str, value: str, kind: type) -> object:
    words = {"true": True, "false": False}
    kinds = {bool: "true or false", int: "a whole number", float: "a number"}
    try:
        return words[value.lower()] if kind is bool else kind(value)
    except (KeyError, ValueError):
        raise ConfigError(f"{name}: {key} must be {kinds[kind]}, got {value!r}") from None


def positive(name: str, key: str, value: float) -> None:
    """Raise ConfigError unless a setting is a finite number above 0."""
    if not 0 < value < float("inf"):
        raise ConfigError(f"{name}: {key} must be above 0, got {value}")


def check_file(name: str, key: str, path: str) -> None:
    """Raise ConfigError unless a setting is empty or names a file of `featviz spectrum`."""
    if "," in path:
        raise ConfigError(
            f"{name}: {key} may hold no comma, which separates options, got {path!r}; "
            "rename the file"
        )
    if path:
        read_spectrum(path)


def check_colors(name: str, colors: str, *, decorrelate: bool) -> None:
    """Raise ConfigError unless the settings of colour axes fit together.

    Args:
        name: Of the parameterisation, for messages.
        colors: File of `featviz spectrum`, or empty.
        decorrelate: Whether the settings ask for decorrelated colours at all.
    """
    if colors and not decorrelate:
        raise ConfigError(
            f"{name}: colors={colors} has no effect with decorrelate=false; leave one out"
        )
    check_file(name, "colors", colors)


def logits_to_image(
    x: Float[Tensor, "b c h w"], matrix: Float[Tensor, "c c"] | None
) -> Float[Tensor, "b c h w"]:
    """Mix colour channels by a matrix, if there is one, and squash to 0..1 with a sigmoid."""
    return torch.sigmoid(x if matrix is None else mix_channels(x, matrix))


def image_to_logits(
    name: str, images: Float[Tensor, "b c h w"], matrix: Float[Tensor, "c c"] | None
) -> Float[Tensor, "b c h w"]:
    """Return what `logits_to_image` makes these images of, in float64 on the CPU.

    Args:
        name: Of the parameterisation, for messages.
        images: Values 0..1; they are clamped to 0.01..0.99.
        matrix: Colour matrix, or None.

    Raises:
        ConfigError: If a value is outside 0..1 or no number.
    """
    values = images.detach().double().cpu()
    if not ((values >= 0) & (values <= 1)).all():
        low, high = values.min().item(), values.max().item()
        raise ConfigError(f"{name}: start images must lie in 0..1, got {low:.4g}..{high:.4g}")
    x = torch.logit(values.clamp(DARKEST, BRIGHTEST))
    return x if matrix is None else mix_channels(x, torch.linalg.inv(matrix.double().cpu()))


def color_matrix(name: str, *, decorrelate: bool, channels: int, colors: str = "") -> Tensor | None:
    """Return the colour matrix in float32, or None for images without RGB colours.

    Args:
        name: Of the parameterisation, for messages.
        decorrelate: Whether the settings ask for decorrelated colours; images with another
            number of channels than 3 have no colours to decorrelate.
        channels: Channels of the images.
        colors: File of `featviz spectrum` whose colour axes to take; empty: Lucid's.

    Raises:
        ConfigError: If there is less than one channel.
    """
    if channels < 1:
        raise ConfigError(f"{name}: images need at least 1 channel, got {channels}")
    if not decorrelate or channels != 3:
        return None
    matrix = read_spectrum(colors).colors if colors else decorrelated_to_rgb_matrix()
    return matrix.float()
