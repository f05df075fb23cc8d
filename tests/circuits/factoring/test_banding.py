import numpy as np
import pytest
import torch
from torch import Tensor

from circuits.expansion.weight_map import WeightMap
from circuits.factoring.banding import band_shares, banding_score
from featviz.errors import CircuitError


def weight_map(kernel: Tensor) -> WeightMap:
    return WeightMap(
        kernel=kernel,
        source="a",
        target="b",
        sources=tuple(range(kernel.shape[1])),
        targets=tuple(range(kernel.shape[0])),
        stride=(1, 1),
        offset=(0, 0),
        gates="raw",
        method="raw",
    )


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(("size", "null"), [(3, 1 / 4), (5, 1 / 6)])
def test_random_kernels_score_the_null(size: int, null: float) -> None:
    found = banding_score(weight_map(random(200, 6, size, size)))
    assert found.row_null == found.column_null == pytest.approx(null)
    assert found.row == pytest.approx(null, abs=0.02)
    assert found.column == pytest.approx(null, abs=0.02)
    assert np.mean(found.shuffled_row) == pytest.approx(null, abs=0.01)
    assert np.mean(found.shuffled_column) == pytest.approx(null, abs=0.01)


def test_oblong_kernels_have_two_nulls() -> None:
    found = banding_score(weight_map(random(300, 4, 2, 5)))
    assert (found.row_null, found.column_null) == pytest.approx((1 / 9, 4 / 9))
    assert found.row == pytest.approx(1 / 9, abs=0.03)
    assert found.column == pytest.approx(4 / 9, abs=0.03)


def test_bands_are_found_and_turning_the_kernels_swaps_the_scores() -> None:
    # Each row its own mixture of channels, alike in all columns, and a little noise.
    bands = random(30, 6, 3, 1).expand(30, 6, 3, 3) + 0.2 * random(30, 6, 3, 3, seed=1)
    found = banding_score(weight_map(bands))
    assert found.row > 0.9
    assert found.column < 0.1
    assert max(found.shuffled_row) < 0.4
    turned = banding_score(weight_map(torch.rot90(bands, 1, (2, 3))))
    assert turned.row == pytest.approx(found.column, abs=0.01)
    assert turned.column == pytest.approx(found.row, abs=0.01)


def test_shares_by_hand_and_by_definition() -> None:
    rows = torch.tensor([[1.0, 1], [3, 3]])
    checks = torch.tensor([[1.0, 0], [0, 1]])
    maps = torch.stack([rows, rows.T, checks])[..., None]
    row, column = band_shares(maps)
    assert row.tolist() == [1, 0, 0]
    assert column.tolist() == [0, 1, 0]
    some = random(1, 4, 3, 2)
    row, column = band_shares(some)
    planes = some[0].permute(2, 0, 1).numpy()
    total = sum(plane.var() for plane in planes)
    assert float(row) == pytest.approx(sum(p.mean(1).var() for p in planes) / total)
    assert float(column) == pytest.approx(sum(p.mean(0).var() for p in planes) / total)


def test_flat_targets_are_left_out() -> None:
    kernel = random(4, 5, 3, 3)
    kernel[1] = 0
    found = banding_score(weight_map(kernel), draws=1)
    assert np.isnan(found.rows_by_target[1])
    kept = [value for k, value in enumerate(found.rows_by_target) if k != 1]
    assert found.row == pytest.approx(np.mean(kept))


@pytest.mark.parametrize(
    ("kernel", "said"),
    [
        (random(3, 3, 1, 1), "neither rows nor columns"),
        (torch.ones(3, 4, 3, 3), "no kernel varies"),
        (torch.zeros(3, 4, 3, 3), "all weights are zero"),
    ],
)
def test_what_has_no_bands(kernel: Tensor, said: str) -> None:
    with pytest.raises(CircuitError, match=said):
        banding_score(weight_map(kernel))
