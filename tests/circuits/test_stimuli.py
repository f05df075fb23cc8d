"""Stimuli against slow pictures: every pixel the mean of many points, each in or out."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from circuits import stimuli
from circuits.stimuli import Ink
from featviz.errors import CircuitError

Inside = Callable[[np.ndarray, np.ndarray], np.ndarray]
POINTS = 16  # a side of each pixel
INK = Ink(paper=0.9, value=0.1, width_px=1.5)


def slow_picture(inside: Inside, size: tuple[int, int], ink: Ink = INK) -> np.ndarray:
    """Paint what share of the points of each pixel is inside; y up, the origin in the middle."""
    h, w = size
    sub = (np.arange(POINTS) + 0.5) / POINTS
    picture = np.empty(size)
    for row in range(h):
        for column in range(w):
            x = (column + sub - w / 2)[None, :]
            y = (h / 2 - row - sub)[:, None]
            picture[row, column] = np.mean(inside(x + 0 * y, y + 0 * x))
    return ink.paper + (ink.value - ink.paper) * picture


def check(found: Tensor, inside: Inside, *, ink: Ink = INK) -> None:
    assert found.shape[:2] == (1, 3)
    assert torch.equal(found[:, 0], found[:, 2])
    slow = slow_picture(inside, (found.shape[2], found.shape[3]), ink)
    difference = np.abs(found[0, 0].double().numpy() - slow)
    # Points are counted, so a share is only known to about 1/16 of an edge's length.
    assert difference.max() < 0.06
    assert difference.mean() < 0.003
    assert np.ptp(slow) > 0.5


def arc(theta: float, radius: float, width: float, half: float = math.inf) -> Inside:
    towards = math.radians(180 - theta)
    cx, cy = radius * math.cos(towards), radius * math.sin(towards)

    def inside(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        far = np.hypot(x - cx, y - cy)
        turned = (np.arctan2(y - cy, x - cx) - towards - math.pi + math.pi) % (2 * math.pi)
        along = np.abs(turned - math.pi) * radius
        return (np.abs(far - radius) < width / 2) & (along < half)

    return inside


def row(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)


@pytest.mark.parametrize("angle", [0.0, 33.0, 90.0, 217.0])
@pytest.mark.parametrize("size", [(24, 24), (21, 30)])
def test_arcs(angle: float, size: tuple[int, int]) -> None:
    found = stimuli.arcs(row(angle), size=size, radius_px=7.0, half_length_px=8.0, ink=INK)
    check(found, arc(angle, 7.0, 1.5, 8.0))
    found = stimuli.circles(row(angle), size=size, radius_px=9.0, ink=INK)
    check(found, arc(angle, 9.0, 1.5))


def test_arcs_of_infinite_radius_are_lines() -> None:
    angle = row(0, 20, 135)
    flat = stimuli.arcs(angle, size=(20, 20), radius_px=math.inf, half_length_px=7.0)
    # The tangent of a curve of the orientation a runs along 90 - a.
    straight = stimuli.lines(90 - angle, size=(20, 20), half_length_px=7.0)
    assert torch.allclose(flat, straight, atol=1e-5)
    nearly = stimuli.arcs(angle, size=(20, 20), radius_px=1e6, half_length_px=7.0)
    assert torch.allclose(nearly, straight, atol=1e-3)


@pytest.mark.parametrize("angle", [0.0, 28.0, 90.0, 151.0])
def test_lines(angle: float) -> None:
    direction = math.radians(angle)

    def inside(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        beside = y * math.cos(direction) - x * math.sin(direction) - 2
        along = x * math.cos(direction) + y * math.sin(direction)
        return (np.abs(beside) < 1.25) & (np.abs(along) < 8)

    found = stimuli.lines(
        row(angle), size=(22, 25), width_px=2.5, offset_px=2.0, half_length_px=8.0, ink=INK
    )
    check(found, inside)


@pytest.mark.parametrize("radius", [3.0, 8.5])
def test_rings(radius: float) -> None:
    found = stimuli.rings(row(radius), size=(23, 24), ink=INK)
    check(found, lambda x, y: np.abs(np.hypot(x, y) - radius) < 0.75)


def wedge(theta: float, opening: float, radius: float) -> Inside:
    """Inside of a corner with its (round) tip in the middle: two half planes, less the tip."""
    towards, half = math.radians(180 - theta), math.radians(opening / 2)

    def inside(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        deep = x * math.cos(towards) + y * math.sin(towards)
        side = np.abs(y * math.cos(towards) - x * math.sin(towards))
        vertex = radius - radius / math.sin(half)
        between = side * math.cos(half) < (deep - vertex) * math.sin(half)
        touch = radius - radius * math.sin(half)  # where the legs leave the arc
        cut = (deep < touch) & (np.hypot(deep - radius, side) > radius)
        return between & ~cut

    return inside


@pytest.mark.parametrize(
    ("angle", "opening", "radius"),
    [(0.0, 90.0, 0.0), (20.0, 60.0, 3.0), (133.0, 120.0, 4.0), (45.0, 180.0, 0.0)],
)
def test_corners(angle: float, opening: float, radius: float) -> None:
    found = stimuli.corners(
        row(angle), size=(22, 22), opening_deg=opening, radius_px=radius, ink=INK
    )
    # The one pixel of a sharp tip is painted as if it were an edge.
    tip = slice(9, 13)
    slow = slow_picture(wedge(angle, opening, radius), (22, 22))
    difference = np.abs(found[0, 0].double().numpy() - slow)
    assert difference[tip, tip].max() < 0.25
    difference[tip, tip] = 0
    assert difference.max() < 0.06
    assert difference.mean() < 0.003


def test_edges_have_ink_where_curves_have_their_centre() -> None:
    left, top = stimuli.edges(row(0, 90), size=(10, 10), ink=INK)
    assert (left[0, :, :5].max().item(), left[0, :, 5:].min().item()) == pytest.approx(
        (0.1, 0.9), abs=1e-3
    )
    assert (top[0, :5].max().item(), top[0, 5:].min().item()) == pytest.approx((0.1, 0.9), abs=1e-3)


@pytest.mark.parametrize("radius", [0.0, 4.0])
def test_angles_are_the_outline_of_corners(radius: float) -> None:
    found = stimuli.angles(row(70), size=(20, 20), radius_px=radius, half_length_px=10.0, ink=INK)
    width, towards = 1.5, math.radians(110)

    def distance(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        # To many points of the outline, found leg by leg.
        steps = np.linspace(0, 10, 150)
        bend = radius * math.pi / 4
        round_part = np.minimum(steps, bend)
        phase = round_part / radius if radius else np.zeros_like(steps)
        deep = radius - radius * np.cos(phase) + (steps - round_part) * math.cos(math.pi / 4)
        side = radius * np.sin(phase) + (steps - round_part) * math.sin(math.pi / 4)
        nearest = np.full(x.shape, np.inf)
        for sign in (-1, 1):
            px = deep * math.cos(towards) - sign * side * math.sin(towards)
            py = deep * math.sin(towards) + sign * side * math.cos(towards)
            far = np.hypot(x[..., None] - px, y[..., None] - py).min(-1)
            nearest = np.minimum(nearest, far)
        return nearest

    slow = slow_picture(lambda x, y: distance(x, y) < width / 2, (20, 20))
    difference = np.abs(found[0, 0].double().numpy() - slow)
    # The ends are cut straight here and round in the slow picture; a sharp tip is as above.
    y, x = np.mgrid[9.5:-10:-1, -9.5:10]
    difference[np.hypot(x, y) > 8] = 0
    assert (difference > 0.06).sum() <= 2
    assert difference.max() < 0.25
    assert np.ptp(slow) > 0.5


@pytest.mark.parametrize("phase", [0.0, 90.0])
def test_gratings_are_means_over_pixels(phase: float) -> None:
    found = stimuli.gratings(row(35), size=(12, 14), wavelength_px=3.5, phase_deg=phase)
    normal = math.radians(125)
    sub = (np.arange(POINTS) + 0.5) / POINTS
    for r in range(12):
        for c in range(14):
            x, y = (c + sub - 7)[None, :], (6 - r - sub)[:, None]
            across = x * math.cos(normal) + y * math.sin(normal)
            wave = np.cos(2 * math.pi * across / 3.5 + math.radians(phase))
            expected = np.mean(0.5 + 0.5 * wave)
            assert found[0, 1, r, c].item() == pytest.approx(expected, abs=3e-3)


def test_high_low_is_one_grating_on_each_side() -> None:
    found = stimuli.high_low(row(0, 90), size=(32, 32), high_px=4.0, ratio=4.0)
    high = stimuli.gratings(row(90, 0), size=(32, 32), wavelength_px=4.0)
    low = stimuli.gratings(row(90, 0), size=(32, 32), wavelength_px=16.0)
    assert torch.allclose(found[0, :, :, :16], high[0, :, :, :16], atol=2e-3)
    assert torch.allclose(found[0, :, :, 16:], low[0, :, :, 16:], atol=2e-3)
    assert torch.allclose(found[1, :, :16], high[1, :, :16], atol=2e-3)
    assert torch.allclose(found[1, :, 16:], low[1, :, 16:], atol=2e-3)


def test_stripes_of_high_low_may_run_across_the_boundary() -> None:
    found = stimuli.high_low(row(0), size=(32, 32), high_px=4.0, ratio=4.0, stripes_deg=90.0)
    high = stimuli.gratings(row(180), size=(32, 32), wavelength_px=4.0)
    low = stimuli.gratings(row(180), size=(32, 32), wavelength_px=16.0)
    assert torch.allclose(found[0, :, :, :16], high[0, :, :, :16], atol=2e-3)
    assert torch.allclose(found[0, :, :, 16:], low[0, :, :, 16:], atol=2e-3)


def test_color_pairs_are_opposite_hues() -> None:
    found = stimuli.color_pairs(row(0, 0), size=(8, 8), hue_deg=row(0, 90), value=1.0)
    assert found[0, :, 0, 0].tolist() == pytest.approx([1, 0, 0], abs=1e-4)
    assert found[0, :, 0, 7].tolist() == pytest.approx([0, 1, 1], abs=1e-4)
    assert found[1, :, 0, 0].tolist() == pytest.approx([0.5, 1, 0], abs=1e-4)
    assert found[1, :, 0, 7].tolist() == pytest.approx([0.5, 0, 1], abs=1e-4)


@pytest.mark.parametrize("name", stimuli.FAMILIES)
def test_turning_the_picture_turns_the_orientation(name: str) -> None:
    grid = stimuli.grid(name, size=(32, 32), scale_px=24.0, angles=36)
    images = grid.images().view(36, len(grid.levels), 3, 32, 32)
    clockwise = torch.rot90(images, -1, (3, 4))
    # 90 degrees more for what has sides, 90 degrees less for lines: the same after 180.
    steps = round(90 / (grid.family.period_deg / 36))
    turned = images.roll(-steps if grid.family.period_deg == 360 else steps, 0)
    assert torch.allclose(clockwise, turned, atol=2e-4)
    assert not torch.allclose(clockwise, images, atol=0.05)


@pytest.mark.parametrize("name", stimuli.FAMILIES)
def test_grids_know_their_parameters_and_draw_any_part(name: str) -> None:
    grid = stimuli.grid(name, size=(15, 20), scale_px=15.0, angles=6)
    whole = grid.images()
    assert whole.shape == (len(grid), 3, 15, 20)
    assert whole.min() >= -1e-5
    assert whole.max() <= 1 + 1e-5
    assert torch.equal(whole[4:6], grid.images(slice(4, 6)))
    levels = len(grid.levels)
    angle, level = grid.parameters.values()
    assert list(grid.parameters) == ["angle_deg", grid.family.level]
    assert angle[levels].item() == grid.family.period_deg / 6
    assert torch.equal(level[:levels], grid.levels)


def test_the_two_published_curve_stimuli() -> None:
    article = stimuli.circles(row(0), size=(60, 60), radius_px=29.9, ink=stimuli.ARTICLE_INK)
    check(article, arc(0, 29.9, 1.4), ink=stimuli.ARTICLE_INK)
    reference = stimuli.arcs(row(90), size=(96, 96), radius_px=28.0, half_length_px=28.0)
    # As the network sees it: background 0, line -.76.
    assert reference.max().item() - 1 == pytest.approx(0, abs=1e-5)
    assert reference.min().item() - 1 == pytest.approx(-0.76, abs=1e-5)
    check(reference, arc(90, 28.0, 1.5, 28.0), ink=Ink())


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: stimuli.arcs(row(0), size=(8, 8), radius_px=0.0), "radius_px must be above 0"),
        (lambda: stimuli.arcs(row(0), size=(8, 8), radius_px=-2.0), "radius_px must be above 0"),
        (lambda: stimuli.arcs(row(0), size=(0, 8), radius_px=2.0), "one pixel, got 0x8"),
        (lambda: stimuli.angles(row(0), size=(8, 8), opening_deg=190.0), "at most 180"),
        (lambda: stimuli.corners(row(0), size=(8, 8), radius_px=-1.0), "of a tip must be 0 or"),
        (lambda: stimuli.gratings(row(0), size=(8, 8), wavelength_px=1.0), "must be 2 or more"),
        (
            lambda: stimuli.gratings(row(0), size=(8, 8), wavelength_px=4.0, contrast=2.0),
            "contrast must be from 0 to 1, got 2",
        ),
        (
            lambda: stimuli.high_low(row(0), size=(8, 8), high_px=4.0, ratio=0.5),
            "ratio must be 1 or more",
        ),
        (lambda: Ink(paper=2.0), "values from 0 to 1, got 2"),
        (lambda: Ink(width_px=0.0), "width_px must be above 0, at most 1e.06, got 0"),
        (lambda: Ink(width_px=1e9), "width_px must be above 0, at most 1e.06, got 1e.09"),
        (lambda: stimuli.arcs(row(0), size=(8, 8), radius_px=1e30), "at most 1e.06, or infinity"),
        (lambda: stimuli.grid("curv", size=(8, 8), scale_px=8.0), "did you mean 'curve'"),
        (lambda: stimuli.grid("curve", size=(8, 8), scale_px=8.0, angles=3), "4 or more, got 3"),
        (lambda: stimuli.grid("curve", size=(8, 8), scale_px=8.0, angles=10**8), "3600 or fewer"),
        (
            lambda: stimuli.grid("line", size=(8, 8), scale_px=8.0, levels=[2] * 101),
            "100 values of",
        ),
        (
            lambda: stimuli.grid("curve", size=(8, 9), scale_px=8.0, ink=Ink(width_px=9.5)),
            "strokes of 9.5 px are wider than the 8x9 px of the image; choose thinner",
        ),
        (
            lambda: stimuli.grid("curve", size=(8, 8), scale_px=8.0, ink=Ink(value=1)),
            "are blank on",
        ),
        (
            lambda: stimuli.grid("line", size=(8, 8), scale_px=8.0, levels=(1.5, 40)),
            "line stimuli of width_px 40 are blank on 8x8 px",
        ),
        (
            lambda: stimuli.grid("grating", size=(8, 8), scale_px=8.0, levels=[1e30]),
            "are blank on 8x8 px; let them fit",
        ),
        (lambda: stimuli.grid("color_pair", size=(8, 8), scale_px=8.0, ink=Ink(paper=0)), "blank"),
        (lambda: stimuli.grid("curve", size=(8, 8), scale_px=0.0), "scale_px must be above 0"),
        (lambda: stimuli.grid("curve", size=(8, 8), scale_px=8.0, levels=()), "one value of rad"),
    ],
)
def test_what_cannot_be_drawn(make: Callable[[], object], said: str) -> None:
    with pytest.raises(CircuitError, match=said):
        make()
