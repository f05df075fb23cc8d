import math

import numpy as np
import pytest
import torch
from torch import Tensor

from circuits.expansion.weight_map import WeightMap
from circuits.factoring.superposition import input_rows, output_rows, superposition_score
from featviz.errors import CircuitError


def in_a_plane(count: int, length: float = 1.0) -> Tensor:
    turns = torch.arange(count, dtype=torch.float64) * 2 * math.pi / count
    return length * torch.stack([turns.cos(), turns.sin()], 1)


def test_features_at_right_angles_have_a_dimension_each() -> None:
    rows = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(0))).Q[:4]
    found = superposition_score(rows)
    assert found.interference.tolist() == pytest.approx([0] * 4, abs=1e-10)
    assert found.dimensionality.tolist() == pytest.approx([1] * 4)
    assert found.features_per_dimension == pytest.approx(1)


@pytest.mark.parametrize("count", [3, 4, 5, 8])
def test_features_round_a_plane_share_two_dimensions(count: int) -> None:
    # Evenly round a circle, the squares along any direction sum to count / 2.
    found = superposition_score(in_a_plane(count, 3.0))
    assert found.dimensionality.tolist() == pytest.approx([2 / count] * count)
    assert found.interference.tolist() == pytest.approx([9 * (count / 2 - 1)] * count)
    assert found.features_per_dimension == pytest.approx(1 / 9)
    # Squares along all directions sum to count^2 / 2 at least: random ones share less well.
    assert max(found.random_dimensionality) <= 2 / count + 1e-9


def test_an_opposed_pair_halves_a_dimension_and_zero_has_none() -> None:
    found = superposition_score(torch.tensor([[1.0, 0, 0], [-1, 0, 0], [0, 2, 0], [0, 0, 0]]))
    assert found.dimensionality.tolist() == [0.5, 0.5, 1, 0]
    assert found.interference.tolist() == [1, 1, 0, 0]


def test_by_definition_and_beside_random_directions() -> None:
    rows = torch.randn(7, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = superposition_score(rows, draws=3, seed=2)
    w = rows.numpy()
    for i in range(7):
        unit = w[i] / np.linalg.norm(w[i])
        others = sum((unit @ w[j]) ** 2 for j in range(7) if j != i)
        everything = sum((unit @ w[j]) ** 2 for j in range(7))
        assert float(found.interference[i]) == pytest.approx(others)
        assert float(found.dimensionality[i]) == pytest.approx((w[i] @ w[i]) / everything)
    again = superposition_score(rows, draws=3, seed=2)
    assert again.random_interference == found.random_interference
    assert (
        superposition_score(rows, draws=3, seed=3).random_interference != found.random_interference
    )


def test_the_control_is_the_expected_interference_of_random_directions() -> None:
    # (u w)^2 is |w|^2 / n on average: 49 others of length 1 in 20 dimensions.
    rows = torch.zeros(50, 20)
    rows[:, 0] = 1
    found = superposition_score(rows)
    assert np.mean(found.random_interference) == pytest.approx(49 / 20, rel=0.03)
    assert found.interference.tolist() == pytest.approx([49] * 50)


def test_rows_of_a_map() -> None:
    kernel = torch.arange(12.0).view(2, 3, 1, 2)
    weights = WeightMap(kernel, "a", "b", (0, 1, 2), (0, 1), (1, 1), (0, 0), "raw", "raw")
    assert input_rows(weights).tolist() == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]]
    assert output_rows(weights).tolist() == [[0, 1, 6, 7], [2, 3, 8, 9], [4, 5, 10, 11]]


@pytest.mark.parametrize(
    ("rows", "said"),
    [(torch.zeros(2, 2), "all weights are zero"), (torch.full((2, 2), math.inf), "not finite")],
)
def test_what_has_no_superposition(rows: Tensor, said: str) -> None:
    with pytest.raises(CircuitError, match=said):
        superposition_score(rows)
