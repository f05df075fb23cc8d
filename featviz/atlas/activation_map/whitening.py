"""From mean activations to directions: what sets a cell apart from what is common anyway.

Channels that fire together on most photographs dominate every mean. The direction m C^-1, with C
the correlation matrix of all samples, counts them for little: it is the mean in a space where the
samples have the identity for their second moments, brought back.
"""

import numpy as np
from jaxtyping import Float


def correlation(samples: Float[np.ndarray, "n c"]) -> Float[np.ndarray, "c c"]:
    """Return the second moments of samples, X^T X / n: as in Lucid, nothing is subtracted first.

    Args:
        samples: One row each; they may lie on disk and are read in parts.
    """
    channels = samples.shape[1]
    total = np.zeros((channels, channels))
    for first in range(0, len(samples), 4096):
        part = np.asarray(samples[first : first + 4096], dtype=np.float64)
        total += part.T @ part
    return total / len(samples)


def whitening(moments: Float[np.ndarray, "c c"], *, ridge: float) -> Float[np.ndarray, "c c"]:
    """Return W = (C + ridge * t I)^(-1/2) with t the mean of C's diagonal; X W is white.

    Args:
        moments: C, from `correlation`.
        ridge: What is added to the diagonal, in mean squares of a channel. Needed where there are
            fewer samples than channels, or channels that never fire; 0: nothing, for a C that has
            an inverse.
    """
    values, axes = np.linalg.eigh(moments)
    level = float(np.trace(moments)) / len(moments)
    # Rounding leaves eigenvalues a little below 0.
    scaled = np.maximum(values, 0) + ridge * (level or 1.0)
    return np.asarray(axes / np.sqrt(scaled) @ axes.T)


def directions(
    means: Float[np.ndarray, "m c"], white: Float[np.ndarray, "c c"]
) -> Float[np.ndarray, "m c"]:
    """Return m W W for each mean m, scaled so that the dot product with the mean is 1.

    A score of 1 then says: as much of this direction as the cell has on average, whatever the
    network's scale. Means of zeros give zeros.

    Args:
        means: One a cell.
        white: W, from `whitening`.
    """
    found = means @ white @ white
    along = (found * means).sum(1, keepdims=True)
    return np.asarray(found / np.where(along > 0, along, 1))
