"""Two coordinates for each activation, so that similar ones lie near each other.

All layouts compare directions: rows are brought to length 1 first, so that what counts is the
cosine, as in the atlas of the paper, and not how strongly a photograph drives the site.
"""

import importlib.util
import warnings
from typing import Any, get_args

import numpy as np
import torch
from jaxtyping import Float

from featviz.atlas.activation_map.settings import LayoutName
from featviz.errors import ConfigError

_NEEDS: dict[LayoutName, str] = {"umap": "umap", "tsne": "sklearn"}
_PIP = {"umap": "'featviz[umap]'", "sklearn": "'featviz[atlas]'"}
# Carter et al. 2019 and Lucid's activation atlas.
UMAP_NEIGHBOURS, UMAP_MIN_DIST = 50, 0.05
TSNE_PERPLEXITY = 50.0
_TSNE_COMPONENTS = 50
_LEAST = 4


def choose_layout(name: LayoutName | None) -> LayoutName:
    """Return the layout asked for, or the first of umap, tsne, pca whose package is installed.

    Raises:
        ConfigError: If the package of the layout asked for is missing.
    """
    usable: list[LayoutName] = [known for known in get_args(LayoutName) if _missing(known) is None]
    if name is None:
        return usable[0]
    package = _missing(name)
    if package is not None:
        raise ConfigError(
            f"layout {name!r} needs a package that is not installed: pip install {_PIP[package]}; "
            f"or choose {', '.join(usable)}"
        )
    return name


def _missing(name: LayoutName) -> str | None:
    package = _NEEDS.get(name)
    return None if package is None or importlib.util.find_spec(package) else package


def project(
    rows: Float[np.ndarray, "n c"], *, layout: LayoutName, seed: int
) -> tuple[Float[np.ndarray, "n 2"], dict[str, Any]]:
    """Return two coordinates a row, the same for the same seed.

    - `umap`: 50 neighbours, least distance 0.05, by cosine; needs umap-learn.
    - `tsne`: perplexity 50, of the first 50 principal components; needs scikit-learn.
    - `pca`: the first two principal components.

    Args:
        rows: Activations.
        layout: Which.
        seed: Any whole number; its last 32 bits count.

    Returns:
        The coordinates, and the settings used.

    Raises:
        ConfigError: If there are fewer than 4 rows, or the package is missing.
    """
    choose_layout(layout)
    if len(rows) < _LEAST:
        raise ConfigError(f"a layout needs {_LEAST} samples or more, got {len(rows)}")
    unit = unit_rows(rows)
    if layout == "umap":
        return _umap(unit, seed % 2**32)
    if layout == "tsne":
        return _tsne(unit, seed % 2**32)
    return pca(unit, count=2), {"layout": "pca", "rows": "length 1"}


def unit_rows(rows: Float[np.ndarray, "n c"]) -> Float[np.ndarray, "n c"]:
    """Return rows of length 1; rows of zeros, where a ReLU is silent, stay zeros."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(lengths == 0, 1, lengths), dtype=np.float32)


def pca(rows: Float[np.ndarray, "n c"], *, count: int) -> Float[np.ndarray, "n k"]:
    """Return the first principal components of rows, those with the largest spread first.

    The sign of each is such that its largest weight is positive, so that nothing is left to the
    library. Components that the rows do not have are zeros.

    Args:
        rows: One a sample.
        count: How many components.
    """
    values = torch.from_numpy(np.ascontiguousarray(rows, dtype=np.float32))
    mean = values.mean(0, dtype=torch.float64)
    covariance = torch.zeros(values.shape[1], values.shape[1], dtype=torch.float64)
    parts = values.split(4096)  # doubles of a part at a time
    for part in parts:
        centred = part.double() - mean
        covariance += centred.T @ centred
    axes = torch.linalg.eigh(covariance)[1].flip(1)[:, :count]
    signs = axes.gather(0, axes.abs().argmax(0, keepdim=True)).sign()
    axes = axes * signs
    found = torch.cat([(part.double() - mean) @ axes for part in parts])
    padded = torch.nn.functional.pad(found, (0, count - found.shape[1]))
    return padded.float().numpy()


def _umap(
    unit: Float[np.ndarray, "n c"], seed: int
) -> tuple[Float[np.ndarray, "n 2"], dict[str, Any]]:
    with warnings.catch_warnings():
        # It warns that a seed makes it use one thread, which is what a seed is for.
        warnings.simplefilter("ignore")
        import umap

        neighbours = min(UMAP_NEIGHBOURS, len(unit) - 1)
        used = {"n_neighbors": neighbours, "min_dist": UMAP_MIN_DIST, "metric": "cosine"}
        reducer = umap.UMAP(
            n_components=2,
            random_state=seed,
            n_jobs=1,
            # Its spectral start needs more rows than that.
            init="spectral" if len(unit) > 2 * _LEAST else "random",
            **used,
        )
        found = reducer.fit_transform(unit)
    return np.asarray(found, np.float32), {"layout": "umap", "umap": umap.__version__, **used}


def _tsne(
    unit: Float[np.ndarray, "n c"], seed: int
) -> tuple[Float[np.ndarray, "n 2"], dict[str, Any]]:
    import sklearn
    from sklearn.manifold import TSNE

    components = min(_TSNE_COMPONENTS, unit.shape[1])
    reduced = pca(unit, count=components)
    perplexity = min(TSNE_PERPLEXITY, (len(unit) - 1) / 3)
    # As its init="pca", whose signs are the library's.
    start = reduced[:, :2] if components > 1 else np.pad(reduced, ((0, 0), (0, 1)))
    spread = float(start[:, 0].std())
    start = start / (spread or 1.0) * 1e-4
    found = TSNE(
        n_components=2, perplexity=perplexity, init=start, random_state=seed
    ).fit_transform(reduced)
    used = {"perplexity": perplexity, "components": components, "rows": "length 1"}
    return np.asarray(found, np.float32), {
        "layout": "tsne", "scikit-learn": sklearn.__version__, **used,
    }  # fmt: skip


def to_square(
    layout: Float[np.ndarray, "n 2"], *, percentile: float = 1.0, margin: float = 0.1
) -> Float[np.ndarray, "n 2"]:
    """Return a layout within 0..1 on both axes, outliers pulled to the border.

    Points are clipped to the percentiles of each axis and a margin on both sides, then stretched.

    Args:
        layout: Any coordinates.
        percentile: The lower one, 0..50; the upper one is 100 less it.
        margin: In distances between the two percentiles.

    References:
        Lucid, activation atlas `normalize_layout`; there the second margin uses the minimum that
        the first has moved, here both are alike.
    """
    low, high = np.percentile(layout, [percentile, 100 - percentile], axis=0)
    reach = margin * (high - low)
    clipped = np.clip(layout, low - reach, high + reach)
    first = clipped.min(0)
    extent = clipped.max(0) - first
    # All points on a line across one axis: they lie in the middle of it.
    return np.where(extent > 0, (clipped - first) / np.where(extent > 0, extent, 1), 0.5)
