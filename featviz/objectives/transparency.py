"""Being transparent wherever that costs no score: what the alpha channel of an image is for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from featviz.errors import ObjectiveError
from featviz.objectives.activations import ALPHA, Activations, Score
from featviz.objectives.around import Around
from featviz.objectives.base import Objective
from featviz.objectives.binding import bind
from featviz.sites import Site

# An image that is opaque throughout has no logarithm.
_CLEAREST = 1e-3


@dataclass(frozen=True)
class Opacity(Objective):
    """Minus the mean of the alpha channel; make it with `opacity`."""

    @property
    def sites(self) -> tuple[str, ...]:
        """The alpha channel."""
        return (ALPHA,)

    @property
    def label(self) -> str:
        """`opacity()`."""
        return "opacity()"

    def check(self, sites: Mapping[str, Site]) -> None:
        """Raise ObjectiveError if the images have no alpha channel."""
        if ALPHA not in sites:
            raise ObjectiveError(
                "opacity() reads the alpha channel, which these images do not have; ask for one, "
                "without a share of its own: alpha=0"
            )

    def score(self, activations: Activations) -> Float[Tensor, "*b"]:
        """Return minus the mean alpha of each image."""
        return -activations[ALPHA].float().flatten(1).mean(1)


@dataclass(frozen=True)
class Transparent(Around):
    """An objective that is worth less the more of its image is opaque.

    Adds `share * |score| * log(1 - mean alpha)`, with |score| held fixed. For positive scores its
    gradient is, but for a factor of the whole image, that of `score * (1 - mean alpha) ** share`;
    as a sum it does the same for scores below 0, where the product would ask for opacity.

    References:
        Mordvintsev et al. 2018, "Differentiable Image Parameterizations", Distill, "Transparent
        images": the product with share 1. Left out: there the mean is taken over a random crop and
        over the image.
    """

    objective: Objective
    share: float

    @property
    def sites(self) -> tuple[str, ...]:
        """Those of the objective, and the alpha channel."""
        return tuple(dict.fromkeys((*self.objective.sites, ALPHA)))

    def score(self, activations: Activations) -> Float[Tensor, "*b"]:
        """Return the score less what opacity costs."""
        return _less_opacity(self.objective.score(activations), activations, self.share)

    def bound(self, device: torch.device) -> Score:
        """Bind the objective."""
        inner = self.objective.bound(device)
        return lambda activations: _less_opacity(inner(activations), activations, self.share)

    @classmethod
    def bind_rows(cls, objectives: Sequence[Objective], device: torch.device) -> Score:
        """Bind the objectives behind them, so that these stay vectorised."""
        rows = [objective for objective in objectives if isinstance(objective, cls)]
        inner = bind([row.objective for row in rows], device=device)
        shares = torch.tensor([row.share for row in rows], device=device)

        def score(activations: Activations) -> Float[Tensor, " b"]:
            return _less_opacity(inner(activations), activations, shares)

        return score


def _less_opacity(score: Tensor, activations: Activations, share: Tensor | float) -> Tensor:
    alpha = activations[ALPHA].float().flatten(1).mean(1)
    return score + share * score.detach().abs() * (1 - alpha).clamp(min=_CLEAREST).log()


def opacity() -> Opacity:
    """Penalise what is opaque: minus the mean of the alpha channel, 0..1.

    For formulas of your own on images with `alpha=0`: `channel("fire4", 5) * (1 + opacity())` is
    Lucid's. Any other `alpha` does so without being asked.
    """
    return Opacity()
