"""Penalties on the image itself, as objectives: subtract them with a weight, or add, they are <= 0.

    channel("fire4", 5) + 0.1 * total_variation()

They read the image before transforms, so they do not depend on how it is moved.
"""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from featviz.errors import ObjectiveError
from featviz.objectives.activations import IMAGE, Activations
from featviz.objectives.base import Objective
from featviz.sites import Site

_EPSILON = 1e-12


@dataclass(frozen=True)
class Penalty(Objective):
    """Minus a measure of the image."""

    name: ClassVar[str]

    @property
    def sites(self) -> tuple[str, ...]:
        """The image."""
        return (IMAGE,)

    @property
    def label(self) -> str:
        """`total_variation()`."""
        return f"{self.name}()"

    def check(self, sites: Mapping[str, Site]) -> None:
        """Do nothing: there is always an image."""
        del sites

    def score(self, activations: Activations) -> Float[Tensor, "*b"]:
        """Return minus the measure of each image."""
        return -self.measure(activations[IMAGE])

    @abstractmethod
    def measure(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
        """Return what is penalised."""


class TotalVariation(Penalty):
    """Mean absolute difference of neighbouring pixels; make it with `total_variation`."""

    name = "total_variation"

    def measure(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
        """Return the mean over both directions."""
        down = (images[:, :, 1:] - images[:, :, :-1]).abs().flatten(1).mean(1)
        right = (images[..., 1:] - images[..., :-1]).abs().flatten(1).mean(1)
        return torch.add(down, right) / 2


@dataclass(frozen=True)
class Distance(Penalty):
    """Distance from a grey level; make it with `l1` or `l2`."""

    power: int
    center: float

    @property
    def label(self) -> str:
        """`l1()`, or `l2(center=0)`."""
        return f"l{self.power}({'' if self.center == 0.5 else f'center={self.center!r}'})"

    def measure(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
        """Return the mean absolute difference, or the root of the mean square."""
        apart = (images - self.center).flatten(1)
        if self.power == 1:
            return apart.abs().mean(1)
        return apart.square().mean(1).clamp(min=_EPSILON).sqrt()


class Blur(Penalty):
    """What a small blur takes away; make it with `blur`."""

    name = "blur"

    def measure(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
        """Return the mean square difference from the image blurred by a 3 x 3 kernel."""
        # 0.25, 0.5, 0.25, made where the image is: a GPU would wait for a copy.
        line = F.pad(images.new_full((1,), 0.5), (1, 1), value=0.25)
        c = images.shape[1]
        kernel = (line[:, None] * line).expand(c, 1, 3, 3)
        blurred = F.conv2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), kernel, groups=c)
        return (images - blurred.detach()).square().flatten(1).mean(1)


@dataclass(frozen=True)
class Boundary(Penalty):
    """Contrast near the edge; make it with `boundary`."""

    width_px: int

    @property
    def label(self) -> str:
        """`boundary(20)`."""
        return f"boundary({self.width_px})"

    def measure(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
        """Return the mean over all pixels of the square distance from grey at the edge."""
        apart = (images - 0.5).square()
        edge = torch.ones_like(apart[0, 0])
        edge[self.width_px : -self.width_px, self.width_px : -self.width_px] = 0
        return torch.mul(apart, edge).flatten(1).mean(1)

    def check(self, sites: Mapping[str, Site]) -> None:
        """Raise ObjectiveError if the image has nothing inside the edge."""
        side = min(sites[IMAGE].map_size)
        if 2 * self.width_px >= side:
            raise ObjectiveError(
                f"boundary({self.width_px}) covers all of an image of {side} px; choose a width "
                f"below {(side + 1) // 2}"
            )


def total_variation() -> TotalVariation:
    """Penalise differences of neighbouring pixels: minus their mean absolute value.

    References:
        Rudin, Osher, Fatemi 1992; the anisotropic form, as in Mahendran and Vedaldi 2015 for
        beta = 1. Differs from Lucid 0.3.10, which sums: the mean does not depend on the size.
    """
    return TotalVariation()


def l1(*, center: float = 0.5) -> Distance:
    """Penalise the mean absolute distance from a grey level, 0..1."""
    return Distance(1, center)


def l2(*, center: float = 0.5) -> Distance:
    """Penalise the root mean square distance from a grey level, 0..1."""
    return Distance(2, center)


def blur() -> Blur:
    """Penalise what a 3 x 3 blur takes away: minus its mean square.

    As in Lucid the blurred image counts as fixed, so each pixel is pulled towards its neighbours.

    References:
        Lucid 0.3.10, optvis/objectives `blur_input_each_step`.
    """
    return Blur()


def boundary(width_px: int = 20) -> Boundary:
    """Penalise contrast near the edge: minus the mean over all pixels of (x - 0.5)^2 there.

    Args:
        width_px: Width of the edge, 1 or more.

    Raises:
        ObjectiveError: If the width is below 1.

    References:
        Lucid 0.3.10, optvis/objectives `penalize_boundary_complexity`: there the image is also
        compared with a blurred copy of itself; here with grey alone.
    """
    if width_px < 1:
        raise ObjectiveError(f"boundary: the width must be 1 px or more, got {width_px}")
    return Boundary(width_px)
