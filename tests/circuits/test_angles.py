import pytest
import torch

from circuits.angles import angle_between, angular_distance


def test_angle_between() -> None:
    assert angle_between(350.0, 15.0, 360.0) == 25
    assert angle_between(175.0, 5.0, 180.0) == 10
    assert angle_between(0.0, 180.0, 360.0) == 180


@pytest.mark.parametrize("period", [180.0, 360.0])
def test_the_distance_is_the_least_over_whole_turns(period: float) -> None:
    differences = torch.arange(-1000, 1000, 7, dtype=torch.float64)
    turns = torch.arange(-10, 11, dtype=torch.float64) * period
    expected = (differences[:, None] + turns).abs().amin(1)
    assert torch.equal(angular_distance(differences, period), expected)
