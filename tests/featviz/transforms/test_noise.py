import math

import pytest
import torch

from draws import drawn, extent, generator, image
from featviz.transforms import Noise


def test_reads_the_plane_from_its_own_place():
    source = image(5, 7, channels=3, batch=2)
    transforms, moves = drawn("crops:2,noise:0.1", 3, source)
    plain, crops = drawn("crops:2", 3, source)
    noisy = transforms.apply(source, moves[2])
    base = plain.apply(source, crops[2])
    corners, banks = moves[2].numbers[0], moves[2].banks[0]
    assert banks.shape == (2, 10, 14)
    for row in range(4):
        for channel in range(3):
            y, x, sign = corners[row, channel].tolist()
            patch = banks[row // 2, y : y + 5, x : x + 7]
            assert torch.allclose(noisy[row, channel], base[row, channel] + sign * patch, atol=1e-6)


def test_is_normal_plus_uniform():
    # Closed form: the moments of N(0, sd) + U(-sd/2, sd/2) in units of sd.
    bank = Noise(0.08).draw(extent(1, size=(200, 300)), generator=generator()).bank.double() / 0.08
    n = bank.numel()
    variance, fourth = 1 + 1 / 12, 3 + 6 / 12 + 1 / 80
    assert abs(bank.mean()) < 4 * math.sqrt(variance / n)
    assert bank.var().item() == pytest.approx(variance, abs=4 * math.sqrt(2.5 / n))
    assert (bank**4).mean().item() == pytest.approx(fourth, abs=4 * math.sqrt(120 / n))


def test_places_and_signs_are_even():
    drawn_noise = Noise(1.0).draw(extent(3000, channels=2, size=(4, 5)), generator=generator())
    corners = drawn_noise.numbers.flatten(0, 1)
    for column, values in enumerate((range(4), range(5), (-1, 1))):
        counts = torch.stack([(corners[:, column] == value).sum() for value in values])
        assert counts.sum() == 6000
        expected = 6000 / len(values)
        assert (counts - expected).abs().max() < 4 * math.sqrt(expected)


def test_rows_and_channels_are_hardly_correlated():
    source = torch.zeros(1, 3, 64, 64)
    transforms, moves = drawn("noise:0.1", 4, source, seed=1)
    planes = torch.cat([transforms.apply(source, moves[k])[0].flatten(1) for k in range(4)])
    off_diagonal = torch.corrcoef(planes) - torch.eye(12)
    assert off_diagonal.abs().max() < 5 / 64


def test_gradient_is_that_of_the_image():
    source = image(4, 4, channels=2).requires_grad_()
    transforms, moves = drawn("noise:0.5", 1, source)
    transforms.apply(source, moves[0]).sum().backward()
    assert torch.equal(source.grad, torch.ones_like(source))
