import numpy as np
import pytest
import torch

import reference
from featviz.errors import ConfigError
from featviz.params import PARAMETERISATIONS, Fourier, Pixels, parse_parameterisation
from featviz.params.fourier import frequency_scale

CPU = torch.device("cpu")
SIZES = [(8, 8), (7, 7), (6, 9), (9, 6), (5, 12)]


def generators(n, seed=0):
    return [torch.Generator().manual_seed(seed + k) for k in range(n)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("decay_power", [0.0, 1.0, 1.5])
def test_frequency_scale_is_lucids(size, decay_power):
    ours = frequency_scale(size, decay_power=decay_power).numpy() * np.sqrt(size[0] * size[1])
    # Lucid's sqrt(h w) belongs to the backward norm, ours is in the orthonormal one.
    assert np.allclose(ours, reference.lucid_frequency_scale(*size, decay_power), rtol=1e-12)


def test_frequency_scale_range_at_256_px():
    scale = frequency_scale((256, 256), decay_power=1.0)
    assert round((scale.max() / scale.min()).item()) == 181  # 256 / sqrt(2), published


@pytest.mark.parametrize("size", SIZES)
def test_image_is_lucids(size):
    images = Fourier(sd=1.0).start(channels=3, size=size, generators=generators(2), device=CPU)
    for spectrum, image in zip(images.spectrum.detach(), images().detach(), strict=True):
        slow = reference.lucid_image(torch.view_as_complex(spectrum.double()).numpy(), *size)
        assert image.shape == (3, *size)
        assert np.abs(image.numpy() - slow).max() < 2e-6


@pytest.mark.parametrize(
    ("size", "published"), [(64, 0.0094), (128, 0.0110), (224, 0.0114), (512, 0.0134)]
)
def test_start_contrast(size, published):
    # Spread before the sigmoid, after the colours: single draws in the published table, a closed
    # form here, and the mean over many draws of ours.
    shape = {"channels": 3, "size": (size, size), "device": CPU}
    images = Fourier().start(generators=generators(6_000_000 // size**2), **shape)()
    measured = torch.logit(images.detach().double()).square().mean().sqrt().item()
    assert measured == pytest.approx(start_contrast(size), rel=0.04)
    assert start_contrast(size) == pytest.approx(published, rel=0.12)


def start_contrast(size, sd=0.01):
    """Root mean square of the start image: the power of all its waves, through the colours."""
    scale = reference.lucid_frequency_scale(size, size) / size / 4
    power = np.full(scale.shape, 4.0)  # a wave and its conjugate: 2 * 2, real and imaginary: / 1
    power[:, [0, -1]] = 1.0  # these columns hold their own conjugates, half the parts drop out
    plane = (power * scale**2).sum() / size**2
    return sd * np.sqrt(plane * (reference.LUCID_COLOR**2).sum() / 3)


def test_start_values_have_the_sd_asked_for():
    images = Fourier(sd=0.3).start(channels=3, size=(64, 64), generators=generators(4), device=CPU)
    assert images.spectrum.std().item() == pytest.approx(0.3, rel=0.02)
    pixels = Pixels(sd=0.2).start(channels=3, size=(64, 64), generators=generators(4), device=CPU)
    assert pixels.pixels.std().item() == pytest.approx(0.2, rel=0.02)


def test_pixels_are_colours_through_a_sigmoid():
    images = Pixels(sd=1.0).start(channels=3, size=(3, 4), generators=generators(2), device=CPU)
    mixed = np.einsum("oc,bchw->bohw", reference.LUCID_COLOR, images.pixels.detach().numpy())
    assert np.abs(images().detach().numpy() - 1 / (1 + np.exp(-mixed))).max() < 2e-6


@pytest.mark.parametrize("kind", PARAMETERISATIONS.values())
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_only_rgb_is_decorrelated(kind, channels):
    shape = {"channels": channels, "size": (8, 6), "device": CPU}
    mixed = kind().start(generators=generators(1), **shape)().detach()
    plain = kind(decorrelate=False).start(generators=generators(1), **shape)().detach()
    assert mixed.shape == (1, channels, 8, 6)
    assert torch.equal(mixed, plain) == (channels != 3)


@pytest.mark.parametrize("kind", PARAMETERISATIONS.values())
def test_an_image_does_not_depend_on_its_neighbours(kind):
    shape = {"channels": 3, "size": (9, 7), "device": CPU}
    batch = kind().start(generators=generators(3), **shape)()
    for k in range(3):
        alone = kind().start(generators=generators(1, seed=k), **shape)()
        assert torch.equal(batch[k], alone[0])
    assert not torch.equal(batch[0], batch[1])


@pytest.mark.parametrize("kind", PARAMETERISATIONS.values())
def test_gradients(kind):
    images = (
        kind(sd=0.5).start(channels=3, size=(4, 5), generators=generators(1), device=CPU).double()
    )
    (parameter,) = images.parameters()
    name = next(name for name, _ in images.named_parameters())

    def image(value):
        return torch.func.functional_call(images, {name: value}, ())

    assert torch.autograd.gradcheck(image, (parameter.detach().requires_grad_(),))


@pytest.mark.parametrize(
    "text", ["fourier", "fourier:decay_power=1.5,decorrelate=false", "pixels:sd=0.05"]
)
def test_text_round_trip(text):
    param = parse_parameterisation(text)
    assert param.to_text() == text
    assert parse_parameterisation(param) is param


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fourrier", "unknown parameterisation 'fourrier'; did you mean 'fourier'"),
        ("fourier:decay=1", "unknown option 'decay' of 'fourier'; did you mean 'decay_power'"),
        ("fourier:sd=x", "sd must be a float, got 'x'"),
        ("fourier:sd=0", "sd must be above 0, got 0"),
        ("fourier:sd=nan", "sd must be above 0, got nan"),
        ("fourier:decay_power=9", "decay_power must be 0 to 4, got 9"),
        ("pixels:decorrelate=maybe", "decorrelate must be true or false, got 'maybe'"),
    ],
)
def test_bad_text(text, message):
    with pytest.raises(ConfigError, match=message):
        parse_parameterisation(text)


def test_no_channels():
    with pytest.raises(ConfigError, match="at least 1 channel"):
        Fourier().start(channels=0, size=(8, 8), generators=generators(1), device=CPU)
