import colorsys

import numpy as np
import pytest
import torch

import reference
from featviz.metrics import (
    clipped_share,
    high_frequency_share,
    mean_saturation,
    pixel_metrics,
    radial_spectrum,
    spectrum_slope,
)
from featviz.metrics.pixels import METRICS


def noise(power: float, h: int, w: int, *, seed: int = 0) -> torch.Tensor:
    """Synthesise an image [1, 3, h, w] with amplitude f ** power and random phases."""
    generator = torch.Generator().manual_seed(seed)
    # The phases of a real image, so that the inverse transform is real.
    phase = torch.fft.fft2(torch.randn(3, h, w, generator=generator, dtype=torch.float64)).angle()
    f = torch.hypot(
        torch.fft.fftfreq(h, dtype=torch.float64)[:, None], torch.fft.fftfreq(w).double()[None]
    )
    amplitude = f.clamp_min(1e-9) ** power
    amplitude[0, 0] = 0
    return torch.fft.ifft2(torch.polar(amplitude.expand(3, h, w), phase)).real[None]


@pytest.mark.parametrize(("h", "w"), [(128, 128), (97, 128), (224, 224)])
@pytest.mark.parametrize("power", [-2.0, -1.2, 0.0])
def test_slope_of_synthesised_noise(power, h, w):
    assert spectrum_slope(noise(power, h, w)).item() == pytest.approx(power, abs=0.01)


def test_slope_against_the_definition():
    image = torch.rand(1, 2, 18, 13, generator=torch.Generator().manual_seed(0))
    slow = reference.spectrum_slope(image[0].double().numpy(), 0.02, 0.35)
    assert spectrum_slope(image).item() == pytest.approx(slow, rel=1e-5)


def test_the_radial_spectrum_of_noise_of_a_known_spectrum():
    frequency, amplitude = radial_spectrum(noise(-1.2, 128, 128))
    line = amplitude[0].log() + 1.2 * frequency.log()
    assert line.std() < 0.01
    assert 0.02 <= frequency.min() < frequency.max() <= 0.35
    assert radial_spectrum(torch.full((1, 3, 32, 32), 0.5))[1].eq(0).all()


def test_brightness_and_contrast_do_not_change_the_spectrum():
    image = noise(-1.0, 64, 64)
    other = 0.4 + 0.3 * image
    assert spectrum_slope(other).item() == pytest.approx(spectrum_slope(image).item(), abs=1e-5)
    assert high_frequency_share(other).item() == pytest.approx(
        high_frequency_share(image).item(), abs=1e-6
    )


def test_high_frequency_share_of_two_waves():
    x = torch.arange(40.0)
    slow, fast = torch.cos(2 * torch.pi * 0.1 * x), torch.cos(2 * torch.pi * 0.3 * x)
    image = (0.5 + 0.2 * slow + 0.1 * fast).expand(1, 3, 40, 40)
    assert high_frequency_share(image).item() == pytest.approx(0.01 / (0.04 + 0.01), abs=1e-5)


def test_clipped_share():
    image = torch.full((1, 3, 4, 5), 0.5)
    image[0, 0, 0, 0] = 0.019
    image[0, 1, 0, 0] = 0.0  # the same pixel counts once
    image[0, 2, 3, 4] = 0.981
    image[0, 2, 2, 2] = 0.979
    assert clipped_share(image).item() == pytest.approx(2 / 20)


def test_saturation_against_colorsys():
    image = torch.rand(1, 3, 6, 7, generator=torch.Generator().manual_seed(0))
    image[0, :, 0, 0] = 0
    pixels = image[0].flatten(1).T.double().numpy()
    expected = np.mean([colorsys.rgb_to_hsv(*pixel)[1] for pixel in pixels])
    assert mean_saturation(image).item() == pytest.approx(expected, abs=1e-6)
    assert mean_saturation(image[:, :1]).item() == 0


def test_what_is_undefined_is_none():
    flat, broken = torch.full((3, 16, 16), 0.3), torch.full((3, 16, 16), torch.nan)
    first, second = pixel_metrics(torch.stack([flat, broken]))
    assert first == {"slope": None, "high": None, "clipped": 0.0, "saturation": 0.0}
    assert second == dict.fromkeys(METRICS)
    assert tuple(first) == METRICS
    assert pixel_metrics(torch.rand(1, 3, 1, 1))[0]["slope"] is None


def test_each_image_by_itself():
    images = torch.rand(3, 3, 20, 24, generator=torch.Generator().manual_seed(0))
    assert pixel_metrics(images) == [pixel_metrics(image[None])[0] for image in images]
