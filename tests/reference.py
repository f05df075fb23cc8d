"""Slow definitions straight from the papers, against which the package is tested."""

import math

import numpy as np
import torch
from torch import Tensor, nn


def lucid_frequency_scale(h: int, w: int, decay_power: float = 1.0) -> np.ndarray:
    """Lucid's scale with its sqrt(h w), for its backward-normalised inverse FFT; loops."""
    scale = np.zeros((h, w // 2 + 1))
    for i in range(h):
        for j in range(w // 2 + 1):
            fy = (i if i < (h + 1) // 2 else i - h) / h
            fx = j / w
            f = max(math.hypot(fx, fy), 1.0 / max(h, w))
            scale[i, j] = math.sqrt(h * w) / f**decay_power
    return scale


def inverse_rfft2(spectrum: np.ndarray, h: int, w: int) -> np.ndarray:
    """Backward-normalised inverse real FFT in two dimensions, by the definition; even or odd w."""
    image = np.zeros((h, w))
    for y in range(h):
        for x in range(w):
            total = 0.0
            for i in range(h):
                for j in range(w // 2 + 1):
                    angle = 2 * math.pi * (i * y / h + j * x / w)
                    wave = complex(math.cos(angle), math.sin(angle))
                    # Columns other than 0 and Nyquist stand for their conjugates too.
                    both = 1 if j == 0 or (w % 2 == 0 and j == w // 2) else 2
                    total += both * (spectrum[i, j] * wave).real
            image[y, x] = total / (h * w)
    return image


LUCID_COLOR = np.array(
    [
        [0.562829, 0.194825, 0.043295],
        [0.584476, 0.0, -0.108236],
        [0.584476, -0.194825, 0.064942],
    ]
)
"""Published colour matrix, divided by 0.4619523785, to six decimals."""


def lucid_image(spectrum: np.ndarray, h: int, w: int) -> np.ndarray:
    """Lucid's image of one spectrum [3, h, w // 2 + 1]: scale, iFFT, / 4, colours, sigmoid."""
    scaled = spectrum * lucid_frequency_scale(h, w)
    planes = np.stack([inverse_rfft2(plane, h, w) for plane in scaled]) / 4
    mixed = np.einsum("oc,chw->ohw", LUCID_COLOR, planes)
    return 1 / (1 + np.exp(-mixed))


def bilinear(image: np.ndarray, x: float, y: float, fill: float) -> float:
    """Sample [h, w] at a pixel position, `fill` outside, weight by weight."""
    h, w = image.shape
    x0, y0 = math.floor(x), math.floor(y)
    total = 0.0
    for yy, wy in ((y0, 1 - (y - y0)), (y0 + 1, y - y0)):
        for xx, wx in ((x0, 1 - (x - x0)), (x0 + 1, x - x0)):
            value = image[yy, xx] if 0 <= yy < h and 0 <= xx < w else fill
            total += wy * wx * value
    return total


def warp(image: np.ndarray, matrix: np.ndarray, fill: float = 0.5) -> np.ndarray:
    """Move the content of [h, w] by a 3x3 map of (x, y, 1) from the centre, pixel by pixel."""
    h, w = image.shape
    back = np.linalg.inv(matrix)
    out = np.zeros((h, w))
    for y in range(h):
        for x in range(w):
            sx, sy, _ = back @ np.array([x - (w - 1) / 2, y - (h - 1) / 2, 1.0])
            out[y, x] = bilinear(image, sx + (w - 1) / 2, sy + (h - 1) / 2, fill)
    return out


def receptive_field(network: nn.Module, site: nn.Module, size: int, channels: int) -> range:
    """First and last column of the image that the middle column of a site's map depends on.

    By brute force: a NaN in one column after the other, and a look at where it comes out.
    """
    found: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: object, out: Tensor | tuple[Tensor, ...]) -> None:
        found.append((out[0] if isinstance(out, tuple) else out).detach().clone())

    handle = site.register_forward_hook(keep)
    seen: list[int] = []
    with torch.no_grad():
        for columns in torch.arange(size).split(32):
            images = torch.rand(len(columns), channels, size, size)
            images[torch.arange(len(columns)), :, :, columns] = torch.nan
            found.clear()
            network(images)
            middle = found[0][..., found[0].shape[-1] // 2]
            seen += columns[middle.isnan().flatten(1).any(1)].tolist()
    handle.remove()
    return range(seen[0], seen[-1] + 1)


def redirected_gradient(x: Tensor, grad: Tensor) -> Tensor:
    """Lucid's redirected ReLU gradient of a loss, image by image, entry by entry."""
    out = torch.zeros_like(x)
    for image in range(len(x)):
        flat_x, flat_g = x[image].flatten(), grad[image].flatten()
        plain = [g if v > 0 else 0.0 for v, g in zip(flat_x.tolist(), flat_g.tolist(), strict=True)]
        if any(g != 0 for g in plain):
            values = plain
        else:
            pairs = zip(flat_x.tolist(), flat_g.tolist(), strict=True)
            values = [g if v <= 0 and g < 0 else 0.0 for v, g in pairs]
        out[image] = torch.tensor(values, dtype=x.dtype).view_as(x[image])
    return out


def enlarged(image: np.ndarray, h: int, w: int) -> np.ndarray:
    """Enlarge [c, h0, w0] bilinearly, pixel by pixel: pixels are areas, edges repeat."""
    c, h0, w0 = image.shape
    out = np.zeros((c, h, w))
    for y in range(h):
        for x in range(w):
            sy = min(max((y + 0.5) * h0 / h - 0.5, 0), h0 - 1)
            sx = min(max((x + 0.5) * w0 / w - 0.5, 0), w0 - 1)
            for k in range(c):
                out[k, y, x] = bilinear(image[k], sx, sy, 0.0)
    return out


def lucid_pyramid(levels: list[np.ndarray]) -> np.ndarray:
    """Lucid's Laplacian pyramid: levels [3, h / 2**k, w / 2**k], added in the size of the first."""
    _, h, w = levels[0].shape
    total = sum(enlarged(level, h, w) for level in levels)
    return 1 / (1 + np.exp(-np.einsum("oc,chw->ohw", LUCID_COLOR, total)))


def cppn_image(weights: list[np.ndarray], biases: list[np.ndarray], h: int, w: int) -> np.ndarray:
    """Lucid's CPPN, pixel by pixel; the longer side reaches from -sqrt(3) to sqrt(3)."""
    image = np.zeros((len(weights[-1]), h, w))
    reach = max(h - 1, w - 1) / 2
    for i in range(h):
        for j in range(w):
            x = math.sqrt(3) * np.array([j - (w - 1) / 2, i - (h - 1) / 2]) / reach
            for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
                u = np.arctan(weight @ x + bias[:, 0])
                x = np.concatenate([u / 0.67, u**2 / 0.6])
            image[:, i, j] = 1 / (1 + np.exp(-(weights[-1] @ x + biases[-1][:, 0])))
    return image


def maco_image(
    phase: np.ndarray, magnitude: np.ndarray, matrix: np.ndarray, h: int, w: int
) -> np.ndarray:
    """MACO's image of one phase [c, h, w // 2 + 1]; phase and image are standardised."""
    phase = (phase - phase.mean()) / phase.std()
    planes = [
        inverse_rfft2(m * np.exp(1j * p), h, w) for m, p in zip(magnitude, phase, strict=True)
    ]
    image = np.stack(planes)
    image = (image - image.mean()) / image.std()
    return 1 / (1 + np.exp(-np.einsum("oc,chw->ohw", matrix, image)))


def color_axes(pixels: np.ndarray) -> np.ndarray:
    """Square root of the covariance of pixels [n, 3] by eigenvectors, as Lucid scales it."""
    centred = pixels - pixels.mean(0)
    values, vectors = np.linalg.eigh(centred.T @ centred / len(pixels))
    columns = [math.sqrt(values[k]) * vectors[:, k] for k in (2, 1, 0)]
    columns = [column if column[0] > 0 else -column for column in columns]
    return np.stack(columns, 1) / max(np.linalg.norm(column) for column in columns)


def rfft2_magnitude(image: np.ndarray) -> np.ndarray:
    """Magnitudes of the real FFT of [h, w], by the definition."""
    h, w = image.shape
    out = np.zeros((h, w // 2 + 1))
    for i in range(h):
        for j in range(w // 2 + 1):
            total = 0j
            for y in range(h):
                for x in range(w):
                    angle = -2 * math.pi * (i * y / h + j * x / w)
                    total += image[y, x] * complex(math.cos(angle), math.sin(angle))
            out[i, j] = abs(total)
    return out


def photograph_magnitude(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Mean magnitudes of a photograph [3, n, n] and its mirror image, under a Hann window."""
    n = image.shape[1]
    hann = np.array([0.5 - 0.5 * math.cos(2 * math.pi * (k + 0.5) / n) for k in range(n)])
    window = np.outer(hann, hann)
    found = []
    for picture in (image, image[:, :, ::-1]):
        planes = np.einsum("oc,chw->ohw", np.linalg.inv(matrix), picture)
        means = [(plane * window).sum() / window.sum() for plane in planes]
        found.append(
            [rfft2_magnitude((p - m) * window) for p, m in zip(planes, means, strict=True)]
        )
    return np.mean(found, 0)


def blurred(image: np.ndarray, sd: float, reach: int, fill: float = 0.5) -> np.ndarray:
    """Gaussian blur of [h, w] in two dimensions at once, `fill` outside, pixel by pixel."""
    h, w = image.shape
    span = range(-reach, reach + 1)
    weights = {(i, j): math.exp(-(i * i + j * j) / (2 * sd * sd)) for i in span for j in span}
    out = np.zeros((h, w))
    for y in range(h):
        for x in range(w):
            for (i, j), weight in weights.items():
                inside = 0 <= y + i < h and 0 <= x + j < w
                out[y, x] += weight * (image[y + i, x + j] if inside else fill)
    return out / sum(weights.values())


def crop(
    image: np.ndarray, centre: tuple[float, float], side: float, fill: float = 0.5
) -> np.ndarray:
    """Enlarge a box of [h, w] to its size; centre (x, y) and side in parts of the image."""
    h, w = image.shape
    out = np.zeros((h, w))
    for y in range(h):
        for x in range(w):
            across = centre[0] + side * ((x + 0.5) / w - 0.5)
            down = centre[1] + side * ((y + 0.5) / h - 0.5)
            out[y, x] = bilinear(image, across * w - 0.5, down * h - 0.5, fill)
    return out


def jittered_color(
    rgb: tuple[float, float, float],
    brightness: float,
    contrast: float,
    saturation: float,
    hue_deg: float,
) -> list[float]:
    """One pixel, step by step; hue as a turn of the distance from grey about the grey axis."""
    pixel = [brightness * v for v in rgb]
    pixel = [0.5 + contrast * (v - 0.5) for v in pixel]
    luma = 0.299 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2]
    pixel = [luma + saturation * (v - luma) for v in pixel]
    mean = sum(pixel) / 3
    # In the plane across the axis: along R, and at right angles to it.
    along = (2 * pixel[0] - pixel[1] - pixel[2]) / math.sqrt(6)
    right = (pixel[1] - pixel[2]) / math.sqrt(2)
    cos, sin = math.cos(math.radians(hue_deg)), math.sin(math.radians(hue_deg))
    along, right = cos * along - sin * right, sin * along + cos * right
    return [
        mean + 2 * along / math.sqrt(6),
        mean - along / math.sqrt(6) + right / math.sqrt(2),
        mean - along / math.sqrt(6) - right / math.sqrt(2),
    ]


def spectrum_slope(image: np.ndarray, low: float, high: float) -> float:
    """Slope of log amplitude on log frequency of [c, h, w] over rings, by loops."""
    _, h, w = image.shape
    rings: dict[int, list[tuple[float, float]]] = {}
    for i in range(h):
        for j in range(w):
            fy, fx = (i if i <= h // 2 else i - h) / h, (j if j <= w // 2 else j - w) / w
            f = math.hypot(fy, fx)
            if not low <= f <= high:
                continue
            power = np.mean([abs(dft(plane, i, j)) ** 2 for plane in image])
            rings.setdefault(round(f * min(h, w)), []).append((f, power))
    x = [np.mean([math.log(f) for f, _ in ring]) for ring in rings.values()]
    y = [math.log(math.sqrt(np.mean([power for _, power in ring]))) for ring in rings.values()]
    return float(np.polyfit(x, y, 1)[0])


def dft(plane: np.ndarray, i: int, j: int) -> complex:
    """One coefficient of the discrete Fourier transform of [h, w]."""
    h, w = plane.shape
    total = 0j
    for y in range(h):
        for x in range(w):
            angle = -2 * math.pi * (i * y / h + j * x / w)
            total += plane[y, x] * complex(math.cos(angle), math.sin(angle))
    return total


def gram_diversity(activations: np.ndarray) -> float:
    """One minus the mean cosine of Gram matrices of [b, c, h, w], pair by pair."""
    grams = []
    for activation in activations:
        c = len(activation)
        rows = activation.reshape(c, -1)
        grams.append(np.array([[np.mean(rows[i] * rows[j]) for j in range(c)] for i in range(c)]))
    cosines = []
    for a in range(len(grams)):
        for b in range(a + 1, len(grams)):
            size = math.sqrt((grams[a] ** 2).sum() * (grams[b] ** 2).sum())
            cosines.append((grams[a] * grams[b]).sum() / size)
    return 1 - float(np.mean(cosines))


def gaussian_blur(plane: np.ndarray, sd: float, reach: int) -> np.ndarray:
    """Gaussian blur of [h, w], cut off at `reach`, mirrored without repeating the edge."""
    h, w = plane.shape
    weights = [math.exp(-(d**2) / (2 * sd**2)) for d in range(-reach, reach + 1)]
    out = np.zeros((h, w))
    for y in range(h):
        for x in range(w):
            for dy, wy in zip(range(-reach, reach + 1), weights, strict=True):
                for dx, wx in zip(range(-reach, reach + 1), weights, strict=True):
                    yy, xx = abs(y + dy), abs(x + dx)
                    yy, xx = min(yy, 2 * (h - 1) - yy), min(xx, 2 * (w - 1) - xx)
                    out[y, x] += wy * wx * plane[yy, xx]
    return out / sum(weights) ** 2


def curve_kernels(
    targets: list[float], sources: list[float], *, radius: float = 7.0, size: int = 5
) -> np.ndarray:
    """Weights from early curves to curves of the hand-built network, [o i y x], cell by cell.

    Angles in degrees; y grows downward in the array and upward in the formula.
    """
    kernels = np.zeros((len(targets), len(sources), size, size))
    for o, target in enumerate(targets):
        alpha = math.radians(180 - target)
        centre = (radius * math.cos(alpha), radius * math.sin(alpha))
        for i, source in enumerate(sources):
            for row in range(size):
                for column in range(size):
                    x, y = column - size // 2, size // 2 - row
                    s = math.hypot(x - centre[0], y - centre[1]) - radius
                    direction = math.atan2(centre[1] - y, centre[0] - x)
                    d = math.radians(180 - source) - direction
                    g = 1.1 * math.exp(-(s**2) / (2 * 0.65**2)) - 0.1
                    excite = g * max(math.cos(d), 0) ** 6
                    inhibit = 1.1 * max(g, 0) * max(-math.cos(d), 0) ** 6
                    kernels[o, i, row, column] = min(1.0, max(-1.0, excite - inhibit))
    return kernels


def ding_semi_nmf(
    matrix: np.ndarray, start: np.ndarray, *, iterations: int
) -> tuple[np.ndarray, np.ndarray]:
    """Semi-NMF by the multiplicative updates of Ding, Li, Jordan 2010, from `start` [k i]."""
    factors = start.copy()
    loadings = np.zeros((len(matrix), len(start)))
    for _ in range(iterations):
        loadings = matrix @ factors.T @ np.linalg.pinv(factors @ factors.T)
        cross = loadings.T @ matrix
        gram = loadings.T @ loadings
        positive = np.maximum(cross, 0) + np.maximum(-gram, 0) @ factors
        negative = np.maximum(-cross, 0) + np.maximum(gram, 0) @ factors
        factors = factors * np.sqrt(positive / np.maximum(negative, 1e-30))
    return loadings, factors


def lee_seung_nmf(
    matrix: np.ndarray, start: np.ndarray, *, iterations: int
) -> tuple[np.ndarray, np.ndarray]:
    """Plain NMF by the multiplicative updates of Lee, Seung 2001, from factors `start` [k i]."""
    factors = start.copy()
    loadings = np.maximum(matrix @ np.linalg.pinv(factors), 1e-6)
    for _ in range(iterations):
        loadings *= (matrix @ factors.T) / np.maximum(loadings @ factors @ factors.T, 1e-30)
        factors *= (loadings.T @ matrix) / np.maximum(loadings.T @ loadings @ factors, 1e-30)
    return loadings, factors


def posneg_nmf(
    matrix: np.ndarray, start: np.ndarray, *, iterations: int
) -> tuple[np.ndarray, np.ndarray]:
    """The common trick: positive and negative parts stacked along the rows, NMF, subtracted."""
    stacked = np.concatenate([np.maximum(matrix, 0), np.maximum(-matrix, 0)])
    loadings, factors = lee_seung_nmf(stacked, start, iterations=iterations)
    return loadings[: len(matrix)] - loadings[len(matrix) :], factors


def stops_at(scores: list[float], patience: int, min_delta: float) -> int:
    """Steps after which an image stops, 0 if never; every mean worked out from its weights."""
    fade = 1 - 1 / max(1.0, patience / 2)
    best, since = -math.inf, 0
    for step in range(len(scores)):
        weights = [fade**age for age in range(step, -1, -1)]
        pairs = zip(weights, scores[: step + 1], strict=True)
        mean = sum(w * score for w, score in pairs) / sum(weights)
        if best == -math.inf or mean > best + min_delta * abs(best):
            best, since = mean, 0
        else:
            since += 1
        if since >= patience:
            return step + 1
    return 0


def splitmix64(seed: int, index: int) -> int:
    """The number at a place, from 0 on, of the SplitMix64 stream of a seed (Steele et al. 2014)."""
    low = 2**64 - 1
    z = (seed + (index + 1) * 0x9E3779B97F4A7C15) & low
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & low
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & low
    return z ^ (z >> 31)


def whitened_direction(samples: np.ndarray, mean: np.ndarray, *, ridge: float) -> np.ndarray:
    """The mean by the inverse of the correlation matrix plus a ridge, dot product 1; loops."""
    n, channels = samples.shape
    moments = np.zeros((channels, channels))
    for i in range(channels):
        for j in range(channels):
            moments[i, j] = sum(float(row[i]) * float(row[j]) for row in samples) / n
    level = sum(moments[i, i] for i in range(channels)) / channels
    vector = mean @ np.linalg.inv(moments + ridge * level * np.eye(channels))
    return np.asarray(vector / (vector @ mean))


def grid_cells(points: np.ndarray, side: int) -> dict[tuple[int, int], list[int]]:
    """Row and column -> points in that cell, each cell asked for each point."""
    found: dict[tuple[int, int], list[int]] = {}
    for row in range(side):
        for column in range(side):
            for k, (x, y) in enumerate(points):
                right = column / side <= x < (column + 1) / side or (x == 1 and column == side - 1)
                down = row / side <= y < (row + 1) / side or (y == 1 and row == side - 1)
                if right and down:
                    found.setdefault((row, column), []).append(k)
    return found
