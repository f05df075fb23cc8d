"""Numbers from activations: moments, percentiles, z-scores, Gram matrices, distances.

Pure functions; measures.py feeds them with what a network does.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from featviz.objectives.activations import gram_matrices, positions


@dataclass(frozen=True)
class Moments:
    """Count, mean and spread of each channel over images, which can be merged batch by batch.

    Attributes:
        count: Number of images.
        mean: Mean of each channel, float64.
        squares: Sum of squared deviations from it, float64.
        largest: Largest value of each channel.
    """

    count: int
    mean: Float[Tensor, " c"]
    squares: Float[Tensor, " c"]
    largest: Float[Tensor, " c"]

    @classmethod
    def of(cls, values: Float[Tensor, "n c"]) -> "Moments":
        """Return the moments of one batch."""
        wide = values.detach().double().cpu()
        mean = wide.mean(0)
        return cls(len(wide), mean, (wide - mean).square().sum(0), wide.amax(0))

    def merge(self, other: "Moments") -> "Moments":
        """Return the moments of both together.

        References:
            Chan, Golub, LeVeque 1979, "Updating formulae and a pairwise algorithm for computing
            sample variances", equation 2.1.
        """
        count = self.count + other.count
        step = other.mean - self.mean
        return Moments(
            count,
            self.mean + step * (other.count / count),
            self.squares + other.squares + step.square() * (self.count * other.count / count),
            torch.maximum(self.largest, other.largest),
        )

    @property
    def sd(self) -> Float[Tensor, " c"]:
        """Standard deviation of each channel, over count - 1; not a number for one image."""
        return (self.squares / (self.count - 1)).sqrt() if self.count > 1 else self.mean * torch.nan


def percentile(score: Float[Tensor, " b"], reference: Float[Tensor, "n b"]) -> Float[Tensor, " b"]:
    """Return how many percent of the reference scores lie below each score; ties count half.

    Args:
        score: One an image.
        reference: Scores of n reference images by the same objectives.
    """
    below = (reference < score).double() + (reference == score).double() / 2
    return (below.mean(0) * 100).float().where(score.isfinite(), torch.nan)


def gain(score: Float[Tensor, " b"], reference: Float[Tensor, "n b"]) -> Float[Tensor, " b"]:
    """Return each score as a multiple of the largest reference score.

    Returns:
        Gains; not a number where no reference score is above 0, and a ratio would mislead.
    """
    largest = reference.amax(0)
    return (score / largest).where(largest > 0, torch.nan)


def z_scores(values: Float[Tensor, "b c"], moments: Moments) -> Float[Tensor, "b c"]:
    """Return how many standard deviations each channel lies above its mean, float32.

    Channels that are the same on all reference images have no scale: not a number.
    """
    sd = moments.sd
    z = (values.detach().double().cpu() - moments.mean) / sd
    return z.where(sd > 0, torch.nan).float()


def rank(z: Float[Tensor, "b c"], index: Int[Tensor, " b"]) -> Int[Tensor, " b"]:
    """Return the rank of one channel of each image among all, from 1; ties rank it first.

    Args:
        z: From `z_scores`; channels without a number take no part.
        index: The channel of each image; if it has no number itself, its rank is 0.
    """
    own = z[torch.arange(len(z)), index]
    found = 1 + (z > own[:, None]).sum(1)
    return found.where(own.isfinite(), 0)


def gram_diversity(activation: Float[Tensor, "b c h w"]) -> Float[Tensor, ""]:
    """Return 1 - the mean cosine of Gram matrices, over all pairs of images.

    Args:
        activation: Of two images at least.

    Returns:
        0 for images of one texture, at most 1 for rectified activations; not a number for fewer
        than two images. A silent image has cosine 0 with every other.

    References:
        Olah, Mordvintsev, Schubert 2017, "Feature Visualization", Distill, section Diversity;
        there as a penalty, summed.
    """
    b = len(activation)
    matrices = gram_matrices(positions(activation.double())).flatten(1)
    unit = torch.nn.functional.normalize(matrices, dim=1)
    pairs = torch.triu_indices(b, b, offset=1)
    return (1 - (unit @ unit.mT)[pairs[0], pairs[1]].mean()).float()


def cosine_distance(
    ours: Float[Tensor, "b c"], theirs: Float[Tensor, "n c"]
) -> Float[Tensor, "b n"]:
    """Return 1 - cosine of each pair of embeddings: 0 same direction, 1 at right angles."""
    ours, theirs = (torch.nn.functional.normalize(x.float(), dim=1) for x in (ours, theirs))
    return 1 - ours @ theirs.mT
