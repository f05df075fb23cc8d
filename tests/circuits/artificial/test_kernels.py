"""The formulas of the hand-built network: sums and symmetries from the reference, slow copies."""

import math

import numpy as np
import pytest

from circuits.artificial import kernels as curve_kernels


def test_kernel_sums_by_difference_of_orientation() -> None:
    sums = curve_kernels.arcs()[:, :24].sum((2, 3))
    found = [[sums[(i + offset) % 24, i] for i in range(24)] for offset in range(13)]
    means = [6.29, 5.40, 3.37, 1.47, 0.40, 0.06, 0, -0.06, -0.47, -1.74, -4.06, -6.52, -7.56]
    assert np.mean(found, axis=1) == pytest.approx(means, abs=0.006)
    assert max(np.std(found, axis=1)) <= 0.36


def test_a_turn_of_90_degrees_is_six_curves_further() -> None:
    kernels = curve_kernels.arcs()[:, :24]
    for i in range(24):
        for j in range(24):
            kernel = kernels[j, i]
            # To the last bit: rounding takes away what the sine of another angle adds.
            assert (kernels[(j + 6) % 24, (i + 6) % 24] == np.rot90(kernel, -1)).all()
            assert (kernels[-j % 24, -i % 24] == np.flipud(kernel)).all()
            assert (kernels[(12 - j) % 24, (12 - i) % 24] == np.fliplr(kernel)).all()
            assert (kernels[(6 - j) % 24, (6 - i) % 24] == kernel.T).all()


def test_lines_turn_nine_further_and_early_curves_with_them() -> None:
    lines, early = curve_kernels.lines(), curve_kernels.early_curves()
    for i in range(18):
        for j in range(18):
            assert (lines[(j + 9) % 18, (i + 9) % 18] == np.rot90(lines[j, i], -1)).all()
        for u in range(24):
            assert (early[(u + 6) % 24, (i + 9) % 18] == np.rot90(early[u, i], -1)).all()


def test_one_arc_kernel_against_the_formula_written_out() -> None:
    source, target = 4, 7
    theta = math.radians(180 - 15 * target)
    cx, cy = 7 * math.cos(theta), 7 * math.sin(theta)
    for row in range(5):
        for column in range(5):
            x, y = column - 2, 2 - row
            s = math.hypot(x - cx, y - cy) - 7
            g = 1.1 * math.exp(-s * s / (2 * 0.65**2)) - 0.1
            angle = math.radians(180 - 15 * source) - math.atan2(cy - y, cx - x)
            excite = g * max(math.cos(angle), 0) ** 6
            inhibit = 1.1 * max(g, 0) * max(-math.cos(angle), 0) ** 6
            expected = min(1, max(-1, excite - inhibit))
            found = curve_kernels.arcs()[target, source, row, column]
            assert found == pytest.approx(expected, abs=1e-11)


def test_gabors_see_nothing_in_flat_grey_and_most_in_their_own_grating() -> None:
    kernels = curve_kernels.gabors()[:, 0]
    assert np.abs(kernels.sum((1, 2))).max() < 1e-10
    assert np.abs(kernels).sum((1, 2)) == pytest.approx(np.ones(72))
    x, y = np.meshgrid(np.arange(7) - 3, 3 - np.arange(7))
    best = []
    for line in curve_kernels.LINE_DEG:
        normal = math.radians(line + 90)
        wave = np.cos(2 * np.pi * 0.286 * (x * math.cos(normal) + y * math.sin(normal)))
        best.append(int((kernels * wave).sum((1, 2)).argmax()))
    assert best == [4 * j for j in range(18)]


def test_early_lines_give_the_arcs_nothing() -> None:
    assert (curve_kernels.arcs()[:, 24:] == 0).all()
    assert curve_kernels.phases()[3, 12:16, 0, 0] == pytest.approx([1 - 0.5 / 18] * 4)
    assert curve_kernels.phases()[3, 16, 0, 0] == pytest.approx(-0.5 / 18)
