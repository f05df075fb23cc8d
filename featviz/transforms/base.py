"""What every transform offers: its numbers are drawn apart from where they are used.

`draw` makes the numbers of all steps before the loop, on the CPU; what is done with them inside the
loop only computes. There are two kinds. An `Affine` moves the image, and all of these together cost
one resampling. A `Filter` does anything else, after that. A new transform of either kind is one
file and one line in transforms/__init__.py.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from featviz.errors import ConfigError


@dataclass(frozen=True)
class Extent:
    """What the numbers of one image are drawn for.

    A row is one view at one step; the views of a step follow each other. A transform draws all of
    its numbers at once, rows first, so that the first rows are the same however many follow.

    Attributes:
        steps: Number of steps.
        views: Views of the image at each step.
        channels: Channels of the image.
        size: Height and width in pixels: of the image for an `Affine`, of what the network sees
            for a `Filter`.
    """

    steps: int
    views: int
    channels: int
    size: tuple[int, int]

    @property
    def rows(self) -> int:
        """Steps times views."""
        return self.steps * self.views


@dataclass(frozen=True)
class Transform(ABC):
    """Settings of one kind of random change of the image.

    Attributes:
        form: How it is written, for messages.
    """

    name: ClassVar[str]
    form: ClassVar[str]

    @property
    def views(self) -> int:
        """Number of views that it makes of an image."""
        return 1

    @property
    def paced(self) -> bool:
        """Whether what it does at a step depends on how many steps there are."""
        return False

    @property
    def frame_px(self) -> int:
        """Pixels that it adds on each side."""
        return 0

    @classmethod
    @abstractmethod
    def from_text(cls, value: str) -> "Transform":
        """Return the transform of `name:value`.

        Raises:
            ValueError: If the value is malformed.
            ConfigError: If a number is out of range.
        """

    @abstractmethod
    def to_text(self) -> str:
        """Return the text that `parse_transforms` reads back."""


@dataclass(frozen=True)
class Affine(Transform):
    """A random affine move of the image about its centre."""

    @abstractmethod
    def draw(self, extent: Extent, *, generator: torch.Generator) -> Float[Tensor, "rows 3 3"]:
        """Return one map a row, float64, acting on (x, y, 1) in pixels from the centre."""


class Drawn(NamedTuple):
    """The random numbers of a filter for one image.

    Attributes:
        numbers: What differs between the rows, one entry each.
        bank: What all rows share, made once; empty if there is nothing.
    """

    numbers: Tensor
    bank: Tensor = torch.empty(0)


@dataclass(frozen=True)
class Filter(Transform):
    """A random change of the image that is not a move."""

    @abstractmethod
    def draw(self, extent: Extent, *, generator: torch.Generator) -> Drawn:
        """Return the random numbers of one image."""

    @abstractmethod
    def apply(
        self, images: Float[Tensor, "n c h w"], numbers: Tensor, banks: Tensor
    ) -> Float[Tensor, "n c h w"]:
        """Return the changed images.

        Args:
            images: One a row of one step.
            numbers: One entry a row.
            banks: The bank of each image; an image has n // len(banks) rows.
        """


def unmoved(rows: int) -> Float[Tensor, "rows 3 3"]:
    """Return maps that leave everything where it is."""
    return torch.eye(3, dtype=torch.float64).repeat(rows, 1, 1)


def uniform(rows: int, count: int, generator: torch.Generator) -> Float[Tensor, "rows count"]:
    """Return float64 numbers in 0..1."""
    return torch.rand(rows, count, generator=generator, dtype=torch.float64)


def normal(rows: int, count: int, generator: torch.Generator) -> Float[Tensor, "rows count"]:
    """Return float64 numbers of mean 0 and sd 1.

    By the inverse of the distribution, because torch.randn gives other first numbers when more of
    them follow.
    """
    numbers: Tensor = torch.special.ndtri(uniform(rows, count, generator))
    return numbers


def choose(
    choices: tuple[float, ...], rows: int, *, between: bool, generator: torch.Generator
) -> Float[Tensor, " rows"]:
    """Return one of the choices for each row, or a number between the first and the last."""
    values = torch.tensor(choices, dtype=torch.float64)
    if between:
        return values[0] + (values[-1] - values[0]) * uniform(rows, 1, generator)[:, 0]
    return values[torch.randint(0, len(choices), (rows,), generator=generator)]


def read_choices(value: str) -> tuple[tuple[float, ...], bool]:
    """Read `LOW..HIGH` or `A/B/C`: the numbers, and whether to draw between them.

    Raises:
        ValueError: If it is neither.
    """
    between = ".." in value
    numbers = tuple(float(v) for v in value.split(".." if between else "/"))
    if between and not (len(numbers) == 2 and numbers[0] <= numbers[1]):
        raise ValueError(value)
    return numbers, between


def choices_to_text(values: tuple[float, ...], *, between: bool) -> str:
    """Return what `read_choices` reads back."""
    return (".." if between else "/").join(map(number_to_text, values))


def number_to_text(value: float) -> str:
    """Return a number without a needless `.0`."""
    return repr(value).removesuffix(".0")


def check_range(what: str, value: float, low: float, high: float) -> None:
    """Raise ConfigError unless a number lies in low..high, ends included, and is finite."""
    if not (low <= value <= high and math.isfinite(value)):
        wanted = f"{low:g} or more" if high == math.inf else f"{low:g} to {high:g}"
        raise ConfigError(f"{what} must be {wanted}, got {value}")
