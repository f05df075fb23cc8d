"""How strongly a unit reads each earlier one: signed scores of the edges of a circuit.

A score takes a `WeightMap` and gives one signed number a kernel, [o i]; building.py ranks by
magnitude. Anything of that form is a score, also attributions by patching or gradients.
"""

from collections.abc import Callable, Iterable
from typing import TypeAlias

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from circuits.expansion.vjp import cut_windows
from circuits.expansion.weight_map import WeightMap
from circuits.tracing.given_images import check_activations, checked_images, record_in_batches
from circuits.tracing.unit_reading import flat_unit
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
    expanded ones they are as true as the gates. Targets that are never above 0 score 0. A vector,
    such as the logits, has one position.

    Args:
        model: The network.
        images: RGB (or the network's own channels), 0..1.
    """

    def __init__(self, model: Model, images: Float[Tensor, "n c h w"]) -> None:
        self.model = model
        self._images = checked_images(model, images)
        self._kept: dict[str, Tensor] = {}

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the images; kernels that end with a map must be of this size."""
        return self._images.shape[2], self._images.shape[3]

    def record(self, sites: Iterable[str]) -> None:
        """Run the images once for all sites that are not known yet.

        Raises:
            CircuitError: If an activation holds NaN or infinity.
        """
        unknown = [site for site in sites if site not in self._kept]
        if not unknown:
            return
        found = record_in_batches(self.model, self._images, unknown)
        check_activations(self.model, found)
        self._kept.update((site, activation.cpu()) for site, activation in found.items())

    def fires(self, site: str, channel: int) -> Bool[Tensor, " n"]:
        """Tell for each image whether a unit is above 0 somewhere."""
        self.record([site])
        return flat_unit(self._kept[site], channel).amax(1) > 0

    def __call__(self, weights: WeightMap) -> Float[Tensor, "o i"]:
        """Return the signed contributions."""
        self.record([weights.source, weights.target])
        reads, made = self._kept[weights.source], self._kept[weights.target]
        rows = [
            self._of_target(weights, kernels, made[:, [channel]], reads)
            for channel, kernels in zip(weights.targets, weights.kernel, strict=True)
        ]
        return torch.stack(rows)

    @staticmethod
    def _of_target(
        weights: WeightMap,
        kernels: Float[Tensor, "i kh kw"],
        made: Float[Tensor, "n 1 *map"],
        reads: Float[Tensor, "n c *maps"],
    ) -> Float[Tensor, " i"]:
        peaks = flat_unit(made, 0)
        live = peaks.amax(1) > 0
        windows = cut_windows(
            reads[live][:, list(weights.sources)],
            peaks[live].argmax(1),
            made.shape,
            weights.stride,
            weights.offset,
            (kernels.shape[1], kernels.shape[2]),
        )
        return (kernels * windows).sum((0, 2, 3)) / max(1, int(live.sum()))
