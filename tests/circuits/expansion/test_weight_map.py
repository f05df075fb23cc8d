import pytest
import torch
from torch import Tensor

from circuits import WeightMap
from featviz.errors import CircuitError


def weight_map(kernel: Tensor) -> WeightMap:
    return WeightMap(
        kernel=kernel,
        source="a",
        target="b",
        sources=tuple(range(kernel.shape[1])),
        targets=(4, 7),
        stride=(1, 1),
        offset=(0, 0),
        gates="raw",
        method="raw",
    )


def test_strength_by_hand() -> None:
    weights = weight_map(torch.tensor([[[[3.0, -4.0]]], [[[-1.0, 0.0]]]]))
    assert weights.strength("l2").tolist() == [[5.0], [1.0]]
    assert weights.strength("max").tolist() == [[4.0], [1.0]]
    assert weights.strength("sum").tolist() == [[-1.0], [-1.0]]
    assert weights.strength("positive").tolist() == [[3.0], [0.0]]
    assert weights.strength("negative").tolist() == [[-4.0], [-1.0]]
    assert weights.display_scale().tolist() == [4.0, 1.0]


def test_the_strongest_inputs_come_first_and_ties_in_channel_order() -> None:
    kernel = torch.tensor([[1.0, -3.0, 1.0], [0.0, 0.0, 2.0]]).view(2, 3, 1, 1)
    weights = weight_map(kernel)
    assert weights.top(4, count=3, by="sum") == [(1, -3.0), (0, 1.0), (2, 1.0)]
    assert weights.top(7, count=1) == [(2, 2.0)]
    assert weights.with_targets((7,)).of_target(7).flatten().tolist() == [0.0, 0.0, 2.0]
    with pytest.raises(CircuitError, match="b:5 is not in the weights a -> b; they hold 2"):
        weights.of_target(5)
