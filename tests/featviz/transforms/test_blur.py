import kornia
import numpy as np
import pytest
import torch

import reference
from draws import drawn, extent, generator, image, ks_distance
from featviz.errors import ConfigError
from featviz.transforms import Blur


def test_is_a_gaussian_in_two_dimensions():
    source = image(9, 11)
    transforms, moves = drawn("blur:0.6..1.4", 2, source)
    for step in range(2):
        sd = float(moves.numbers[0][step, 0])
        slow = reference.blurred(source[0, 0].numpy(), sd, reach=5)
        ours = transforms.apply(source, moves[step])[0, 0].numpy()
        assert np.abs(ours - slow).max() < 1e-6


def test_kornia_agrees():
    source = image(20, 17, channels=3, batch=4)
    transforms, moves = drawn("blur:0.5..2", 3, source)
    sd = moves[2].numbers[0]
    assert len(set(sd.tolist())) == 4
    kernel = (13, 13)
    theirs = kornia.filters.gaussian_blur2d(
        source - 0.5, kernel, sd[:, None].repeat(1, 2), "constant"
    )
    assert torch.allclose(transforms.apply(source, moves[2]), theirs + 0.5, atol=1e-6)


def test_grey_stays_grey():
    source = torch.full((1, 1, 12, 12), 0.5)
    transforms, moves = drawn("blur:3", 1, source)
    assert torch.equal(transforms.apply(source, moves[0]), source)


def test_sds_are_uniform_or_chosen():
    values = Blur((0.5, 2.0), uniform=True).draw(extent(3000), generator=generator()).numbers
    assert ks_distance(values, (values - 0.5) / 1.5) < 1.95
    chosen = Blur((0.5, 2.0)).draw(extent(3000), generator=generator()).numbers
    assert sorted(set(chosen.tolist())) == [0.5, 2.0]


def test_no_sd():
    with pytest.raises(ConfigError, match="blur must be above 0 px, got"):
        Blur(())
