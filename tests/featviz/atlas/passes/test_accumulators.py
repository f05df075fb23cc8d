"""What a pass keeps, against plain numpy over all values at once."""

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest

from featviz.atlas.neighbours.correlations import Correlations
from featviz.atlas.passes.accumulators import (
    Accumulator,
    Counts,
    Extremes,
    Histogram,
    Sample,
    UnitValues,
)
from featviz.errors import ConfigError

UNITS = 7


def stream(count: int = 300, seed: int = 0) -> UnitValues:
    """Values with ties, a still unit, a unit of zeros, and some that are not finite."""
    drawn = np.random.default_rng(seed)
    maxima = drawn.normal(size=(count, UNITS)).astype(np.float32) * 10
    maxima[:, 1] = np.round(maxima[:, 1] / 5)
    maxima[:, 2] = 3.5
    maxima[:, 3] = 0
    maxima[:, 4] = np.maximum(maxima[:, 4], 0)
    maxima[:, 5] = np.exp(maxima[:, 5])
    broken = {3: np.nan, 4: np.inf, 11: -np.inf}
    for row in broken.keys() & range(count):
        maxima[row, 6] = broken[row]
    return UnitValues(
        ids=drawn.permutation(count).astype(np.int64),
        maxima=maxima,
        means=drawn.normal(size=(count, UNITS)).astype(np.float32),
        places=drawn.integers(0, 49, (count, UNITS)).astype(np.int32),
    )


def part(values: UnitValues, rows: np.ndarray) -> UnitValues:
    return UnitValues(
        values.ids[rows], values.maxima[rows], values.means[rows], values.places[rows]
    )


def feed(kept: Accumulator, values: UnitValues, *, batch: int, order: np.ndarray | None = None):
    rows = np.arange(len(values.ids)) if order is None else order
    for first in range(0, len(rows), batch):
        kept.add(part(values, rows[first : first + batch]))
    return kept


@pytest.mark.parametrize("statistic", ["maximum", "mean"])
@pytest.mark.parametrize("largest", [True, False])
@pytest.mark.parametrize(("size", "count"), [(9, 300), (9, 5), (1, 300), (0, 20)])
def test_extremes_are_those_of_a_full_sort(
    statistic: str, largest: bool, size: int, count: int
) -> None:
    values = stream(count)
    kept = feed(Extremes(UNITS, size, statistic=statistic, largest=largest), values, batch=17)
    for unit in range(UNITS):
        column = values.of(statistic)[:, unit]
        rows = [k for k in range(count) if math.isfinite(column[k])]
        rows.sort(key=lambda k: (-column[k] if largest else column[k], values.ids[k]))
        expected = [
            (int(values.ids[k]), float(column[k]), int(values.places[k, unit])) for k in rows[:size]
        ]
        assert kept.of(unit) == expected


MAKERS: dict[str, Callable[[], Accumulator]] = {
    "extremes": lambda: Extremes(UNITS, 6, statistic="maximum", largest=True),
    "counts": lambda: Counts(UNITS),
    "histogram": lambda: Histogram(UNITS, statistic="maximum"),
}


@pytest.mark.parametrize("name", MAKERS)
def test_neither_batches_nor_order_change_a_bit(name: str) -> None:
    values = stream()
    expected = feed(MAKERS[name](), values, batch=300).state()
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(300)
        found = feed(MAKERS[name](), values, batch=1 + 13 * seed, order=order).state()
        assert expected.keys() == found.keys()
        for key in expected:
            np.testing.assert_array_equal(found[key], expected[key])


@pytest.mark.parametrize(
    "name", [*MAKERS, "sample", "correlations"]
)  # what also depends on the order
def test_what_is_restored_goes_on_as_if_nothing_had_been(name: str) -> None:
    makers = {
        **MAKERS,
        "sample": lambda: Sample(UNITS, 100),
        "correlations": lambda: Correlations({"a": slice(0, UNITS)}, UNITS, statistic="mean"),
    }
    values = stream()
    whole = feed(makers[name](), values, batch=20)
    first = feed(makers[name](), part(values, np.arange(60)), batch=20)
    second = makers[name]()
    second.restore({key: array.copy() for key, array in first.state().items()})
    feed(second, part(values, np.arange(60, 300)), batch=20)
    for key, array in whole.state().items():
        np.testing.assert_array_equal(second.state()[key], array)
    wrong = {
        key: array[:-1] if array.size > 1 else array[:0] for key, array in whole.state().items()
    }
    with pytest.raises(ValueError, match=" is "):
        makers[name]().restore(wrong)


def test_counts_leave_out_what_is_not_finite() -> None:
    values = stream()
    kept = feed(Counts(UNITS), values, batch=32)
    assert kept.broken.tolist() == [0, 0, 0, 0, 0, 0, 3]
    assert kept.images.tolist() == [300] * 6 + [297]
    finite = np.where(np.isfinite(values.maxima), values.maxima, 0)
    assert kept.fired.tolist() == (finite > 0).sum(0).tolist()


def test_a_sample_is_the_beginning_of_the_stream_ranked() -> None:
    values = stream()
    kept = feed(Sample(UNITS, 50), values, batch=32)
    assert kept.ids.tolist() == values.ids[:50].tolist()
    rows, ranks = kept.ranked(6, statistic="maximum")
    assert sorted(set(range(50)) - set(rows.tolist())) == [3, 4, 11]
    ordered = rows[np.argsort(ranks)]
    assert (np.diff(values.maxima[ordered, 6]) >= 0).all()
    # Ties: the lower number ranks higher, as `Extremes` has it.
    rows, ranks = kept.ranked(2, statistic="maximum")
    assert values.ids[rows[np.argsort(ranks)]].tolist() == sorted(values.ids[:50], reverse=True)


def test_a_histogram_counts_each_value_in_its_bin() -> None:
    values = stream()
    kept = feed(Histogram(UNITS, statistic="maximum"), values, batch=32)
    for unit in range(UNITS):
        column = values.maxima[:, unit]
        column = column[np.isfinite(column)].astype(np.float64)
        for most in (256, 64, 8):
            start, width, counts = kept.of(unit, most=most)
            assert len(counts) <= most
            assert counts[0] > 0
            assert counts[-1] > 0
            edges = start + width * np.arange(len(counts) + 1)
            expected = [
                int(((low <= column) & (column < high)).sum())
                for low, high in itertools.pairwise(edges)
            ]
            assert counts == expected
            assert sum(counts) == len(column)
        if len(set(column.tolist())) > 100 and unit != 5:  # unit 5 is mostly in one bin
            assert sum(count > 0 for count in kept.of(unit)[2]) > 10
    assert Histogram(1, statistic="mean").of(0) == (0.0, 1.0, [])


@pytest.mark.parametrize(
    "column",
    [
        [1e38, -1e38, 0.0],
        [1e-40, 2e-40, 0.0],
        [1e30, 1.0, -1e-30],
        [16777216.0, 16777215.0],
        [-3.0, -2.0, -1e-3],
    ],
)
def test_a_histogram_takes_extreme_ranges(column: list[float]) -> None:
    maxima = np.array(column, np.float32)[:, None]
    values = UnitValues(
        np.arange(len(column)), maxima, maxima, np.zeros((len(column), 1), np.int32)
    )
    kept = feed(Histogram(1, statistic="maximum"), values, batch=1)
    start, width, counts = kept.of(0)
    assert sum(counts) == len(column)
    assert start <= min(maxima[:, 0])
    assert start + width * len(counts) > max(maxima[:, 0])


@pytest.mark.parametrize("batch", [1, 7, 300])
@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_correlations_are_those_of_numpy(batch: int, offset: float) -> None:
    values = stream()
    values.means[:, 1] = values.means[:, 0] * 0.5 + values.means[:, 1] * 0.1
    values.means[:, 2] = 4.25
    values.means[7, 3] = np.nan
    values.means[:, 5:] += np.float32(offset)
    groups = {"first": slice(0, 4), "rest": slice(4, UNITS)}
    kept = feed(Correlations(groups, UNITS, statistic="mean"), values, batch=batch)
    for name, span in groups.items():
        found, chance = kept.of(name)
        column = values.means[:, span].astype(np.float64)
        shifted = np.roll(column, 1, axis=0)
        for i in range(column.shape[1]):
            for j in range(column.shape[1]):
                if name == "first" and {i, j} & {2, 3}:  # still, or not finite
                    assert np.isnan(found[i, j])
                    assert np.isnan(chance[i, j])
                    continue
                expected = np.corrcoef(column[:, i], column[:, j])[0, 1]
                by_chance = np.corrcoef(column[:, i], shifted[:, j])[0, 1]
                assert found[i, j] == pytest.approx(expected, abs=1e-9)
                assert chance[i, j] == pytest.approx(by_chance, abs=1e-9)


def test_correlations_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ConfigError, match="40,000 units with each other take 24 GiB; give fewer"):
        Correlations({"all": slice(0, 40_000)}, 40_000, statistic="mean")
