"""What a pass over images keeps of them, a bounded amount for each unit.

Each takes batches in any order of images and ends with the same numbers; ties go to the image with
the lower number. Values that are not finite are left out and counted.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, Float64, Int32, Int64

Arrays = Mapping[str, np.ndarray]
_NO_IMAGE = np.iinfo(np.int64).max


@dataclass(frozen=True)
class UnitValues:
    """What a batch of images did to units.

    Attributes:
        ids: Numbers of the images.
        maxima: Largest value over the map; the value itself where there is no map.
        means: Mean over the map.
        places: Where the maximum lies, `y * width + x`, the first one in reading order; -1 where
            there is no map.
    """

    ids: Int64[np.ndarray, " b"]
    maxima: Float32[np.ndarray, "b u"]
    means: Float32[np.ndarray, "b u"]
    places: Int32[np.ndarray, "b u"]

    def of(self, statistic: str) -> Float32[np.ndarray, "b u"]:
        """Return the values by `maximum` or by `mean`."""
        return self.maxima if statistic == "maximum" else self.means


@runtime_checkable
class Accumulator(Protocol):
    """Keeps something of a stream of images."""

    def add(self, values: UnitValues) -> None:
        """Take in a batch."""
        ...

    def state(self) -> Arrays:
        """Return all that it knows, as arrays."""
        ...

    def restore(self, state: Arrays) -> None:
        """Go on from what `state` gave."""
        ...


class Kept:
    """Accumulators whose state is some of their arrays."""

    names: tuple[str, ...]

    def state(self) -> Arrays:
        """Return the arrays."""
        return {name: getattr(self, name) for name in self.names}

    def restore(self, state: Arrays) -> None:
        """Take the arrays over.

        Raises:
            ValueError: If one is of another shape or type.
        """
        for name in self.names:
            own, found = getattr(self, name), state[name]
            if own.dtype != found.dtype or own.shape != found.shape:
                raise ValueError(f"{name} is {found.dtype}{list(found.shape)}")
            setattr(self, name, found.copy())


class Extremes(Kept):
    """The images with the largest or the smallest values of each unit.

    Args:
        units: How many units.
        size: How many images to keep for each.
        statistic: `maximum` or `mean`.
        largest: Whether to keep the largest.

    Attributes:
        keys: Values, those of the smallest negated, the most extreme first; -inf for none.
        ids: Numbers of the images.
        places: As in `UnitValues`.
    """

    names = ("keys", "ids", "places")

    def __init__(self, units: int, size: int, *, statistic: str, largest: bool) -> None:
        self.keys: Float32[np.ndarray, "u k"] = np.full((units, size), -np.inf, np.float32)
        self.ids: Int64[np.ndarray, "u k"] = np.full((units, size), _NO_IMAGE, np.int64)
        self.places: Int32[np.ndarray, "u k"] = np.full((units, size), -1, np.int32)
        self._statistic, self._sign = statistic, np.float32(1 if largest else -1)

    def add(self, values: UnitValues) -> None:
        """Take in a batch."""
        size = self.keys.shape[1]
        if not size:
            return
        found = self._sign * values.of(self._statistic)
        # Few images enter after the first thousand, so that few rows are looked at more closely.
        rows = np.flatnonzero(np.fmax.reduce(found, 0, initial=-np.inf) >= self.keys[:, -1])
        if not len(rows):
            return
        keys, ids = found[:, rows].T, values.ids
        worst, worst_id = self.keys[rows, -1:], self.ids[rows, -1:]
        enters = np.isfinite(keys) & ((keys > worst) | ((keys == worst) & (ids < worst_id)))
        new = np.where(enters, keys, -np.inf)
        new_ids = np.where(enters, ids, _NO_IMAGE)
        together = np.concatenate([self.keys[rows], new], 1)
        all_ids = np.concatenate([self.ids[rows], new_ids], 1)
        all_places = np.concatenate([self.places[rows], values.places.T[rows]], 1)
        order = np.lexsort((all_ids, -together), axis=-1)[:, :size]
        self.keys[rows] = np.take_along_axis(together, order, 1)
        self.ids[rows] = np.take_along_axis(all_ids, order, 1)
        self.places[rows] = np.take_along_axis(all_places, order, 1)

    def of(self, unit: int) -> list[tuple[int, float, int]]:
        """Return image, value and place of what is kept of a unit, the most extreme first."""
        found = np.isfinite(self.keys[unit])
        values = self._sign * self.keys[unit][found] + np.float32(0)  # no -0
        return [
            (int(i), float(v), int(p))
            for i, v, p in zip(self.ids[unit][found], values, self.places[unit][found], strict=True)
        ]


class Counts(Kept):
    """How many images there were, excited each unit, and gave it no finite value.

    Args:
        units: How many units.

    Attributes:
        images: Images with a finite value, by unit.
        fired: Images with a maximum above 0, by unit.
        broken: Images without a finite value, by unit.
    """

    names = ("images", "fired", "broken")

    def __init__(self, units: int) -> None:
        self.images: Int64[np.ndarray, " u"] = np.zeros(units, np.int64)
        self.fired: Int64[np.ndarray, " u"] = np.zeros(units, np.int64)
        self.broken: Int64[np.ndarray, " u"] = np.zeros(units, np.int64)

    def add(self, values: UnitValues) -> None:
        """Take in a batch."""
        finite = np.isfinite(values.maxima)
        self.images += finite.sum(0)
        self.broken += (~finite).sum(0)
        self.fired += ((values.maxima > 0) & finite).sum(0)


class Sample(Kept):
    """All values of the first images, which are a random sample if the order is random.

    Args:
        units: How many units.
        size: How many images to keep.

    Attributes:
        ids: Numbers of the images; -1 for none.
        maxima: As in `UnitValues`.
        means: As in `UnitValues`.
        places: As in `UnitValues`.
    """

    names = ("ids", "maxima", "means", "places")

    def __init__(self, units: int, size: int) -> None:
        self.ids: Int64[np.ndarray, " n"] = np.full(size, -1, np.int64)
        self.maxima: Float32[np.ndarray, "n u"] = np.zeros((size, units), np.float32)
        self.means: Float32[np.ndarray, "n u"] = np.zeros((size, units), np.float32)
        self.places: Int32[np.ndarray, "n u"] = np.zeros((size, units), np.int32)

    def add(self, values: UnitValues) -> None:
        """Take in a batch."""
        begin = int((self.ids >= 0).sum())
        taken = min(len(values.ids), len(self.ids) - begin)
        self.ids[begin : begin + taken] = values.ids[:taken]
        self.maxima[begin : begin + taken] = values.maxima[:taken]
        self.means[begin : begin + taken] = values.means[:taken]
        self.places[begin : begin + taken] = values.places[:taken]

    def of(self, statistic: str) -> Float32[np.ndarray, "n u"]:
        """Return the values by `maximum` or by `mean`."""
        return self.maxima if statistic == "maximum" else self.means

    def ranked(
        self, unit: int, *, statistic: str
    ) -> tuple[Int64[np.ndarray, " m"], Int64[np.ndarray, " m"]]:
        """Return rows with a finite value in the order of the stream, and the rank of each.

        The rank counts from 0, the smallest; ties by number, the lower one ranked higher, as
        `Extremes` has it.

        Args:
            unit: Index of the unit.
            statistic: `maximum` or `mean`.
        """
        values = self.of(statistic)[:, unit]
        rows = np.flatnonzero((self.ids >= 0) & np.isfinite(values))
        order = np.lexsort((-self.ids[rows], values[rows]))
        ranks = np.empty(len(rows), np.int64)
        ranks[order] = np.arange(len(rows))
        return rows, ranks


class Histogram(Kept):
    """Exact counts of values, by unit, in bins whose width doubles when the range outgrows them.

    Bins lie at whole multiples of a power of two, the smallest for which `BINS` of them cover the
    range, so that counts do not depend on the order of the images.

    Args:
        units: How many units.
        statistic: `maximum` or `mean`.

    Attributes:
        counts: By unit and bin.
        first: Which multiple of the width the first bin begins at.
        exponents: Logarithm of the width to base 2.
        low: Smallest value.
        high: Largest value.
    """

    BINS = 256
    names = ("counts", "first", "exponents", "low", "high")

    def __init__(self, units: int, *, statistic: str) -> None:
        self.counts: Int64[np.ndarray, "u n"] = np.zeros((units, self.BINS), np.int64)
        self.first: Int64[np.ndarray, " u"] = np.zeros(units, np.int64)
        self.exponents: Int64[np.ndarray, " u"] = np.full(units, -160, np.int64)
        self.low: Float64[np.ndarray, " u"] = np.full(units, np.inf)
        self.high: Float64[np.ndarray, " u"] = np.full(units, -np.inf)
        self._statistic = statistic

    def add(self, values: UnitValues) -> None:
        """Take in a batch."""
        found = values.of(self._statistic).astype(np.float64)
        finite = np.isfinite(found)
        low = np.minimum(self.low, np.where(finite, found, np.inf).min(0, initial=np.inf))
        high = np.maximum(self.high, np.where(finite, found, -np.inf).max(0, initial=-np.inf))
        self._widen(low, high)
        begins = np.arange(found.shape[1]) * self.BINS - self.first
        with np.errstate(invalid="ignore"):
            at = np.floor(np.ldexp(found, -self.exponents)).astype(np.int64) + begins
        np.add.at(self.counts.reshape(-1), at.reshape(-1) if finite.all() else at[finite], 1)

    def _widen(self, low: Float64[np.ndarray, " u"], high: Float64[np.ndarray, " u"]) -> None:
        """Give bins to a range that may have grown."""
        rows = np.flatnonzero((low < self.low) | (high > self.high))
        if not len(rows):
            return
        self.low, self.high = low, high
        low, high = low[rows], high[rows]
        largest = np.maximum(np.abs(low), np.abs(high))
        # A float32 has 24 digits: below this width bins tell nothing apart.
        _, digits = np.frexp(largest)
        _, span = np.frexp((high - low) / self.BINS)
        floor = np.where(high > low, span.astype(np.int64) - 1, digits - 24)
        exponents = np.maximum.reduce(
            [self.exponents[rows], np.where(largest > 0, digits - 24, -160), floor]
        )
        while True:
            reach = np.floor(np.ldexp(high, -exponents)) - np.floor(np.ldexp(low, -exponents))
            if (reach < self.BINS).all():
                break
            exponents += reach >= self.BINS
        first = np.floor(np.ldexp(low, -exponents)).astype(np.int64)
        r, k = self.counts[rows].nonzero()
        moved = ((self.first[rows][r] + k) >> (exponents - self.exponents[rows])[r]) - first[r]
        counts = np.zeros((len(rows), self.BINS), np.int64)
        np.add.at(counts, (r, moved), self.counts[rows][r, k])
        self.counts[rows], self.first[rows], self.exponents[rows] = counts, first, exponents

    def of(self, unit: int, *, most: int = 64) -> tuple[float, float, list[int]]:
        """Return where the first bin begins, the width of all, and the counts.

        Args:
            unit: Index of the unit.
            most: Bins at most; neighbours are joined.
        """
        held = np.flatnonzero(self.counts[unit])
        if not len(held):
            return 0.0, 1.0, []
        exponent, multiples = int(self.exponents[unit]), self.first[unit] + held
        while multiples[-1] - multiples[0] >= most:
            multiples, exponent = multiples >> 1, exponent + 1
        counts = np.bincount(multiples - multiples[0], weights=self.counts[unit][held])
        width = float(np.ldexp(1.0, exponent))
        return float(multiples[0] * width), width, [int(count) for count in counts]
