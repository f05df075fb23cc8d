"""Correlation of units over a stream of images, and what chance gives: sums of products alone."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float64, Int64

from featviz.atlas.passes.accumulators import Kept, UnitValues
from featviz.errors import ConfigError

MAX_BYTES = 8 * 2**30


class Correlations(Kept):
    """Pearson's correlation of pairs of units, by group.

    Chance is the same sum with each image beside the one before it in the stream: in a random
    order that is one random permutation of the images. Values are counted from those of the first
    image, so that large means cost no digits.

    Args:
        groups: Name -> units that are compared with each other.
        units: How many units there are.
        statistic: `maximum` or `mean`.

    Raises:
        ConfigError: If the sums do not fit in `MAX_BYTES`.
    """

    def __init__(self, groups: Mapping[str, slice], units: int, *, statistic: str) -> None:
        sizes = {name: part.stop - part.start for name, part in groups.items()}
        needed = sum(2 * 8 * size**2 for size in sizes.values())
        if needed > MAX_BYTES:
            raise ConfigError(
                f"correlations of {max(sizes.values()):,} units with each other take "
                f"{needed / 2**30:.0f} GiB; give fewer sites, or stay within each"
            )
        self._groups, self._statistic = dict(groups), statistic
        self.count: Int64[np.ndarray, " 1"] = np.zeros(1, np.int64)
        self.first: Float64[np.ndarray, " u"] = np.zeros(units)
        self.last: Float64[np.ndarray, " u"] = np.zeros(units)
        self.sums: Float64[np.ndarray, " u"] = np.zeros(units)
        self.broken: Int64[np.ndarray, " u"] = np.zeros(units, np.int64)
        self.names = ("count", "first", "last", "sums", "broken")
        for number, size in enumerate(sizes.values()):
            for what in ("products", "chance"):
                setattr(self, f"{what}{number}", np.zeros((size, size)))
                self.names += (f"{what}{number}",)

    def add(self, values: UnitValues) -> None:
        """Take in a batch; the order of the batches counts for chance, and for nothing else."""
        found = values.of(self._statistic).astype(np.float64)
        finite = np.isfinite(found)
        self.broken += (~finite).sum(0)
        found = np.where(finite, found, 0.0)
        if not self.count[0]:
            self.first = found[0].copy()
        found -= self.first
        # The first image is 0 by now, so that pairs with it add nothing.
        before = np.concatenate([self.last[None], found[:-1]])
        self.sums += found.sum(0)
        for number, part in enumerate(self._groups.values()):
            own = found[:, part]
            products, chance = getattr(self, f"products{number}"), getattr(self, f"chance{number}")
            products += own.T @ own
            chance += own.T @ before[:, part]
        self.last = found[-1].copy()
        self.count += len(found)

    def of(self, group: str) -> tuple[Float64[np.ndarray, "u u"], Float64[np.ndarray, "u u"]]:
        """Return the correlations of a group, and those by chance.

        Not-a-number where a unit never changes, or gave a value that is not finite.
        """
        number, part = list(self._groups).index(group), self._groups[group]
        count = max(int(self.count[0]), 1)
        means = self.sums[part] / count
        products = getattr(self, f"products{number}") / count - np.outer(means, means)
        chance = getattr(self, f"chance{number}") / count - np.outer(means, means)
        variance = products.diagonal().copy()
        # Rounding leaves a little of a variance that is 0.
        scale = np.maximum(getattr(self, f"products{number}").diagonal() / count, means**2)
        still = (variance <= 1e-12 * scale) | (self.broken[part] > 0)
        variance[still] = np.nan
        spread = np.sqrt(np.outer(variance, variance))
        return np.clip(products / spread, -1, 1), np.clip(chance / spread, -1, 1)
