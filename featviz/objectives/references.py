"""Objectives that compare with what a photograph does in the network.

    caricature("fire4", "cat.png")   exaggerate what the site saw
    inversion("fire4", photo)        find an image that the site cannot tell from it
    style("fire4", photo)            match its texture, wherever it is

A photograph is a file, or a tensor of values 0..1. It is run through the model when the render is
planned, once.
"""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from featviz.errors import ObjectiveError
from featviz.models.model import Model
from featviz.objectives.activations import Activations, Score, gram_matrices, positions
from featviz.objectives.base import Objective
from featviz.objectives.directions import COSINE_FLOOR
from featviz.objectives.spelling import argument, shortest
from featviz.objectives.values import Values, as_photo
from featviz.sites import Site

_EPSILON = 1e-12
_POWER = 1.0

Photo: TypeAlias = Float[Tensor, "c h w"] | str | Path
"""Values 0..1, or a picture file."""


@dataclass(frozen=True)
class Reference(Objective):
    """Compares with the activation of a photograph at one site.

    Attributes:
        site: Site name.
        photo: Resized to the size of the render, see `Values.image`.
        target: The photograph's activation; None until prepared.
    """

    kind: ClassVar[str]
    site: str
    photo: Values
    target: Float[Tensor, "1 ..."] | None = field(default=None, compare=False, repr=False)

    @property
    def sites(self) -> tuple[str, ...]:
        """The site compared."""
        return (self.site,)

    @property
    def label(self) -> str:
        """`caricature(fire4, cat.png)`, or `caricature(fire4, tensor-1f3a9c)`."""
        return f"{self.kind}({argument(self.site)}, {self.photo.text}{self.options})"

    @property
    def options(self) -> str:
        """Further arguments in the label, each after a comma."""
        return ""

    @property
    def files(self) -> dict[str, str]:
        """The file of the photograph, if there is one."""
        return self.photo.files

    @property
    def placed(self) -> bool:
        """True: it compares with a photograph of the size of the images."""
        return True

    def check(self, sites: Mapping[str, Site]) -> None:
        """Do nothing: any site will do."""
        del sites

    def prepared(self, model: Model, *, size: tuple[int, int]) -> "Reference":
        """Record the photograph.

        Raises:
            PictureError: If the file cannot be read as a picture.
            ObjectiveError: If the model takes images of another number of channels, or the
                photograph excites nothing.
        """
        photo = self.photo.image(size, channels=model.spec.channels)[None].to(model.device)
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
        return self.bound(activations[self.site].device)(activations)

    def bound(self, device: torch.device) -> Score:
        """Move the photograph's activation."""
        if self.target is None:
            raise ObjectiveError(f"{self.label} has no activations yet: call prepared() first")
        target = self.target.to(device)

        def score(activations: Activations) -> Float[Tensor, "*b"]:
            a = activations[self.site]
            if a.shape[1:] != target.shape[1:]:
                raise ObjectiveError(
                    f"{self.label}: the network sees images of another size than the "
                    "photograph's; leave out pad"
                )
            return self.compare(a, target.to(a))

        return score

    @abstractmethod
    def compare(self, a: Float[Tensor, "b ..."], target: Float[Tensor, "1 ..."]) -> Tensor:
        """Return one score an image."""


@dataclass(frozen=True)
class Caricature(Reference):
    """Dot product times a power of the cosine; make it with `caricature`."""

    kind: ClassVar[str] = "caricature"
    cosine_power: float = _POWER

    @property
    def options(self) -> str:
        """The power, unless it is that of `caricature`."""
        power = shortest(self.cosine_power)
        return "" if self.cosine_power == _POWER else f", cosine_power={power}"

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


def caricature(site: str, photo: Photo, *, cosine_power: float = _POWER) -> Objective:
    """Exaggerate what a site sees in a photograph: `dot * max(0.1, cos) ** p`.

    Args:
        site: Site name.
        photo: Values 0..1, or a picture file.
        cosine_power: 0 for the dot product alone; higher values keep to the photograph.

    References:
        Olah et al. 2018, "The Building Blocks of Interpretability"; Lucid 0.3.10, recipes
        `caricature`. The dot product is over channels and positions together.
    """
    if not 0 <= cosine_power < float("inf"):
        raise ObjectiveError(f"cosine_power must be 0 or more, got {cosine_power}")
    return Caricature(site, as_photo(photo), cosine_power=float(cosine_power))


def inversion(site: str, photo: Photo) -> Objective:
    """Look for an image that a site cannot tell from a photograph.

    Minus the square distance of the activations over the square of the photograph's.

    Args:
        site: Site name.
        photo: Values 0..1, or a picture file.

    References:
        Mahendran and Vedaldi 2015, "Understanding Deep Image Representations by Inverting Them",
        section 2, equation 2; regularisers are objectives of their own, see penalties.py.
    """
    return Inversion(site, as_photo(photo))


def activation_difference(site: str, photo: Photo) -> Objective:
    """Bring activations near those of a photograph: minus the mean absolute difference.

    Args:
        site: Site name.
        photo: Values 0..1, or a picture file.

    References:
        Lucid 0.3.10, optvis/objectives `activation_difference`.
    """
    return ActivationDifference(site, as_photo(photo))


def style(site: str, photo: Photo) -> Objective:
    """Match the texture of a photograph: minus the mean absolute difference of Gram matrices.

    Relative to the mean absolute entry of the photograph's, so that sites can be added up.

    Args:
        site: Site name.
        photo: Values 0..1, or a picture file.

    References:
        Gatys, Ecker, Bethge 2016, "Image Style Transfer Using CNNs"; the L1 distance is that of
        Mordvintsev et al. 2018, "Differentiable Image Parameterizations".
    """
    return Style(site, as_photo(photo))
