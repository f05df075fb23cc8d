"""Staying near a given image while an objective climbs: accentuation."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from featviz.objectives.activations import IMAGE, Activations, Score
from featviz.objectives.around import Around
from featviz.objectives.base import Objective

_EPSILON = 1e-6


@dataclass(frozen=True, eq=False)
class Near(Around):
    """An objective that is worth less the further its image is from a given one.

    Takes away `share * |score| * |image - start|^2 / |start - mean(start)|^2`, with |score| held
    fixed, so that one share suits units of any scale and images of any contrast.

    References:
        Hamblin et al. 2024, "Feature Accentuation", section 3: there the distance is between
        activations of an early layer and balanced by gradients; here between pixels.
    """

    objective: Objective
    start: Float[Tensor, "c h w"]
    share: float

    @property
    def sites(self) -> tuple[str, ...]:
        """Those of the objective, and the image."""
        return tuple(dict.fromkeys((*self.objective.sites, IMAGE)))

    def score(self, activations: Activations) -> Float[Tensor, "*b"]:
        """Return the score less what distance costs."""
        return self.bound(activations[IMAGE].device)(activations)

    def bound(self, device: torch.device) -> Score:
        """Bind the objective, and move the start."""
        inner, start = self.objective.bound(device), self.start.to(device)

        def score(activations: Activations) -> Float[Tensor, "*b"]:
            value = inner(activations)
            near = start.to(activations[IMAGE])
            contrast = (near - near.mean()).square().mean().clamp(min=_EPSILON)
            apart = (activations[IMAGE] - near).square().flatten(1).mean(1) / contrast
            return value - self.share * value.detach().abs() * apart

        return score
