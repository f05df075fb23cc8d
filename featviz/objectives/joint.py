"""Objectives of several images of one unit together: diversity, alignment, interpolation.

Each image has a score of its own, which also depends on the other images of the same objective.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from featviz.errors import UnitError
from featviz.objectives.activations import OUTSIDE, Activations, Score, gram_matrices, positions
from featviz.objectives.around import Around
from featviz.objectives.base import Objective
from featviz.objectives.spelling import argument
from featviz.objectives.unit import Channel
from featviz.sites import Site

_EPSILON = 1e-12


@dataclass(frozen=True)
class _Joint(Objective):
    site: str

    @property
    def sites(self) -> tuple[str, ...]:
        """The site compared."""
        return (self.site,)

    @property
    def joint(self) -> bool:
        """True: images are compared with each other."""
        return True

    def check(self, sites: Mapping[str, Site]) -> None:
        """Do nothing: any site will do."""
        del sites


@dataclass(frozen=True)
class Diversity(_Joint):
    """Unlikeness of the images' Gram matrices; make it with `diversity`."""

    @property
    def label(self) -> str:
        """`diversity(fire4)`."""
        return f"diversity({argument(self.site)})"

    def score(self, activations: Activations) -> Float[Tensor, "*b"]:
        """Return minus the mean cosine with the other images; 0 for a single image."""
        grams = gram_matrices(positions(activations[self.site])).flatten(1)
        unit = grams / grams.square().sum(1, keepdim=True).clamp(min=_EPSILON).sqrt()
        cosines = unit @ unit.T
        others = max(len(unit) - 1, 1)
        return (cosines.diagonal() - cosines.sum(1)) / others


@dataclass(frozen=True)
class Alignment(_Joint):
    """Likeness of neighbouring images, place by place; make it with `alignment`."""

    decay: float = 2.0

    @property
    def label(self) -> str:
        """`alignment(fire4)`."""
        decay = "" if self.decay == 2 else f", decay={self.decay!r}"
        return f"alignment({argument(self.site)}{decay})"

    def score(self, activations: Activations) -> Float[Tensor, "*b"]:
        """Return minus the squared distances to the next images, the nearest weighted most."""
        a = activations[self.site].flatten(1)
        scores = a.new_zeros(len(a))
        for distance in range(1, min(5, len(a))):
            apart = (a[:-distance] - a[distance:]).square().mean(1)
            ends = apart.new_zeros(distance)
            scores = scores - torch.cat([apart, ends]) / self.decay**distance
        return scores


@dataclass(frozen=True)
class Diverse(Around):
    """An objective that is worth less the more alike its images are.

    Adds `share * |score| * diversity(site)` for each of its sites, with |score| held fixed, so that
    one share suits units of any scale.
    """

    objective: Objective
    share: float

    @property
    def sites(self) -> tuple[str, ...]:
        """Those of the objective."""
        return self.objective.sites

    @property
    def joint(self) -> bool:
        """True: images are compared with each other."""
        return True

    def score(self, activations: Activations) -> Float[Tensor, "*b"]:
        """Return the score less what likeness costs."""
        return self._diverse(self.objective.score, activations)

    def bound(self, device: torch.device) -> Score:
        """Bind the objective."""
        return partial(self._diverse, self.objective.bound(device))

    def _diverse(self, inner: Score, activations: Activations) -> Float[Tensor, "*b"]:
        score = inner(activations)
        places = [site for site in self.sites if site not in OUTSIDE]
        unlike = sum(
            (Diversity(site).score(activations) for site in places), torch.zeros_like(score)
        )
        return score + self.share * score.detach().abs() * unlike / len(places)


@dataclass(frozen=True)
class Interpolation(Objective):
    """From one unit to another, image by image; make it with `interpolation`."""

    site: str
    start: int
    end: int

    @property
    def sites(self) -> tuple[str, ...]:
        """The site of both channels."""
        return (self.site,)

    @property
    def joint(self) -> bool:
        """True: an image's mixture depends on its place among the others."""
        return True

    @property
    def label(self) -> str:
        """`interpolation(fire4, 5, 9)`."""
        return f"interpolation({argument(self.site)}, {self.start}, {self.end})"

    def check(self, sites: Mapping[str, Site]) -> None:
        """Raise UnitError if a channel is out of range."""
        for index in (self.start, self.end):
            Channel(self.site, index).check(sites)

    def score(self, activations: Activations) -> Float[Tensor, "*b"]:
        """Return the mixture of both channels' means, from the first alone to the last alone."""
        means = positions(activations[self.site]).mean(-1)
        share = torch.linspace(0, 1, len(means), device=means.device, dtype=means.dtype)
        if len(means) == 1:
            share = share + 0.5
        return (1 - share) * means[:, self.start] + share * means[:, self.end]


def diversity(site: str) -> Diversity:
    """Make the images of one unit differ: minus the mean cosine of their Gram matrices.

    Add it with a weight: `channel("fire4", 5) + 100 * diversity("fire4")`.

    Args:
        site: Where textures are compared, often a layer before the unit's.

    References:
        Olah, Mordvintsev, Schubert 2017, "Feature Visualization", Distill, "Diversity". Differs
        from Lucid 0.3.10, which adds the cosines of all pairs: the mean does not grow with the
        number of images.
    """
    return Diversity(site)


def alignment(site: str, *, decay: float = 2.0) -> Alignment:
    """Make neighbouring images agree place by place, over up to four steps.

    Minus the sum over d = 1..4 of `mean((a_i - a_{i+d})^2) / decay^d`, counted for image i.

    Args:
        site: Where they are compared.
        decay: How much less each further neighbour counts; above 0.

    Raises:
        UnitError: If the decay is not above 0.

    References:
        Mordvintsev, Pezzotti, Schubert, Olah 2018, "Differentiable Image Parameterizations",
        Distill, "Aligned neuron interpolation".
    """
    if not decay > 0:
        raise UnitError(f"alignment: decay must be above 0, got {decay}")
    return Alignment(site, decay)


def interpolation(site: str, start: int, end: int) -> Interpolation:
    """Go from one channel to another over the images: weights 0 to 1 in equal steps.

    Args:
        site: The site of both channels.
        start: Channel of the first image.
        end: Channel of the last.
    """
    return Interpolation(site, start, end)
