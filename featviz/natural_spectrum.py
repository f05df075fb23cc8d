"""What photographs have in common: the magnitudes of their spectra, and the axes of their colours.

Serves the image parameterisations: MACO keeps to natural magnitudes, and most others can take their
colour axes from the user's own images. `featviz spectrum` measures both into one file, which
spectrum_files.py reads.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from featviz.color import decorrelated_to_rgb_matrix, mix_channels
from featviz.errors import ConfigError, PictureError
from featviz.photographs import known_suffixes, open_photograph, sorted_pictures

Axes = Literal["own", "lucid"]

DEFAULT_SIZE_PX = 256
# Frequencies over which slopes are fitted, cycles a pixel: below, few waves fit into the image;
# above, cameras, scaling and compression have left their traces.
SLOPE_RANGE = (0.02, 0.35)
# Magnitudes are interpolated after this power of the frequency has been taken out, because they
# fall too steeply near 0 to be interpolated as they are. Near the slope of photographs.
_TILT = 1.5


@dataclass(frozen=True, eq=False)
class NaturalSpectrum:
    """Mean spectrum and colours of some photographs.

    Attributes:
        magnitude: Mean magnitude of each wave along each colour axis, laid out as torch.fft.rfft2
            gives it; 0 at frequency 0. Only ratios mean something.
        colors: Matrix from decorrelated colours to RGB, for column vectors; the largest column
            has norm 1.
        images: How many photographs went in.
    """

    magnitude: Float[Tensor, "3 h w_half"]
    colors: Float[Tensor, "3 3"]
    images: int

    def slopes(self) -> tuple[float, ...]:
        """Return the power of the frequency that each colour axis falls with: -1.6 is natural."""
        return tuple(_slope(plane) for plane in self.magnitude)


def measure_spectrum(
    paths: Sequence[str | Path], *, size_px: int = DEFAULT_SIZE_PX, axes: Axes = "own"
) -> NaturalSpectrum:
    """Average the magnitudes of the spectra of photographs, in decorrelated colours.

    Each photograph is scaled so that its shorter side has `size_px`, and cut into squares that
    overlap by half or more. Of each square the mean is taken off, a Hann window keeps the cut
    edges from making a cross of false horizontal and vertical waves, and the mirror image counts
    too: photographs know up from down, but not left from right.

    Args:
        paths: Image files, or folders whose image files are taken, without those in folders below.
        size_px: Side of the squares.
        axes: Colour axes: `own` of these photographs, or `lucid`: those of ImageNet.

    Raises:
        PictureError: If there is no image, or one cannot be read.
        ConfigError: If a photograph is smaller than `size_px`, or the colours do not vary.

    References:
        Fel et al. 2023, "Unlocking Feature Visualization for Deeper Networks with MAgnitude
        Constrained Optimization", section 3. Differs: window and mirror images, which a few
        photographs need more than the 1.2 million of ImageNet.
    """
    if size_px < 8:
        raise ConfigError(f"size must be 8 px or more, got {size_px}")
    if axes not in get_args(Axes):
        raise ConfigError(f"axes must be one of {', '.join(get_args(Axes))}, got {axes!r}")
    files = list_images(paths)
    own = axes == "own"
    colors = measure_colors(files, size_px=size_px) if own else decorrelated_to_rgb_matrix()
    # Hann, symmetric about the middle of the square, so that mirror images are seen alike.
    hann = torch.sin(torch.pi * (torch.arange(size_px, dtype=torch.float64) + 0.5) / size_px) ** 2
    window = hann[:, None] * hann
    total = torch.zeros(3, size_px, size_px // 2 + 1, dtype=torch.float64)
    for file in files:
        tiles = mix_channels(_tiles(_load(file, size_px), size_px), torch.linalg.inv(colors))
        mean = (tiles * window).sum((-2, -1), keepdim=True) / window.sum()
        magnitude = torch.fft.rfft2((tiles - mean) * window).abs().mean(0)
        total += magnitude / len(files)
    mirrored = total[:, -torch.arange(size_px) % size_px]
    total = (total + mirrored) / 2
    total[:, 0, 0] = 0
    return NaturalSpectrum((total / total.max()).float(), colors, len(files))


def measure_colors(files: Sequence[Path], *, size_px: int) -> Float[Tensor, "3 3"]:
    """Return the colour matrix of photographs: U sqrt(S) of the covariance of their pixels.

    Divided by the largest column norm, as Lucid's is. Of the two signs of each axis the one is
    taken that has more red.

    Args:
        files: Image files.
        size_px: What their shorter side is scaled to.

    Raises:
        ConfigError: If the colours do not vary along three axes, as those of grey images.
    """
    count, first, second = 0, torch.zeros(3).double(), torch.zeros(3, 3).double()
    for file in files:
        pixels = _load(file, size_px).flatten(1)
        count += pixels.shape[1]
        first += pixels.sum(1)
        second += pixels @ pixels.T
    mean = first / count
    covariance = second / count - mean[:, None] * mean
    u, s, _ = torch.linalg.svd(covariance)
    if s[2] <= 1e-6 * s[0] or s[0] <= 1e-9:
        raise ConfigError(
            f"the colours of {len(files)} images do not vary along three axes (variances "
            f"{', '.join(f'{v:.2g}' for v in s.tolist())}); give photographs in colour, or take "
            "the axes of ImageNet: --axes lucid"
        )
    matrix = u * s.sqrt()
    matrix = matrix * torch.where(matrix[0] < 0, -1.0, 1.0)
    return torch.div(matrix, matrix.norm(dim=0).max())


def list_images(paths: Sequence[str | Path]) -> list[Path]:
    """Return the image files among paths and directly inside folders, each once.

    Those of a folder are sorted by name.

    Raises:
        PictureError: If a path does not exist, or there is no image.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            found += sorted_pictures(path.iterdir())
        elif path.is_file():
            found.append(path)
        else:
            raise PictureError(f"there is no file or folder {str(path)!r}; give photographs")
    if not found:
        raise PictureError(
            f"there is no image in {', '.join(repr(str(p)) for p in paths)}; "
            f"give files that end in one of {known_suffixes()}"
        )
    return list({path.resolve(): path for path in found}.values())  # each once


def _load(path: Path, size_px: int) -> Float[Tensor, "3 h w"]:
    rgb = open_photograph(path)
    w, h = rgb.size
    if min(w, h) < size_px:
        raise ConfigError(
            f"{str(path)!r} is {h}x{w} px, and enlarging it would add waves that it has not: "
            f"leave it out or choose a size of at most {min(w, h)}"
        )
    shrink = size_px / min(w, h)
    rgb = rgb.resize((round(w * shrink), round(h * shrink)), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(rgb)).permute(2, 0, 1).double() / 255


def _tiles(image: Float[Tensor, "3 h w"], side: int) -> Float[Tensor, "n 3 side side"]:
    def starts(length: int) -> Iterator[int]:
        number = -(-2 * (length - side) // side) + 1
        for k in range(number):
            yield round(k * (length - side) / max(1, number - 1))

    _, h, w = image.shape
    squares = [image[:, y : y + side, x : x + side] for y in starts(h) for x in starts(w)]
    return torch.stack(squares)


def _slope(magnitude: Float[Tensor, "h w_half"]) -> float:
    """Fit log mean magnitude in rings one wave wide on log frequency, by least squares."""
    h = len(magnitude)
    f = _frequencies((h, h))
    ring = (f * h).round().long()
    inside = ring.unique()
    inside = inside[(inside / h >= SLOPE_RANGE[0]) & (inside / h <= SLOPE_RANGE[1])]
    x = (inside.double() / h).log()
    y = torch.stack([magnitude[ring == k].double().mean() for k in inside]).log()
    x = x - x.mean()
    return float((x * y).sum() / (x * x).sum())


def _frequencies(size: tuple[int, int]) -> Float[Tensor, "h w_half"]:
    fy = torch.fft.fftfreq(size[0], dtype=torch.float64)[:, None]
    fx = torch.fft.rfftfreq(size[1], dtype=torch.float64)[None, :]
    return torch.hypot(fy, fx)


def resample_magnitude(
    magnitude: Float[Tensor, "c n n_half"], size: tuple[int, int]
) -> Float[Tensor, "c h w_half"]:
    """Return the magnitudes of images of another size, at equal cycles a pixel.

    Bilinear between the four nearest waves, of magnitude times frequency ** 1.5, which is nearly
    flat; frequency 0 stays 0. Photographs look alike at all scales, so that a power law in cycles
    a pixel is right for a small picture as well as for a large one.

    Args:
        magnitude: Of square images, as `NaturalSpectrum` has it.
        size: Height and width in pixels, even or odd.

    Returns:
        Float32, laid out as torch.fft.rfft2 gives its coefficients.
    """
    n = magnitude.shape[1]
    flat = magnitude.double() * _frequencies((n, n)) ** _TILT
    # Frequency 0 has no value of its own; its neighbours stand in, for larger images' low waves.
    flat[:, 0, 0] = (flat[:, 1, 0] + flat[:, -1, 0] + 2 * flat[:, 0, 1]) / 4
    y = torch.fft.fftfreq(size[0], dtype=torch.float64) * n
    x = (torch.fft.rfftfreq(size[1], dtype=torch.float64) * n).clamp(max=flat.shape[2] - 1)
    y0, x0 = y.floor(), x.floor()
    wy, wx = (y - y0)[:, None], (x - x0)[None, :]
    rows = [(y0.long() + k) % n for k in (0, 1)]
    columns = [(x0.long() + k).clamp(max=flat.shape[2] - 1) for k in (0, 1)]

    def corner(k: int, j: int) -> Tensor:
        return flat[:, rows[k]][:, :, columns[j]]

    top = corner(0, 0) * (1 - wx) + corner(0, 1) * wx
    bottom = corner(1, 0) * (1 - wx) + corner(1, 1) * wx
    f = _frequencies(size)
    scale = torch.where(f > 0, f**-_TILT, 0.0)
    resampled: Tensor = (top * (1 - wy) + bottom * wy) * scale
    return resampled.float()
