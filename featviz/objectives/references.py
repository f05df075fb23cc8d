"""Objectives that compare with what a photograph does in the network.

    caricature("fire4", photo)       exaggerate what the site saw
    inversion("fire4", photo)        find an image that the site cannot tell from it
    style("fire4", photo)            match its texture, wherever it is

The photograph is run through the model when the render is planned, once.
"""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from featviz.errors import ObjectiveError
from featviz.models.model import Model
from featviz.objectives.activations import Activations, gram_matrices, positions
from featviz.objectives.base import Objective
from featviz.objectives.directions import COSINE_FLOOR, short_hash
from featviz.sites import Site

_EPSILON = 1e-12


@dataclass(frozen=True, eq=False)
class Reference(Objective):
    """Compares with the activation of a photograph at one site.

    Attributes:
        site: Site name.
        photo: Values 0..1; resized, bilinearly, to the size of the render.
        target: The photograph's activation; None until prepared.
    """

    kind: ClassVar[str]
    site: str
    photo: Float[Tensor, "c h w"]
    target: Float[Tensor, "1 ..."] | None = None

    @property
    def sites(self) -> tuple[str, ...]:
        """The site compared."""
        return (self.site,)

    @property
    def label(self) -> str:
        """`caricature(fire4, 1f3a9c)`: the photograph's hash tells photographs apart."""
        return f"{self.kind}({self.site}, {short_hash(self.photo)})"

    def check(self, sites: Mapping[str, Site]) -> None:
        """Do nothing: any site will do."""
        del sites

    def prepared(self, model: Model, *, size: tuple[int, int]) -> "Reference":
        """Record the photograph.

        Raises:
            ObjectiveError: If the model takes images of another number of channels.
        """
        if self.photo.shape[0] != model.spec.channels:
            raise ObjectiveError(
                f"{self.label}: the photograph has {self.photo.shape[0]} channels, "
                f"{model.name!r} takes {model.spec.channels}"
            )
        photo = F.interpolate(
            self.photo[None].float(), size=size, mode="bilinear", antialias=True
        ).to(model.device)
        with torch.no_grad():
            target = model.record(photo, [self.site])[self.site].float()
        if not target.any():
            raise ObjectiveError(
                f"{self.label}: the photograph excites nothing at {self.site!r}; choose another "
                "photograph or site"
            )
        return replace(self, target=target)

    def score(self, activations: Activations) -> Float[Tensor, "*b"]:
        """Return how well each image matches."""
        a = activations[self.site]
        if self.target is None:
            raise ObjectiveError(f"{self.label} has no activations yet: call prepared() first")
        if a.shape[1:] != self.target.shape[1:]:
            raise ObjectiveError(
                f"{self.label}: the network sees images of another size than the photograph's; "
                "leave out pad"
            )
        return self.compare(a, self.target.to(a))

    @abstractmethod
    def compare(self, a: Float[Tensor, "b ..."], target: Float[Tensor, "1 ..."]) -> Tensor:
        """Return one score an image."""


@dataclass(frozen=True, eq=False)
class Caricature(Reference):
    """Dot product times a power of the cosine; make it with `caricature`."""

    kind: ClassVar[str] = "caricature"
    cosine_power: float = 1.0

    def compare(self, a: Float[Tensor, "b ..."], target: Float[Tensor, "1 ..."]) -> Tensor:
        """Return `dot * max(0.1, cos) ** p` over all channels and positions."""
        rows, aim = a.flatten(1), target.flatten(1)
        dot = (rows * aim).sum(1)
        lengths = (rows.square().sum(1) * aim.square().sum(1)).clamp(min=_EPSILON).sqrt()
        return dot * (dot / lengths).clamp(min=COSINE_FLOOR).pow(self.cosine_power)


class Inversion(Reference):
    """Minus the relative square distance; make it with `inversion`."""

    kind: ClassVar[str] = "inversion"

    def compare(self, a: Float[Tensor, "b ..."], target: Float[Tensor, "1 ..."]) -> Tensor:
        """Return minus |a - target|^2 / |target|^2."""
        return -(a - target).flatten(1).square().sum(1) / target.square().sum()


class ActivationDifference(Reference):
    """Minus the mean absolute difference; make it with `activation_difference`."""

    kind: ClassVar[str] = "activation_difference"

    def compare(self, a: Float[Tensor, "b ..."], target: Float[Tensor, "1 ..."]) -> Tensor:
        """Return minus mean |a - target|."""
        return -(a - target).flatten(1).abs().mean(1)


class Style(Reference):
    """Likeness of Gram matrices; make it with `style`."""

    kind: ClassVar[str] = "style"

    def compare(self, a: Float[Tensor, "b ..."], target: Float[Tensor, "1 ..."]) -> Tensor:
        """Return minus the mean absolute difference of Gram matrices, relative to the target."""
        aim = gram_matrices(positions(target))
        apart = (gram_matrices(positions(a)) - aim).abs().flatten(1).mean(1)
        return -apart / aim.abs().mean()


def caricature(site: str, photo: Float[Tensor, "c h w"], *, cosine_power: float = 1.0) -> Objective:
    """Exaggerate what a site sees in a photograph: `dot * max(0.1, cos) ** p`.

    Args:
        site: Site name.
        photo: Values 0..1.
        cosine_power: 0 for the dot product alone; higher values keep to the photograph.

    References:
        Olah et al. 2018, "The Building Blocks of Interpretability"; Lucid 0.3.10, recipes
        `caricature`. The dot product is over channels and positions together.
    """
    return Caricature(site, photo, cosine_power=cosine_power)


def inversion(site: str, photo: Float[Tensor, "c h w"]) -> Objective:
    """Look for an image that a site cannot tell from a photograph.

    Minus the square distance of the activations over the square of the photograph's.

    Args:
        site: Site name.
        photo: Values 0..1.

    References:
        Mahendran and Vedaldi 2015, "Understanding Deep Image Representations by Inverting Them",
        section 2, equation 2; regularisers are objectives of their own, see penalties.py.
    """
    return Inversion(site, photo)


def activation_difference(site: str, photo: Float[Tensor, "c h w"]) -> Objective:
    """Bring activations near those of a photograph: minus the mean absolute difference.

    Args:
        site: Site name.
        photo: Values 0..1.

    References:
        Lucid 0.3.10, optvis/objectives `activation_difference`.
    """
    return ActivationDifference(site, photo)


def style(site: str, photo: Float[Tensor, "c h w"]) -> Objective:
    """Match the texture of a photograph: minus the mean absolute difference of Gram matrices.

    Relative to the mean absolute entry of the photograph's, so that sites can be added up.

    Args:
        site: Site name.
        photo: Values 0..1.

    References:
        Gatys, Ecker, Bethge 2016, "Image Style Transfer Using CNNs"; the L1 distance is that of
        Mordvintsev et al. 2018, "Differentiable Image Parameterizations".
    """
    return Style(site, photo)
