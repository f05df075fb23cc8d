import math

import numpy as np
import pytest
import torch

from circuits import angle_profile
from featviz.errors import CircuitError
from reference import curve_kernels

ANGLES = [15.0 * k for k in range(24)]
SUMS = torch.from_numpy(curve_kernels(ANGLES, ANGLES)).sum((2, 3))


def test_curve_kernels_by_difference_are_those_of_the_published_table() -> None:
    edges = (0, *(7.5 + 15 * k for k in range(12)), 180)
    found = angle_profile(SUMS, ANGLES, ANGLES, edges_deg=edges)
    table = [6.29, 5.40, 3.37, 1.47, 0.40, 0.06, 0, -0.06, -0.47, -1.74, -4.06, -6.52, -7.56]
    assert found.count == (24, *[48] * 11, 24)
    # The published sums are of one side each.
    assert found.mean.tolist() == pytest.approx(table, abs=0.02)
    assert found.positive[:5].tolist() == [1.0] * 5
    assert found.positive[7:].tolist() == [0.0] * 6
    rows = found.rows()
    assert rows[0]["chance_low"] < SUMS.mean() < rows[0]["chance_high"] < 2
    assert rows[0]["p"] == rows[-1]["p"] == pytest.approx(1 / 201)
    assert (rows[1]["from_deg"], rows[1]["to_deg"], rows[1]["pairs"]) == (7.5, 22.5, 48)


def test_any_angles_against_a_plain_loop() -> None:
    generator = np.random.default_rng(0)
    values = torch.from_numpy(generator.normal(size=(5, 7)))
    targets, sources = generator.uniform(0, 180, 5), generator.uniform(0, 180, 7)
    found = angle_profile(
        values, targets.tolist(), sources.tolist(), edges_deg=(0, 20, 60, 90), period_deg=180
    )
    cells: list[list[float]] = [[], [], []]
    for o in range(5):
        for i in range(7):
            off = abs(math.remainder(targets[o] - sources[i], 180))
            cells[0 if off < 20 else 1 if off < 60 else 2].append(float(values[o, i]))
    assert found.count == tuple(map(len, cells))
    assert found.mean.tolist() == pytest.approx([float(np.mean(cell)) for cell in cells])
    above = [float(np.mean([value > 0 for value in cell])) for cell in cells]
    assert found.positive.tolist() == pytest.approx(above)


def test_a_border_belongs_to_the_bin_above_and_the_last_bin_has_both() -> None:
    found = angle_profile(
        torch.tensor([[1.0, 2.0, 4.0]]), [0], [0, 30, 180], edges_deg=(0, 30, 180)
    )
    assert found.count == (1, 2)
    assert found.mean.tolist() == [1.0, 3.0]


def test_shuffles_are_of_the_sources_and_repeat() -> None:
    first, again, other = (angle_profile(SUMS, ANGLES, ANGLES, seed=s) for s in (1, 1, 2))
    assert torch.equal(first.shuffled, again.shuffled)
    assert not torch.equal(first.shuffled, other.shuffled)
    weights = torch.tensor(first.count, dtype=torch.float64)
    # Every shuffle bins the same numbers.
    totals = (first.shuffled * weights).sum(1)
    assert totals.tolist() == pytest.approx([float(SUMS.sum())] * 200)


def test_an_empty_bin_has_no_numbers() -> None:
    row = angle_profile(torch.ones(1, 1), [0], [0], edges_deg=(0, 90, 180)).rows()[1]
    assert row["pairs"] == 0
    assert row["mean"] is row["chance_low"] is row["p"] is None


def test_what_does_not_fit() -> None:
    ones = torch.ones(2, 2)
    with pytest.raises(CircuitError, match="2 target and 3 source angles for values of shape"):
        angle_profile(ones, [0, 1], [0, 1, 2])
    with pytest.raises(CircuitError, match="some values are not finite"):
        angle_profile(ones * math.nan, [0, 1], [0, 1])
    for edges in ((0, 90), (10, 180), (0, 90, 30, 180), (180,)):
        with pytest.raises(CircuitError, match="must ascend from 0 to 180 degrees"):
            angle_profile(ones, [0, 1], [0, 1], edges_deg=edges)
    with pytest.raises(CircuitError, match="draws must be 1 or more, got 0"):
        angle_profile(ones, [0, 1], [0, 1], draws=0)
