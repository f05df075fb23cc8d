import numpy as np
import pytest
import torch

import reference
from featviz.errors import ConfigError
from featviz.params import (
    PARAMETERISATIONS,
    Cppn,
    Fourier,
    Maco,
    Pixels,
    Pyramid,
    Shared,
    parse_parameterisation,
)
from featviz.params.cppn import coordinates
from featviz.params.fourier import frequency_scale
from featviz.params.pyramid import level_sizes

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


@pytest.mark.parametrize("kind", [Fourier, Pixels, Pyramid, Shared])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_only_rgb_is_decorrelated(kind, channels):
    shape = {"channels": channels, "size": (8, 6), "device": CPU}
    mixed = kind().start(generators=generators(1), **shape)().detach()
    plain = kind(decorrelate=False).start(generators=generators(1), **shape)().detach()
    assert mixed.shape == (1, channels, 8, 6)
    assert torch.equal(mixed, plain) == (channels != 3)


@pytest.mark.parametrize("kind", PARAMETERISATIONS.values())
@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("size", [(1, 1), (7, 7), (6, 9), (5, 12), (16, 3)])
def test_images_have_exactly_the_size(kind, channels, size):
    shape = {"channels": channels, "size": size, "device": CPU}
    images = kind().start(generators=generators(2), **shape)().detach()
    assert images.shape == (2, channels, *size)
    assert images.dtype == torch.float32
    assert ((images > 0) & (images < 1)).all()


INDEPENDENT = [kind for kind in PARAMETERISATIONS.values() if not kind.joint]


@pytest.mark.parametrize("kind", INDEPENDENT)
def test_an_image_does_not_depend_on_its_neighbours(kind):
    # Three steps towards a target and not only the start, which is grey for some.
    target = torch.rand(3, 9, 7, generator=torch.Generator().manual_seed(1))

    def climbed(seeds):
        drawn = [torch.Generator().manual_seed(seed) for seed in seeds]
        images = kind().start(channels=3, size=(9, 7), generators=drawn, device=CPU)
        adam = torch.optim.Adam(images.parameters(), lr=kind.learning_rate)
        for _ in range(3):
            adam.zero_grad()
            (images() - target).square().sum().backward()
            adam.step()
        return images().detach()

    batch = climbed([0, 1, 2])
    for k in range(3):
        assert torch.allclose(batch[k], climbed([k])[0], atol=1e-6)
    assert (batch[0] - batch[1]).abs().max() > 1e-4
    assert torch.equal(batch, climbed([0, 1, 2]))


@pytest.mark.parametrize("kind", PARAMETERISATIONS.values())
@pytest.mark.parametrize("channels", [1, 3])
def test_gradients(kind, channels):
    small = {"layers": 2, "units": 3} if kind is Cppn else {}
    images = kind(**small).start(
        channels=channels, size=(4, 5), generators=generators(2), device=CPU
    )
    images = images.double()
    generator = torch.Generator().manual_seed(3)
    names = [name for name, _ in images.named_parameters()]
    values = tuple(
        (p.detach() + 0.5 * torch.randn(p.shape, generator=generator)).requires_grad_()
        for p in images.parameters()
    )

    def image(*given):
        return torch.func.functional_call(images, dict(zip(names, given, strict=True)), ())

    assert torch.autograd.gradcheck(image, values)


ABLE = [Fourier, Maco, Pixels, Pyramid]


@pytest.mark.parametrize("kind", ABLE)
@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("size", [(1, 1), (8, 8), (7, 7), (6, 9), (33, 20)])
def test_start_from_gives_the_images_back(kind, channels, size):
    given = torch.rand(3, channels, *size, generator=torch.Generator().manual_seed(0))
    given[0], given[1, :, 0, 0] = 0.3, 1.0
    back = kind().start_from(given, device=CPU)()
    assert torch.allclose(back, given.clamp(0.01, 0.99), atol=1e-5)


@pytest.mark.parametrize("kind", ABLE)
def test_started_images_can_be_optimised(kind):
    given = torch.rand(2, 3, 9, 8, generator=torch.Generator().manual_seed(0)) * 0.8 + 0.1
    images = kind().start_from(given, device=CPU)
    ((images() - 0.5).square().sum()).backward()
    assert all(p.grad.isfinite().all() and p.grad.any() for p in images.parameters())


@pytest.mark.parametrize("kind", [Cppn, Shared])
def test_those_that_cannot_start_from_images_say_who_can(kind):
    message = f"'{kind.name}' cannot start from .* one of fourier, maco, pixels, pyramid"
    with pytest.raises(ConfigError, match=message):
        kind().start_from(torch.rand(1, 3, 8, 8), device=CPU)


@pytest.mark.parametrize("kind", ABLE)
@pytest.mark.parametrize(
    ("value", "said"), [(1.5, r"\.\.1\.5"), (-1.0, r"-1\.\."), (torch.nan, "nan")]
)
def test_start_images_out_of_range(kind, value, said):
    given = torch.full((1, 3, 8, 8), 0.5)
    given[0, 0, 0, 0] = value
    with pytest.raises(ConfigError, match=f"start images must lie in 0..1, got .*{said}"):
        kind().start_from(given, device=CPU)


def test_pyramid_levels_are_halves():
    assert level_sizes((7, 12), 4) == [(7, 12), (3, 6), (1, 3), (1, 1)]


@pytest.mark.parametrize("size", SIZES)
def test_pyramid_is_lucids(size):
    images = Pyramid(sd=1.0).start(channels=3, size=size, generators=generators(2), device=CPU)
    for k, image in enumerate(images().detach()):
        slow = reference.lucid_pyramid([p.detach()[k].double().numpy() for p in images.levels])
        assert np.abs(image.numpy() - slow).max() < 2e-6


def test_pyramid_of_an_image_has_its_coarse_shape_in_the_coarse_levels():
    ramp = torch.linspace(0.2, 0.8, 32).expand(1, 3, 32, 32)
    images = Pyramid(decorrelate=False).start_from(ramp, device=CPU)
    means = torch.logit(ramp).unflatten(3, (4, 8)).mean(4)[:, :, ::8]
    assert torch.allclose(images.levels[3], means, atol=1e-6)
    assert images.levels[0].abs().mean() < 0.05 * images.levels[3].abs().mean()


def test_shared_images_are_spectra_and_common_pixels():
    param = Shared(sd=1.0, levels=3)
    images = param.start(channels=3, size=(6, 9), generators=generators(2), device=CPU)
    levels = [p.detach().double().numpy()[0] for p in images.shared]
    common = np.einsum(
        "oc,chw->ohw", reference.LUCID_COLOR, sum(reference.enlarged(x, 6, 9) for x in levels)
    )
    for spectrum, image in zip(images.own.spectrum.detach(), images().detach(), strict=True):
        alone = reference.lucid_image(torch.view_as_complex(spectrum.double()).numpy(), 6, 9)
        slow = 1 / (1 + np.exp(-np.log(alone / (1 - alone)) - common))
        assert np.abs(image.numpy() - slow).max() < 3e-6


def test_shared_parts_get_the_gradient_of_all_and_do_not_depend_on_the_order():
    shape = {"channels": 3, "size": (8, 8), "device": CPU}
    images = Shared().start(generators=generators(3), **shape)
    images()[0].sum().backward()
    assert all(p.grad.any() for p in images.shared)
    assert not images.own.spectrum.grad[1:].any()
    turned = Shared().start(generators=generators(3)[::-1], **shape)
    assert torch.allclose(turned().flip(0), images(), atol=1e-6)
    many = Shared(sd=0.3).start(channels=3, size=(64, 64), generators=generators(5), device=CPU)
    assert many.shared[0].std().item() == pytest.approx(0.3, rel=0.02)


def test_cppn_is_lucids():
    for size in ((6, 6), (5, 8), (9, 4)):
        images = Cppn(layers=3, units=5).start(
            channels=3, size=size, generators=generators(2), device=CPU
        )
        for k, image in enumerate(images().detach()):
            weights = [p.detach()[k].double().numpy() for p in images.weights]
            biases = [p.detach()[k].double().numpy() for p in images.biases]
            assert np.abs(image.numpy() - reference.cppn_image(weights, biases, *size)).max() < 2e-6


def test_cppn_starts_as_lucids_but_for_the_last_layer():
    images = Cppn().start(channels=3, size=(9, 9), generators=generators(64), device=CPU)
    assert [tuple(p.shape[1:]) for p in images.weights] == [(24, 2), *[(24, 48)] * 7, (3, 48)]
    assert images.weights[3].std().item() == pytest.approx(48**-0.5, rel=0.02)
    assert images.biases[3].std().item() == pytest.approx(0.1, rel=0.05)
    assert images.weights[-1].std().item() == pytest.approx(0.3 * 48**-0.5, rel=0.05)
    assert not images.biases[-1].any()
    grey = Cppn(last_sd=0).start(channels=3, size=(9, 9), generators=generators(2), device=CPU)
    assert (grey() == 0.5).all()
    assert coordinates((9, 9)).abs().max().item() == pytest.approx(3**0.5)
    assert coordinates((3, 9))[1].abs().max().item() == pytest.approx(3**0.5 / 4)


@pytest.mark.parametrize("size", [(8, 8), (7, 7), (6, 9)])
def test_maco_is_that_of_the_paper(size):
    images = Maco().start(channels=3, size=size, generators=generators(2), device=CPU)
    magnitude = images.magnitude[0].double().numpy()
    for phase, image in zip(images.phase.detach(), images().detach(), strict=True):
        slow = reference.maco_image(phase.double().numpy(), magnitude, reference.LUCID_COLOR, *size)
        assert np.abs(image.numpy() - slow).max() < 3e-6


def test_maco_keeps_the_magnitudes_whatever_the_phases():
    images = Maco().start(channels=3, size=(32, 32), generators=generators(2), device=CPU)
    found = []
    for _ in range(2):
        x = torch.einsum(
            "oc,bchw->bohw", torch.linalg.inv(images.matrix), torch.logit(images().detach())
        )
        # Columns 0 and Nyquist hold conjugate pairs, of which an inverse real FFT takes means.
        found.append(torch.fft.rfft2(x)[..., 1:-1].abs() / images.magnitude[..., 1:-1])
        with torch.no_grad():
            images.phase.add_(torch.randn(images.phase.shape, generator=generators(1)[0]) * 3)
    for ratio in found:
        level = ratio.mean((1, 2, 3), keepdim=True)
        assert torch.allclose(ratio / level, torch.ones_like(ratio), atol=1e-3)


@pytest.mark.parametrize(
    "text",
    [
        "fourier",
        "fourier:decay_power=1.5,decorrelate=false",
        "pixels:sd=0.05",
        "pyramid:levels=6",
        "cppn:layers=3,units=12",
        "maco",
        "shared:levels=2,sd=0.1",
    ],
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
        ("fourier:sd=x", "sd must be a number, got 'x'"),
        ("fourier:sd=0", "sd must be above 0, got 0"),
        ("fourier:sd=nan", "sd must be above 0, got nan"),
        ("fourier:decay_power=9", "decay_power must be 0 to 4, got 9"),
        ("pyramid:levels=0", "pyramid: levels must be 1 to 16, got 0"),
        ("fourier:sd=1,sd=2", "fourier: sd is set twice in 'sd=1,sd=2'; leave one out"),
        ("pyramid:levels=2.5", "pyramid: levels must be a whole number, got '2.5'"),
        ("shared:levels=17", "shared: levels must be 1 to 16, got 17"),
        ("shared:decay_power=-1", "shared: decay_power must be 0 to 4, got -1"),
        ("cppn:layers=0", "cppn: layers must be above 0, got 0"),
        ("cppn:units=-2", "cppn: units must be above 0, got -2"),
        ("cppn:bias_sd=-1", "cppn: bias_sd must be 0 or more, got -1"),
        ("cppn:last_sd=inf", "cppn: last_sd must be 0 or more, got inf"),
        ("maco:spectrum=no.npz", "no spectrum file 'no.npz'; featviz spectrum PHOTOGRAPHS -o"),
        ("fourier:colors=no.npz", "no spectrum file 'no.npz'"),
        ("pixels:colors=a.npz,decorrelate=false", "colors=a.npz has no effect with decorrelate"),
        ("pixels:decorrelate=maybe", "decorrelate must be true or false, got 'maybe'"),
    ],
)
def test_bad_text(text, message):
    with pytest.raises(ConfigError, match=message):
        parse_parameterisation(text)


@pytest.mark.parametrize("kind", PARAMETERISATIONS.values())
def test_no_channels(kind):
    with pytest.raises(ConfigError, match="at least 1 channel"):
        kind().start(channels=0, size=(8, 8), generators=generators(1), device=CPU)
