"""Random pictures behind transparent images."""

import numpy as np
import pytest
import torch

import reference
from featviz.backdrops import _GOLDEN, CONTRAST, Backdrops, _noise
from featviz.color import decorrelated_to_rgb_matrix

CPU = torch.device("cpu")
SEEDS = [7, 2**62 - 1, 0]


def drawn(steps, count, *, channels=3, size=(16, 16), first=0):
    generators = [torch.Generator().manual_seed(first + k) for k in range(count)]
    return Backdrops.draw(steps, channels=channels, size=size, generators=generators, device=CPU)


def slow_noise(seed, index):
    """Real and imaginary part, of the low and the high half: its two 16-bit halves added."""
    number = reference.splitmix64(seed, index)
    parts = [number >> at & 0xFFFF for at in (0, 16, 32, 48)]
    sd = ((2**32 - 1) / 6) ** 0.5
    return (parts[0] + parts[1] - 65535) / sd, (parts[2] + parts[3] - 65535) / sd


def test_the_reference_is_splitmix64():
    # Published first numbers of seed 1234567 (rosettacode.org, "Pseudo-random numbers/Splitmix64").
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    assert [reference.splitmix64(1234567, k) for k in range(3)] == published


@pytest.mark.parametrize("seed", SEEDS)
def test_noise_is_splitmix64(seed):
    counters = seed + torch.arange(1, 301) * _GOLDEN
    slow = torch.tensor([slow_noise(seed, k) for k in range(300)])
    assert torch.allclose(_noise(counters), slow, atol=1e-6)


def test_noise_has_mean_0_and_sd_1():
    numbers = _noise(3 + torch.arange(1, 200_001) * _GOLDEN).double()
    assert numbers.mean(0).abs().max() < 4 / 200_000**0.5
    # The fourth moment of a triangle of sd 1 is 2.4, so the variance of a square is 1.4.
    assert (numbers.square().mean(0) - 1).abs().max() < 4 * (1.4 / 200_000) ** 0.5
    assert abs(torch.corrcoef(numbers.T)[0, 1]) < 4 / 200_000**0.5


@pytest.mark.parametrize("size", [(6, 8), (7, 5)])
def test_pictures_are_noise_in_lucids_spectrum_and_colours(size):
    h, w = size
    shown = Backdrops(torch.tensor([SEEDS]), channels=3, size=size)[0]
    scale = reference.lucid_frequency_scale(h, w, 1.5)
    fields = []
    for seed in SEEDS:
        parts = np.array([slow_noise(seed, k) for k in range(3 * scale.size)])
        spectrum = (parts[:, 0] + 1j * parts[:, 1]).reshape(3, *scale.shape) * scale
        fields.append([reference.inverse_rfft2(plane, h, w) for plane in spectrum])
    waves = np.full(scale.shape, 4.0)
    waves[:, 0] = 1
    if w % 2 == 0:
        waves[:, -1] = 1
    gain = CONTRAST * (h * w) / np.sqrt((scale**2 * waves).sum())
    mixed = np.einsum("oc,bchw->bohw", reference.LUCID_COLOR, np.array(fields) * gain)
    assert np.abs(shown.numpy() - 1 / (1 + np.exp(-mixed))).max() < 1e-5


@pytest.mark.parametrize("size", [(16, 16), (9, 14), (40, 25)])
def test_the_contrast_is_the_same_at_every_size(size):
    backdrops = drawn(40, 8, size=size)
    logits = torch.stack([torch.logit(backdrops[k].double()) for k in range(40)])
    axes = torch.linalg.inv(decorrelated_to_rgb_matrix())
    spread = torch.einsum("oc,sbchw->sbohw", axes, logits).square().mean().sqrt()
    assert spread.item() == pytest.approx(CONTRAST, rel=0.05)
    grey = drawn(40, 8, channels=1, size=size)
    logits = torch.stack([torch.logit(grey[k].double()) for k in range(40)])
    assert logits.square().mean().sqrt().item() == pytest.approx(CONTRAST, rel=0.1)


def test_the_contrast_is_lucids_at_320_px():
    # sd 0.2, and the division by 4 that follows Lucid's inverse FFT.
    scale = reference.lucid_frequency_scale(320, 320, 1.5) * 0.2 / 4
    waves = np.full(scale.shape, 4.0)
    waves[:, 0] = waves[:, -1] = 1
    assert np.sqrt((scale**2 * waves).sum()) / 320**2 == pytest.approx(CONTRAST, abs=1e-3)


def test_an_image_has_the_same_backdrops_in_every_batch_and_for_any_number_of_steps():
    many, alone = drawn(9, 4), drawn(3, 1, first=2)
    for step in range(3):
        assert torch.equal(many[step][2], alone[step][0])
        assert torch.equal(many[step], many[step])


def test_no_two_backdrops_are_alike():
    backdrops = drawn(6, 4, size=(8, 8))
    planes = torch.cat([backdrops[step].flatten(0, 1) for step in range(6)]).flatten(1)
    apart = torch.cdist(planes, planes) + torch.eye(len(planes)) * 100
    assert apart.min() > 0.5
