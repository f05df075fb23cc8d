"""How strongly a unit reads each earlier one: signed scores of the edges of a circuit.

A score takes a `WeightMap` and gives one signed number a kernel, [o i]; building.py ranks by
magnitude. Anything of that form is a score, also attributions by patching or gradients.
"""

from collections.abc import Callable
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.expansion.vjp import cut_windows
from circuits.expansion.weight_map import WeightMap
from circuits.tracing.given_images import checked_images, record_in_batches
from featviz.errors import CircuitError
from featviz.models import Model

EdgeScore: TypeAlias = Callable[[WeightMap], Tensor]

SCORES = ("weights", "contribution")


def weight_score(weights: WeightMap) -> Float[Tensor, "o i"]:
    """Return the L2 norm of each kernel with the sign of its sum."""
    sign = torch.where(weights.strength("sum") < 0, -1.0, 1.0)
    return weights.strength("l2") * sign


class ContributionScore:
    """Score edges by what passes over them: kernel times activation, where the target is largest.

    For each image, the position of the largest activation of the target's channel; there, the sum
    of kernel times the source's activation. The score is the mean over the images in which the
    target is above 0. Over raw weights these sum up to the pre-activation less the bias; over
    expanded ones they are as true as the gates. Targets that are never above 0 score 0.

    Args:
        model: The network.
        images: RGB (or the network's own channels), 0..1.
    """

    def __init__(self, model: Model, images: Float[Tensor, "n c h w"]) -> None:
        self._model = model
        self._images = checked_images(model, images)
        self._kept: dict[str, Tensor] = {}

    def _activation(self, site: str) -> Float[Tensor, "n c h w"]:
        if site not in self._kept:
            found = record_in_batches(self._model, self._images, [site])[site].cpu()
            if found.dim() != 4:
                raise CircuitError(
                    f"contributions need maps, and {site!r} has one number a channel; use "
                    "score='weights'"
                )
            self._kept[site] = found
        return self._kept[site]

    def __call__(self, weights: WeightMap) -> Float[Tensor, "o i"]:
        """Return the signed contributions."""
        reads = self._activation(weights.source)
        made = self._activation(weights.target)
        rows = [
            self._of_target(weights, kernels, made[:, channel], reads)
            for channel, kernels in zip(weights.targets, weights.kernel, strict=True)
        ]
        return torch.stack(rows)

    @staticmethod
    def _of_target(
        weights: WeightMap,
        kernels: Float[Tensor, "i kh kw"],
        made: Float[Tensor, "n h w"],
        reads: Float[Tensor, "n c hs ws"],
    ) -> Float[Tensor, " i"]:
        peaks = made.flatten(1)
        live = peaks.amax(1) > 0
        windows = cut_windows(
            reads[live][:, list(weights.sources)],
            peaks[live].argmax(1),
            made[:, None].shape,
            weights.stride,
            weights.offset,
            (kernels.shape[1], kernels.shape[2]),
        )
        return (kernels * windows).sum((0, 2, 3)) / max(1, int(live.sum()))
