import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import reference
from featviz.cli import run
from featviz.color import decorrelated_to_rgb_matrix
from featviz.errors import ConfigError, OutputError, PictureError
from featviz.natural_spectrum import list_images, measure_spectrum, resample_magnitude
from featviz.params import Fourier, parse_parameterisation
from featviz.spectrum_files import default_spectrum, read_spectrum, save_spectrum

CPU = torch.device("cpu")


def photograph(path, size=(8, 8), seed=0, slope=1.0):
    """Write coloured noise with a power law, and return its pixels 0..1, [3, h, w]."""
    generator = np.random.default_rng(seed)
    h, w = size
    f = np.hypot(np.fft.fftfreq(h)[:, None], np.fft.rfftfreq(w)[None])
    f[0, 0] = 1
    phase = generator.uniform(0, 2 * np.pi, (3, *f.shape))
    planes = np.fft.irfft2(f**-slope * np.exp(1j * phase), s=size)
    mixed = np.einsum("oc,chw->ohw", [[0.8, 0.5, 0.1], [0.9, 0, -0.2], [0.8, -0.4, 0.2]], planes)
    levels = np.clip(128 + 40 * mixed / mixed.std(), 0, 255).astype(np.uint8)
    Image.fromarray(np.ascontiguousarray(levels.transpose(1, 2, 0))).save(path)
    return levels / 255


@pytest.mark.parametrize("n", [8, 9])
def test_magnitude_is_the_definition(tmp_path, n):
    pictures = [photograph(tmp_path / f"{k}.png", (n, n), seed=k) for k in range(2)]
    found = measure_spectrum([tmp_path], size_px=n)
    pixels = np.concatenate([p.reshape(3, -1).T for p in pictures])
    axes = reference.color_axes(pixels)
    assert np.abs(found.colors.numpy() - axes).max() < 1e-9
    slow = np.mean([reference.photograph_magnitude(p, axes) for p in pictures], 0)
    slow[:, 0, 0] = 0
    assert np.abs(found.magnitude.numpy() - slow / slow.max()).max() < 1e-6
    assert found.images == 2
    lucid = measure_spectrum([tmp_path], size_px=n, axes="lucid")
    assert torch.equal(lucid.colors, decorrelated_to_rgb_matrix())


def test_long_photographs_are_cut_into_overlapping_squares(tmp_path):
    pixels = photograph(tmp_path / "wide.png", (8, 14))
    for k, x in enumerate((0, 3, 6)):
        square = (pixels[:, :, x : x + 8] * 255).round().astype(np.uint8).transpose(1, 2, 0)
        Image.fromarray(np.ascontiguousarray(square)).save(tmp_path / f"square{k}.png")
    whole = measure_spectrum([tmp_path / "wide.png"], size_px=8, axes="lucid")
    parts = measure_spectrum(sorted(tmp_path.glob("square*")), size_px=8, axes="lucid")
    assert torch.allclose(whole.magnitude, parts.magnitude, atol=1e-6)


@pytest.mark.parametrize("slope", [0.8, 1.2, 1.6])
def test_slope_of_a_power_law(tmp_path, slope):
    for k in range(4):
        photograph(tmp_path / f"{k}.png", (128, 128), seed=k, slope=slope)
    for found in measure_spectrum([tmp_path], size_px=128).slopes():
        assert found == pytest.approx(-slope, abs=0.1)  # 8 bits a pixel flatten the faint waves


def power_law(size, slope=1.5):
    f = np.hypot(np.fft.fftfreq(size[0])[:, None], np.fft.rfftfreq(size[1])[None])
    f[0, 0] = np.inf
    return torch.tensor(f**-slope).float()[None].repeat(3, 1, 1)


@pytest.mark.parametrize("size", [(16, 16), (24, 24), (17, 31), (40, 12), (1, 1), (64, 64)])
def test_resampling_keeps_a_power_law_in_cycles_a_pixel(size):
    for n in (16, 17):
        found = resample_magnitude(power_law((n, n)), size)
        expected = power_law(size)
        assert found.shape == expected.shape
        # Diagonal and even: the residual is 1 everywhere, so interpolation is exact.
        assert torch.allclose(found, expected, rtol=1e-5)


def test_resampling_to_the_same_size_changes_nothing_and_in_between_it_is_bilinear():
    spectrum = default_spectrum().magnitude
    n = spectrum.shape[1]
    assert torch.allclose(resample_magnitude(spectrum, (n, n)), spectrum, rtol=1e-5)
    twice = resample_magnitude(spectrum, (2 * n, 2 * n)).double()
    f = torch.hypot(
        torch.fft.fftfreq(2 * n, dtype=torch.float64)[:, None],
        torch.fft.rfftfreq(2 * n, dtype=torch.float64)[None],
    )
    flat = twice * f**1.5
    assert torch.allclose(twice[:, ::2, ::2].float(), spectrum, rtol=1e-5)
    mean = (flat[:, 10, 20] + flat[:, 12, 20] + flat[:, 10, 22] + flat[:, 12, 22]) / 4
    assert torch.allclose(flat[:, 11, 21], mean, rtol=1e-5)
    # Across the border between positive and negative frequencies, and down to the lowest wave.
    assert torch.allclose(flat[:, -1, 20], (flat[:, 0, 20] + flat[:, -2, 20]) / 2, rtol=1e-5)
    assert (flat[:, 0, 1] > 0).all()


def test_the_shipped_spectrum_is_natural():
    found = default_spectrum()
    assert found.images == 4
    assert found.magnitude.shape == (3, 256, 129)
    assert torch.equal(found.colors, decorrelated_to_rgb_matrix())
    for slope in found.slopes():
        assert -1.6 < slope < -1.1


@pytest.mark.skipif(importlib.util.find_spec("skimage") is None, reason="needs scikit-image")
def test_the_shipped_spectrum_can_be_made_again():
    folder = Path(importlib.util.find_spec("skimage").origin).parent / "data"
    names = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")
    again = measure_spectrum([folder / name for name in names], axes="lucid")
    assert torch.allclose(again.magnitude, default_spectrum().magnitude, atol=1e-6, rtol=1e-4)


def test_file_round_trip(tmp_path):
    photograph(tmp_path / "a.png", (16, 16))
    found = measure_spectrum([tmp_path / "a.png"], size_px=16)
    save_spectrum(found, tmp_path / "a.npz")
    again = read_spectrum(tmp_path / "a.npz")
    assert torch.equal(again.magnitude, found.magnitude)
    assert torch.equal(again.colors, found.colors)
    first = (tmp_path / "a.npz").read_bytes()
    save_spectrum(found, tmp_path / "a.npz", overwrite=True)
    assert (tmp_path / "a.npz").read_bytes() == first
    with pytest.raises(OutputError, match=r"a\.npz' exists; choose another file or pass"):
        save_spectrum(found, tmp_path / "a.npz")
    with pytest.raises(OutputError, match="there is no folder"):
        save_spectrum(found, tmp_path / "none" / "a.npz")


@pytest.mark.parametrize("text", ["fourier:colors=", "pixels:colors=", "pyramid:colors="])
def test_own_colours_are_used(tmp_path, text):
    photograph(tmp_path / "A.png", (16, 16))
    path = tmp_path / "Own.npz"
    save_spectrum(measure_spectrum([tmp_path / "A.png"], size_px=16), path)
    param = parse_parameterisation(f"{text}{path}")
    assert param.to_text() == f"{text}{path}"  # capital letters and all
    images = param.start(channels=3, size=(8, 8), generators=[torch.Generator()], device=CPU)
    assert torch.allclose(images.matrix.double(), read_spectrum(path).colors, atol=1e-6)
    given = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    back = param.start_from(given, device=CPU)()
    assert torch.allclose(back, given.clamp(0.01, 0.99), atol=1e-5)
    other = Fourier().start(channels=3, size=(8, 8), generators=[torch.Generator()], device=CPU)
    assert not torch.allclose(other.matrix, images.matrix, atol=0.01)


def test_maco_takes_own_spectrum_and_colours(tmp_path):
    photograph(tmp_path / "a.png", (16, 16))
    found = measure_spectrum([tmp_path / "a.png"], size_px=16)
    save_spectrum(found, tmp_path / "a.npz")
    param = parse_parameterisation(f"maco:spectrum={tmp_path / 'a.npz'}")
    images = param.start(channels=3, size=(16, 16), generators=[torch.Generator()], device=CPU)
    ratio = images.magnitude[0, :, 1:, 1:] / found.magnitude[:, 1:, 1:]
    assert torch.allclose(ratio, ratio.mean(), rtol=1e-4)
    assert torch.allclose(images.matrix.double(), found.colors, atol=1e-6)


def test_a_photograph_counts_once(tmp_path):
    photograph(tmp_path / "a.png", (40, 40))
    (tmp_path / "b.png").symlink_to("a.png")
    assert len(list_images([tmp_path, tmp_path / "a.png", tmp_path / "." / "a.png"])) == 1


def grey(path):
    Image.new("RGB", (16, 16), (90, 90, 90)).save(path)


BAD = [
    ([], lambda _: None, ["."], PictureError, "there is no image in"),
    ([], lambda _: None, ["nothing.png"], PictureError, "no file or folder 'nothing.png'"),
    ([], lambda p: (p / "a.png").write_text("x"), ["a.png"], PictureError, "cannot read 'a.png'"),
    ([], lambda p: grey(p / "a.png"), ["a.png"], ConfigError, "do not vary along three axes"),
    (["--size", "32"], lambda p: photograph(p / "a.png", (16, 40)), ["a.png"], ConfigError,
     "'a.png' is 16x40 px, and enlarging .* at most 16"),
    (["--size", "4"], lambda p: grey(p / "a.png"), ["a.png"], ConfigError, "size must be 8 px or"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "make", "paths", "error", "message"), BAD)
def test_bad_photographs(tmp_path, monkeypatch, capsys, options, make, paths, error, message):
    monkeypatch.chdir(tmp_path)
    make(tmp_path)
    size = {"size_px": int(options[1])} if options else {"size_px": 16}
    with pytest.raises(error, match=message):
        measure_spectrum(paths, **size)
    words = [*paths, "-o", "out.npz", "--size", str(size["size_px"])]
    assert run(["spectrum", *words]) == 2
    assert "Traceback" not in capsys.readouterr().err
    assert not Path("out.npz").exists()


def test_unknown_axes(tmp_path):
    from typecheck import unchecked

    with unchecked(), pytest.raises(ConfigError, match="axes must be one of own, lucid, got 'lab'"):
        measure_spectrum([tmp_path], axes="lab")


def write_arrays(path, **arrays):
    np.savez(path, **arrays)


@pytest.mark.parametrize(
    "arrays",
    [
        {},
        {"magnitude": np.ones((3, 8, 5))},
        {"magnitude": np.ones((3, 8, 8)), "colors": np.eye(3), "images": 1},
        {"magnitude": np.ones((3, 8, 5)), "colors": np.ones((3, 3)), "images": 1},
        {"magnitude": -np.ones((3, 8, 5)), "colors": np.eye(3), "images": 1},
        {"magnitude": np.full((3, 8, 5), np.nan), "colors": np.eye(3), "images": 1},
        {"magnitude": np.array([None, "x"]), "colors": np.eye(3), "images": 1},
    ],
)
def test_other_files_are_refused(tmp_path, arrays):
    write_arrays(tmp_path / "a.npz", **arrays)
    with pytest.raises(ConfigError, match=r"a\.npz' is no file of featviz spectrum"):
        parse_parameterisation(f"fourier:colors={tmp_path / 'a.npz'}")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x80\x04N."])
def test_what_is_no_archive_is_refused(tmp_path, content):
    (tmp_path / "a.npz").write_bytes(content)
    for path in (tmp_path / "a.npz", tmp_path):
        with pytest.raises(ConfigError, match="is no file of featviz spectrum"):
            read_spectrum(path)


def test_a_comma_in_a_name(tmp_path):
    with pytest.raises(ConfigError, match="colors may hold no comma"):
        Fourier(colors=str(tmp_path / "a,b.npz"))


def test_command(tmp_path, capsys):
    for k in range(2):
        photograph(tmp_path / f"{k}.png", (16, 24), seed=k)
    out = tmp_path / "out.npz"
    words = ["spectrum", str(tmp_path), "-o", str(out), "--size", "16"]
    assert run([*words, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    expected = measure_spectrum([tmp_path], size_px=16)
    assert document["images"] == 2
    assert document["slopes"] == pytest.approx(expected.slopes())
    assert document["colors"] == read_spectrum(out).colors.tolist()
    assert run(words) == 2
    assert "exists; choose another file" in capsys.readouterr().err
    assert run([*words, "--overwrite"]) == 0
    assert "2 images" in capsys.readouterr().out
