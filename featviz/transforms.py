"""Robustness transforms: small random moves that keep the image from being adversarial noise.

Drawing numbers is apart from applying them: `draw` makes the moves of every step before the loop,
on the CPU; `apply` only computes. All moves of one image are composed into one affine map, so an
image is resampled once a step however many transforms there are. The size is the same at every
step, and what comes in from outside the image is grey.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from featviz.errors import ConfigError, did_you_mean
from featviz.resampling import affine_grid, resample


@dataclass(frozen=True)
class Transform(ABC):
    """One kind of random affine move of the image about its centre."""

    name: ClassVar[str]

    @abstractmethod
    def draw(self, steps: int, *, generator: torch.Generator) -> Float[Tensor, "steps 3 3"]:
        """Return one map a step, float64, acting on (x, y, 1) in pixels from the centre."""

    @abstractmethod
    def to_text(self) -> str:
        """Return the text that `parse_transforms` reads back."""


@dataclass(frozen=True)
class Pad(Transform):
    """Add a grey margin, so that the network sees a larger image.

    Attributes:
        margin_px: Width of the margin on each side.
    """

    name: ClassVar[str] = "pad"
    margin_px: int

    def __post_init__(self) -> None:
        if self.margin_px < 0:
            raise ConfigError(f"pad must be 0 px or more, got {self.margin_px}")

    def draw(self, steps: int, *, generator: torch.Generator) -> Float[Tensor, "steps 3 3"]:  # noqa: ARG002 - nothing is random here
        """Return identities: a margin moves nothing."""
        return torch.eye(3, dtype=torch.float64).repeat(steps, 1, 1)

    def to_text(self) -> str:
        """Return `pad:12`."""
        return f"pad:{self.margin_px}"


@dataclass(frozen=True)
class Jitter(Transform):
    """Shift by a whole number of pixels on each axis, all within a reach equally likely.

    From -reach_px // 2 on, so that an odd reach goes one pixel further to the right and down.

    Attributes:
        reach_px: Difference between the largest and the smallest shift; the `d` of Lucid's crop.
    """

    name: ClassVar[str] = "jitter"
    reach_px: int

    def __post_init__(self) -> None:
        if self.reach_px < 0:
            raise ConfigError(f"jitter must reach 0 px or more, got {self.reach_px}")

    def draw(self, steps: int, *, generator: torch.Generator) -> Float[Tensor, "steps 3 3"]:
        """Return shifts."""
        shift_px = torch.randint(0, self.reach_px + 1, (steps, 2), generator=generator)
        maps = torch.eye(3, dtype=torch.float64).repeat(steps, 1, 1)
        maps[:, :2, 2] = (shift_px - self.reach_px // 2).double()
        return maps

    def to_text(self) -> str:
        """Return `jitter:8`."""
        return f"jitter:{self.reach_px}"


@dataclass(frozen=True)
class Scale(Transform):
    """Enlarge by a factor.

    Attributes:
        choices: Factors, each as likely as it is often; or, with `uniform`, the two ends.
        uniform: Whether the factor is drawn between the ends.
    """

    name: ClassVar[str] = "scale"
    choices: tuple[float, ...]
    uniform: bool = False

    def __post_init__(self) -> None:
        if not self.choices or not all(0 < choice < math.inf for choice in self.choices):
            raise ConfigError(f"scale factors must be above 0, got {self.choices}")

    def draw(self, steps: int, *, generator: torch.Generator) -> Float[Tensor, "steps 3 3"]:
        """Return enlargements."""
        factor = _choose(self.choices, steps, uniform=self.uniform, generator=generator)
        maps = torch.eye(3, dtype=torch.float64).repeat(steps, 1, 1)
        maps[:, 0, 0] = maps[:, 1, 1] = factor
        return maps

    def to_text(self) -> str:
        """Return `scale:0.9..1.1` or `scale:0.9/1/1.1`."""
        return f"scale:{_numbers(self.choices, uniform=self.uniform)}"


@dataclass(frozen=True)
class Rotate(Transform):
    """Turn, clockwise as seen for positive angles.

    Attributes:
        choices_deg: Angles in degrees, each as likely as it is often; or the two ends.
        uniform: Whether the angle is drawn between the ends.
    """

    name: ClassVar[str] = "rotate"
    choices_deg: tuple[float, ...]
    uniform: bool = False

    def __post_init__(self) -> None:
        if not self.choices_deg or not all(map(math.isfinite, self.choices_deg)):
            raise ConfigError(f"rotate needs finite angles, at least one, got {self.choices_deg}")

    def draw(self, steps: int, *, generator: torch.Generator) -> Float[Tensor, "steps 3 3"]:
        """Return rotations."""
        angle_deg = _choose(self.choices_deg, steps, uniform=self.uniform, generator=generator)
        angle = angle_deg * (math.pi / 180)
        maps = torch.eye(3, dtype=torch.float64).repeat(steps, 1, 1)
        maps[:, 0, 0] = maps[:, 1, 1] = angle.cos()
        maps[:, 1, 0] = angle.sin()
        maps[:, 0, 1] = -angle.sin()
        return maps

    def to_text(self) -> str:
        """Return `rotate:-10..10` or `rotate:-10/0/10`."""
        return f"rotate:{_numbers(self.choices_deg, uniform=self.uniform)}"


def _choose(
    choices: tuple[float, ...], steps: int, *, uniform: bool, generator: torch.Generator
) -> Float[Tensor, " steps"]:
    values = torch.tensor(choices, dtype=torch.float64)
    if uniform:
        share = torch.rand(steps, generator=generator, dtype=torch.float64)
        return values[0] + (values[-1] - values[0]) * share
    return values[torch.randint(0, len(choices), (steps,), generator=generator)]


def _numbers(values: tuple[float, ...], *, uniform: bool) -> str:
    return (".." if uniform else "/").join(repr(v).removesuffix(".0") for v in values)


# Lucid's standard list without its first entry, pad 12 with constant 0.5: the crops that follow
# there leave 6 px of it on each side, where here the image keeps its size and grey comes in.
LUCID = (
    Jitter(8),
    Scale(tuple(1 + (i - 5) / 50 for i in range(11))),
    Rotate((*range(-10, 11), 0, 0, 0, 0, 0)),
    Jitter(4),
)
PRESETS: dict[str, tuple[Transform, ...]] = {"lucid": LUCID, "none": ()}
"""Transforms by name.

`lucid` differs from Lucid 0.3.10, optvis/transform: one bilinear resampling instead of several;
jitter is a symmetric shift instead of a crop, so the network sees the size asked for instead of
12 px more; `pad:6,jitter:8,...` gives it those back.
"""


class Transforms:
    """Transforms in order, fused into one resampling.

    Args:
        steps: The transforms; the first is applied to the image first.
        text: The text they came from; None: made from them.
    """

    def __init__(self, steps: Sequence[Transform], *, text: str | None = None) -> None:
        self.steps = tuple(steps)
        self.text = text or ",".join(step.to_text() for step in self.steps) or "none"

    def output_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return the height and width that `apply` gives for images of a size."""
        margin_px = 2 * sum(step.margin_px for step in self.steps if isinstance(step, Pad))
        return size[0] + margin_px, size[1] + margin_px

    def draw(
        self, steps: int, *, size: tuple[int, int], generator: torch.Generator
    ) -> Float[Tensor, "steps 2 3"]:
        """Draw the moves of one image for every step.

        Args:
            steps: Number of steps.
            size: Height and width of the image in pixels.
            generator: A CPU generator of this image alone.

        Returns:
            For each step the map from positions in the result to positions in the image, float32,
            in the coordinates of torch's affine_grid without aligned corners.
        """
        maps = torch.eye(3, dtype=torch.float64).repeat(steps, 1, 1)
        for step in self.steps:
            # A generator of its own for each, so that the moves of the first steps are the same
            # however many steps there are.
            seed = int(torch.randint(2**62, (), generator=generator))
            own = torch.Generator().manual_seed(seed)
            maps = torch.matmul(step.draw(steps, generator=own), maps)
        out = self.output_size(size)
        half_in = torch.tensor([size[1] / 2, size[0] / 2, 1], dtype=torch.float64)
        half_out = torch.tensor([out[1] / 2, out[0] / 2, 1], dtype=torch.float64)
        backward: Tensor = torch.linalg.inv(maps) * half_out / half_in[:, None]
        return backward[:, :2].float()

    def apply(
        self, images: Float[Tensor, "b c h w"], drawn: Float[Tensor, "b 2 3"]
    ) -> Float[Tensor, "b c h_out w_out"]:
        """Move each image as drawn: one bilinear resampling, grey outside.

        Args:
            images: Values 0..1.
            drawn: One map an image, from `draw`.

        Returns:
            Moved images, of the same size unless there is a `Pad`.
        """
        if not self.steps:
            return images
        h, w = self.output_size((images.shape[-2], images.shape[-1]))
        return resample(images, affine_grid(drawn, h, w))


def parse_transforms(text: str | Sequence[Transform] | Transforms) -> Transforms:
    """Return transforms from a preset's name or a list such as `jitter:8,rotate:-5..5,scale:0.9/1`.

    Args:
        text: `a..b` draws uniformly between a and b, `a/b/c` chooses one of the values. A
            sequence of transforms, or `Transforms`, is taken as it is.

    Raises:
        ConfigError: If a name is unknown or a number malformed.
    """
    if isinstance(text, Transforms):
        return text
    if not isinstance(text, str):
        return Transforms(text)
    if text in PRESETS:
        return Transforms(PRESETS[text], text=text)
    return Transforms([_parse_one(item.strip(), text) for item in text.split(",")])


def _parse_one(item: str, text: str) -> Transform:
    name, _, value = item.partition(":")
    known = {"pad", "jitter", "scale", "rotate"}
    if name not in known:
        raise ConfigError(
            f"unknown transform {name!r} in {text!r}{did_you_mean(name, known | set(PRESETS))} "
            f"write a preset ({', '.join(PRESETS)}) or a list such as "
            "'jitter:8,scale:0.9..1.1,rotate:-10..10'"
        )
    uniform = ".." in value
    try:
        if name == "jitter":
            return Jitter(int(value))
        if name == "pad":
            return Pad(int(value))
        numbers = tuple(float(v) for v in value.split(".." if uniform else "/"))
    except ValueError:
        raise ConfigError(
            f"bad value {value!r} of {name!r} in {text!r}; write pad and jitter as PIXELS, "
            "scale and rotate as LOW..HIGH or as A/B/C"
        ) from None
    if uniform and (len(numbers) != 2 or numbers[0] > numbers[1]):
        raise ConfigError(f"bad range {value!r} of {name!r} in {text!r}; write LOW..HIGH")
    return Scale(numbers, uniform) if name == "scale" else Rotate(numbers, uniform)
