import math

import numpy as np
import pytest
import torch
from torch import Tensor

from circuits.families.equivariance import angles_by_rotation, equivariance_score, harmonic_test
from circuits.families.symmetry import (
    DIAGONAL,
    LEFT_RIGHT,
    TOP_BOTTOM,
    Symmetry,
    hue_rotation,
    rotated,
    rotation,
)
from featviz.errors import CircuitError
from reference import curve_kernels

ANGLES = [15.0 * k for k in range(24)]
KERNELS = torch.from_numpy(curve_kernels(ANGLES, ANGLES))


def test_sums_of_the_curve_kernels_by_offset() -> None:
    # What the scores below are worth rests on the kernels being those of the published table.
    sums = KERNELS.sum((2, 3)).numpy()
    table = [6.29, 5.40, 3.37, 1.47, 0.40, 0.06, 0, -0.06, -0.47, -1.74, -4.06, -6.52, -7.56]
    for offset, expected in enumerate(table):
        found = [sums[(i + offset) % 24, i] for i in range(24)]
        assert np.mean(found) == pytest.approx(expected, abs=0.006)
        assert np.std(found) <= 0.36


def test_a_quarter_turn_of_the_curve_kernels() -> None:
    found = equivariance_score(KERNELS, ANGLES, ANGLES)
    slow = np.mean(
        [
            np.corrcoef(
                KERNELS[(o + 6) % 24, (i + 6) % 24].flatten(),
                np.rot90(KERNELS[o, i].numpy(), -1).flatten(),
            )[0, 1]
            for o in range(24)
            for i in range(24)
        ]
    )
    assert found.score == pytest.approx(slow, abs=1e-12)
    assert found.score == pytest.approx(1, abs=1e-12)
    assert found.pairs == 576
    assert found.wrong_direction == pytest.approx(0.11, abs=0.005)
    assert found.unrotated == pytest.approx(-0.11, abs=0.005)
    assert len(found.shuffled_channels) == 20
    assert max(map(abs, found.shuffled_channels)) <= 0.05
    assert max(map(abs, found.shuffled_pixels)) <= 0.02
    assert equivariance_score(KERNELS, ANGLES, ANGLES) == found


@pytest.mark.parametrize(
    "symmetry", [rotation(180), rotation(-90), TOP_BOTTOM, LEFT_RIGHT, DIAGONAL]
)
def test_exact_symmetries_of_the_curve_kernels(symmetry: Symmetry) -> None:
    found = equivariance_score(KERNELS, ANGLES, ANGLES, symmetry=symmetry, draws=2)
    assert found.score == pytest.approx(1, abs=1e-12)
    assert found.unrotated < 0.2


@pytest.mark.parametrize("turn", [15, 30, 45, 75])
def test_turns_between_by_interpolation(turn: float) -> None:
    found = equivariance_score(KERNELS, ANGLES, ANGLES, symmetry=rotation(turn), draws=2)
    assert found.score > 0.97
    assert found.wrong_direction is not None
    assert found.wrong_direction < found.unrotated < found.score or turn > 45
    assert max(map(abs, found.shuffled_channels)) < 0.2


def test_random_kernels_and_reversed_angles_score_nothing() -> None:
    noise = torch.randn(KERNELS.shape, generator=torch.Generator().manual_seed(0))
    assert abs(equivariance_score(noise, ANGLES, ANGLES, draws=0).score) < 0.05
    wrong_way = [-angle for angle in ANGLES]
    assert equivariance_score(KERNELS, wrong_way, wrong_way, draws=0).score == pytest.approx(
        0.11, abs=0.01
    )


def test_units_in_any_order_and_with_gaps() -> None:
    order = torch.randperm(24, generator=torch.Generator().manual_seed(1))[:18]
    some = [ANGLES[k] for k in order]
    found = equivariance_score(KERNELS[order][:, order], some, some, tolerance_deg=1, draws=0)
    assert found.score == pytest.approx(1, abs=1e-12)
    assert found.pairs < 18 * 18


def test_hue_moves_units_and_leaves_kernels() -> None:
    # Weights that only depend on the difference of hue, a half turn of which is a half turn.
    hues = [60.0 * k for k in range(6)]
    profile = torch.randn(6, 3, 3, generator=torch.Generator().manual_seed(0))
    kernel = torch.stack([torch.stack([profile[(o - i) % 6] for i in range(6)]) for o in range(6)])
    found = equivariance_score(kernel, hues, hues, symmetry=hue_rotation(60))
    assert found.score == pytest.approx(1)
    assert max(found.shuffled_channels) < 0.6
    # In pairs of opposite contrasts, hue 180 is rotation 180.
    edge = torch.tensor([[-1.0, 0, 2]]).expand(3, 3)
    pair = torch.stack([torch.stack([edge, edge.flip(1)]), torch.stack([edge.flip(1), edge])])
    pair = torch.stack([pair[0], pair[0].flip(2)])
    turned = hue_rotation(180, angle_deg=180)
    found = equivariance_score(pair, [0, 180], [0, 180], symmetry=turned, draws=0)
    assert found.score == pytest.approx(
        float(np.corrcoef(pair[1, 1].flatten(), pair[0, 0].rot90(2).flatten())[0, 1]), abs=1e-6
    )


def test_turned_kernels() -> None:
    kernel = torch.randn(
        2, 3, 5, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    for turns in (-1, 0, 1, 2, 5):
        expected = np.rot90(kernel.numpy(), -turns, (2, 3))
        np.testing.assert_array_equal(rotated(kernel, 90 * turns).numpy(), expected)
    almost = rotated(kernel, 90 + 1e-7)
    torch.testing.assert_close(almost, rotated(kernel, 90), atol=1e-6, rtol=0)
    # A smooth bump moves clockwise: from the right, down to the lower right.
    y, x = torch.meshgrid(torch.arange(-4.0, 5), torch.arange(-4.0, 5), indexing="ij")
    right = torch.exp(-((x - 2.5) ** 2 + y**2) / 3)
    there = 2.5 * math.sqrt(0.5)
    lower = torch.exp(-((x - there) ** 2 + (y - there) ** 2) / 3)
    # Beyond the circle, what turns in comes from outside of the kernel, where all is zero.
    inside = x**2 + y**2 <= 9
    torch.testing.assert_close(rotated(right, 45)[inside], lower[inside], atol=0.03, rtol=0)
    with pytest.raises(CircuitError, match="kernels of 3x5 cannot be turned"):
        rotated(torch.zeros(3, 5), 90)


def test_the_cosine_test_knows_structure_from_none() -> None:
    sums = KERNELS.sum((2, 3))
    found = harmonic_test(sums, ANGLES, ANGLES)
    offsets = torch.tensor(ANGLES)[:, None] - torch.tensor(ANGLES)[None]
    slow = np.corrcoef(sums.flatten(), torch.cos(torch.deg2rad(offsets)).flatten())[0, 1]
    assert found.correlation == pytest.approx(slow, abs=1e-6)
    assert found.correlation > 0.9
    assert max(found.shuffled) < 0.5
    assert found.p_value == pytest.approx(1 / 201)
    noise = torch.randn(24, 24, generator=torch.Generator().manual_seed(0))
    assert harmonic_test(noise, ANGLES, ANGLES).p_value > 0.05
    lines = torch.cos(torch.deg2rad(2 * offsets))
    assert harmonic_test(lines, ANGLES, ANGLES, harmonic=2).correlation == pytest.approx(1)


def test_angles_found_by_turning_one_unit_into_the_others() -> None:
    order = torch.randperm(24, generator=torch.Generator().manual_seed(2))
    found = angles_by_rotation(KERNELS[order], ANGLES, reference=3)
    expected = [(ANGLES[k] - ANGLES[order[3]]) % 360 for k in order]
    assert [angle for angle, _ in found] == expected
    assert min(score for _, score in found) > 0.95
    noise = torch.randn(24, 24, 5, 5, generator=torch.Generator().manual_seed(0))
    assert max(score for _, score in angles_by_rotation(noise, ANGLES)[1:]) < 0.3


def test_turns_that_no_source_can_follow_are_left_out() -> None:
    # Sources of a quarter of the circle: most turns lead out of it.
    found = angles_by_rotation(KERNELS[:5, :7], ANGLES[:7])
    assert [angle for angle, _ in found[:4]] == [0, 15, 30, 45]
    assert min(score for _, score in found[:4]) > 0.9
    for step in (0, 181, math.nan):
        with pytest.raises(CircuitError, match="choose a row from 0 to 23 and degrees above 0"):
            angles_by_rotation(KERNELS, ANGLES, step_deg=step)


def test_flat_kernels_are_no_evidence() -> None:
    kernel = KERNELS.clone()
    kernel[:12] = 0
    found = equivariance_score(kernel, ANGLES, ANGLES, symmetry=rotation(90), draws=0)
    # Of the four quarters of targets, 0->0 is left out, 0->x and x->0 count as 0, x->x as 1.
    assert found.pairs == 18 * 24
    assert found.score == pytest.approx(1 / 3)
    with pytest.raises(CircuitError, match="no kernel varies over its cells"):
        equivariance_score(torch.ones(4, 4, 3, 3), [0, 90, 180, 270], [0, 90, 180, 270])


@pytest.mark.parametrize(
    ("kernel", "targets", "sources", "said"),
    [
        (KERNELS, ANGLES[:3], ANGLES, "3 target and 24 source angles"),
        (KERNELS[:2] * math.nan, ANGLES[:2], ANGLES, "not finite"),
        (KERNELS[:, :, :1, :1], ANGLES, ANGLES, "use harmonic_test"),
        (KERNELS[:, :, :3], ANGLES, ANGLES, "kernels of 3x5 cannot be turned"),
        (KERNELS[:2], [0, 10], ANGLES, "no target lies within 1 degrees of where rotation by 90"),
    ],
)
def test_what_cannot_be_scored(
    kernel: Tensor, targets: list[float], sources: list[float], said: str
) -> None:
    with pytest.raises(CircuitError, match=said):
        equivariance_score(kernel, targets, sources, tolerance_deg=1)


def test_what_cannot_be_ordered_or_correlated() -> None:
    with pytest.raises(CircuitError, match="reference 24 and step 15"):
        angles_by_rotation(KERNELS, ANGLES, reference=24)
    with pytest.raises(CircuitError, match="all the same"):
        harmonic_test(torch.ones(2, 2), [0, 90], [0, 90])
