import math

import numpy as np
import pytest
import torch

import reference
from draws import drawn, extent, generator, image, ks_distance
from featviz.transforms import Crops
from featviz.transforms.base import normal


def boxes(crops, steps, size=(20, 30), seed=0):
    """Sides and centres (x, y) in parts of the image: [steps, views] and [steps, views, 2]."""
    views = crops.views
    maps = crops.draw(extent(steps, views=views, size=size), generator=generator(seed))
    side = 1 / maps[:, 0, 0]
    assert torch.allclose(1 / maps[:, 1, 1], side)
    assert torch.equal(maps[:, 0, 1], maps[:, 1, 0])
    centre = 0.5 - maps[:, :2, 2] * side[:, None] / torch.tensor([size[1], size[0]])
    return side.view(steps, views), centre.view(steps, views, 2)


@pytest.mark.parametrize("size", [(16, 16), (11, 18)])
def test_shows_the_boxes(size):
    source = image(*size)
    transforms, moves = drawn("crops:3", 4, source, seed=5)
    seed = int(torch.randint(2**62, (), generator=generator(5)))
    sides, centres = boxes(transforms.steps[0], 4, size=size, seed=seed)
    for step in range(4):
        views = transforms.apply(source, moves[step])
        assert len(views) == 3
        for view in range(3):
            centre = tuple(centres[step, view].tolist())
            slow = reference.crop(source[0, 0].numpy(), centre, float(sides[step, view]))
            assert np.abs(views[view, 0].numpy() - slow).max() < 1e-5


def test_boxes_lie_inside_the_image():
    for crops in (Crops(8), Crops(8, first=1.0, last=0.7)):
        side, centre = boxes(crops, 500)
        assert (centre - side[..., None] / 2).min() > -1e-9
        assert (centre + side[..., None] / 2).max() < 1 + 1e-9
        assert side.min() >= 0.05 - 1e-9
        assert side.max() <= 1 + 1e-9


def test_sides_and_centres_are_normal():
    side, centre = boxes(Crops(20, first=0.3, last=0.3), 200)
    values = side.flatten()
    assert ks_distance(values, torch.special.ndtr((values - 0.3) / 0.05)) < 1.95
    # Boxes of the least side are moved in only from 0.475 / 0.15 standard deviations on.
    _, centre = boxes(Crops(20, first=0.05, last=0.05), 200)
    for axis in range(2):
        values = centre[..., axis].flatten()
        inner = values[(values - 0.5).abs() < 0.375]
        below, above = (torch.special.ndtr(torch.tensor(z)) for z in (-2.5, 2.5))
        share = (torch.special.ndtr((inner - 0.5) / 0.15) - below) / (above - below)
        assert ks_distance(inner, share) < 1.95
    x, y = centre.flatten(0, 1).T
    assert abs(torch.corrcoef(torch.stack([x, y]))[0, 1]) < 4 / math.sqrt(4000)


def test_half_of_the_boxes_of_the_least_mean_have_the_least_side():
    side, _ = boxes(Crops(20, first=0.05, last=0.05), 200)
    share = (side < 0.05 + 1e-9).double().mean().item()
    assert share == pytest.approx(0.5, abs=3 * 0.5 / math.sqrt(4000))


def test_the_mean_side_falls_linearly():
    side, _ = boxes(Crops(1000), 10)
    expected = torch.linspace(0.5, 0.05, 10, dtype=torch.float64)
    # Further than 3 standard deviations from the clipping
    assert torch.allclose(side.mean(1)[:7], expected[:7], atol=4 * 0.05 / math.sqrt(1000))


def test_the_schedule_is_stretched_over_the_steps():
    # The numbers behind it stay: the first step is the same, and so are centres of small boxes.
    few, few_centres = boxes(Crops(4), 5)
    many, many_centres = boxes(Crops(4), 50)
    assert torch.allclose(few[0], many[0])
    assert not torch.allclose(few[1:], many[1:5])
    unmoved = ((few_centres - 0.5).abs() < 0.2) & ((many_centres[:5] - 0.5).abs() < 0.2)
    assert unmoved[1:].any()
    assert torch.allclose(few_centres[unmoved], many_centres[:5][unmoved])
    assert boxes(Crops(4), 1)[0].shape == (1, 4)


def test_normal_numbers():
    values = normal(5000, 2, generator())
    for column in values.T:
        assert ks_distance(column, torch.special.ndtr(column)) < 1.95
    assert torch.equal(values[:7], normal(7, 2, generator()))
