import math

import numpy as np
import pytest
import torch

from circuits import side_sums
from featviz.errors import CircuitError


def test_four_directions_by_hand() -> None:
    kernel = torch.tensor([[1.0, 2.0, 4.0], [8.0, 16.0, 32.0], [64.0, 128.0, 256.0]])
    four = kernel.expand(4, 1, 3, 3)
    # 0: the first side lies to the left; 90: above; 180: to the right; 270: below.
    first, second = side_sums(four, [0, 90, 180, 270])
    middle = {0: 146.0, 90: 56.0}  # the column, and the row, on the line
    left, above = 73 + middle[0] / 2, 7 + middle[90] / 2
    total = 511.0
    assert first[:, 0].tolist() == [left, above, total - left, total - above]
    assert (first + second).flatten().tolist() == [total] * 4


@pytest.mark.parametrize("size", [(1, 1), (4, 4), (5, 5), (3, 5)])
def test_any_angle_against_a_plain_loop(size: tuple[int, int]) -> None:
    kernel = torch.randn(1, 2, *size, generator=torch.Generator().manual_seed(0)).double()
    toward = math.radians(180 - 37.0)
    expected = np.zeros(2)
    for row in range(size[0]):
        for column in range(size[1]):
            y, x = (size[0] - 1) / 2 - row, column - (size[1] - 1) / 2
            side = x * math.cos(toward) + y * math.sin(toward)
            expected += kernel[0, :, row, column].numpy() * (
                0.5 if abs(side) < 1e-9 else float(side > 0)
            )
    assert side_sums(kernel, [37.0])[0][0].tolist() == pytest.approx(expected.tolist())


def test_turning_a_kernel_clockwise_adds_to_the_angle() -> None:
    kernel = torch.randn(1, 3, 5, 5, generator=torch.Generator().manual_seed(1))
    turned = torch.rot90(kernel, -1, (2, 3))
    assert torch.allclose(side_sums(kernel, [20.0])[0], side_sums(turned, [110.0])[0])


def test_one_angle_a_target() -> None:
    with pytest.raises(CircuitError, match="1 angles for kernels of 2 targets; give one for each"):
        side_sums(torch.zeros(2, 1, 3, 3), [0.0])
