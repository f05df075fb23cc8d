"""Moves of the image: pad, jitter, scale, rotate, flip."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from featviz.errors import ConfigError
from featviz.transforms.base import (
    Affine,
    Extent,
    choices_to_text,
    choose,
    number_to_text,
    read_choices,
    unmoved,
)


@dataclass(frozen=True)
class Pad(Affine):
    """Add a grey margin, so that the network sees a larger image.

    Attributes:
        margin_px: Width of the margin on each side.
    """

    name: ClassVar[str] = "pad"
    form: ClassVar[str] = "pad:PIXELS"
    margin_px: int

    def __post_init__(self) -> None:
        if self.margin_px < 0:
            raise ConfigError(f"pad must be 0 px or more, got {self.margin_px}")

    @property
    def frame_px(self) -> int:
        """The margin."""
        return self.margin_px

    def draw(self, extent: Extent, *, generator: torch.Generator) -> Float[Tensor, "rows 3 3"]:  # noqa: ARG002 - nothing is random here
        """Return identities: a margin moves nothing."""
        return unmoved(extent.rows)

    @classmethod
    def from_text(cls, value: str) -> "Pad":
        """Read `12`."""
        return cls(int(value))

    def to_text(self) -> str:
        """Return `pad:12`."""
        return f"pad:{self.margin_px}"


@dataclass(frozen=True)
class Jitter(Affine):
    """Shift by a whole number of pixels on each axis, all within a reach equally likely.

    From -reach // 2 on, so that an odd reach goes one pixel further to the right and down.

    Attributes:
        reach: Difference between the largest and the smallest shift; the `d` of Lucid's crop. In
            pixels, a whole number.
        percent: Whether the reach is in percent of the shorter side instead.
    """

    name: ClassVar[str] = "jitter"
    form: ClassVar[str] = "jitter:PIXELS or jitter:PERCENT%"
    reach: float
    percent: bool = False

    def __post_init__(self) -> None:
        unit = "%" if self.percent else "px"
        if not 0 <= self.reach < math.inf:
            raise ConfigError(f"jitter must reach 0 {unit} or more, got {self.reach}")
        if not self.percent and self.reach != int(self.reach):
            raise ConfigError(f"jitter must reach whole pixels, got {self.reach}")

    def reach_px(self, size: tuple[int, int]) -> int:
        """Return the reach for images of a height and width, rounded to whole pixels."""
        return round(min(size) * self.reach / 100) if self.percent else int(self.reach)

    def draw(self, extent: Extent, *, generator: torch.Generator) -> Float[Tensor, "rows 3 3"]:
        """Return shifts."""
        reach_px = self.reach_px(extent.size)
        shift_px = torch.randint(0, reach_px + 1, (extent.rows, 2), generator=generator)
        maps = unmoved(extent.rows)
        maps[:, :2, 2] = (shift_px - reach_px // 2).double()
        return maps

    @classmethod
    def from_text(cls, value: str) -> "Jitter":
        """Read `8` or `12.5%`."""
        if value.endswith("%"):
            return cls(float(value[:-1]), percent=True)
        return cls(int(value))

    def to_text(self) -> str:
        """Return `jitter:8` or `jitter:12.5%`."""
        return f"jitter:{number_to_text(self.reach)}{'%' if self.percent else ''}"


@dataclass(frozen=True)
class Scale(Affine):
    """Enlarge by a factor.

    Attributes:
        choices: Factors, each as likely as it is often; or, with `uniform`, the two ends.
        uniform: Whether the factor is drawn between the ends.
    """

    name: ClassVar[str] = "scale"
    form: ClassVar[str] = "scale:LOW..HIGH or scale:A/B/C"
    choices: tuple[float, ...]
    uniform: bool = False

    def __post_init__(self) -> None:
        if not self.choices or not all(0 < choice < math.inf for choice in self.choices):
            raise ConfigError(f"scale factors must be above 0, got {self.choices}")

    def draw(self, extent: Extent, *, generator: torch.Generator) -> Float[Tensor, "rows 3 3"]:
        """Return enlargements."""
        maps = unmoved(extent.rows)
        factor = choose(self.choices, extent.rows, between=self.uniform, generator=generator)
        maps[:, 0, 0] = maps[:, 1, 1] = factor
        return maps

    @classmethod
    def from_text(cls, value: str) -> "Scale":
        """Read `0.9..1.1` or `0.9/1/1.1`."""
        return cls(*read_choices(value))

    def to_text(self) -> str:
        """Return `scale:0.9..1.1` or `scale:0.9/1/1.1`."""
        return f"scale:{choices_to_text(self.choices, between=self.uniform)}"


@dataclass(frozen=True)
class Rotate(Affine):
    """Turn, clockwise as seen for positive angles.

    Attributes:
        choices_deg: Angles in degrees, each as likely as it is often; or the two ends.
        uniform: Whether the angle is drawn between the ends.
    """

    name: ClassVar[str] = "rotate"
    form: ClassVar[str] = "rotate:LOW..HIGH or rotate:A/B/C"
    choices_deg: tuple[float, ...]
    uniform: bool = False

    def __post_init__(self) -> None:
        if not self.choices_deg or not all(map(math.isfinite, self.choices_deg)):
            raise ConfigError(f"rotate needs finite angles, at least one, got {self.choices_deg}")

    def draw(self, extent: Extent, *, generator: torch.Generator) -> Float[Tensor, "rows 3 3"]:
        """Return rotations."""
        angle_deg = choose(self.choices_deg, extent.rows, between=self.uniform, generator=generator)
        angle = angle_deg * (math.pi / 180)
        maps = unmoved(extent.rows)
        maps[:, 0, 0] = maps[:, 1, 1] = angle.cos()
        maps[:, 1, 0] = angle.sin()
        maps[:, 0, 1] = -angle.sin()
        return maps

    @classmethod
    def from_text(cls, value: str) -> "Rotate":
        """Read `-10..10` or `-10/0/10`."""
        return cls(*read_choices(value))

    def to_text(self) -> str:
        """Return `rotate:-10..10` or `rotate:-10/0/10`."""
        return f"rotate:{choices_to_text(self.choices_deg, between=self.uniform)}"


@dataclass(frozen=True)
class Flip(Affine):
    """Swap left and right, half of the time."""

    name: ClassVar[str] = "flip"
    form: ClassVar[str] = "flip"

    def draw(self, extent: Extent, *, generator: torch.Generator) -> Float[Tensor, "rows 3 3"]:
        """Return reflections and identities."""
        maps = unmoved(extent.rows)
        maps[:, 0, 0] = choose((-1.0, 1.0), extent.rows, between=False, generator=generator)
        return maps

    @classmethod
    def from_text(cls, value: str) -> "Flip":
        """Take no value."""
        if value:
            raise ValueError(value)
        return cls()

    def to_text(self) -> str:
        """Return `flip`."""
        return "flip"
