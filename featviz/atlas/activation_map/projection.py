"""Two coordinates for each activation, so that similar ones lie near each other.

All layouts compare directions: rows are brought to length 1 first, so that what counts is the
cosine, as in the atlas of the paper, and not how strongly a photograph drives the site.
"""

import importlib.util
import warnings
from collections.abc import Iterator
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
_PART = 4096


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
    if layout == "umap":
        return _umap(unit_rows(rows), seed % 2**32)  # it keeps all of them in memory itself
    if layout == "tsne":
        return _tsne(rows, seed % 2**32)
    return pca(rows, count=2, cosine=True), {"layout": "pca", "rows": "length 1"}


def unit_rows(rows: Float[np.ndarray, "n c"]) -> Float[np.ndarray, "n c"]:
    """Return rows of length 1 in memory; rows of zeros, where a ReLU is silent, stay zeros.

    Args:
        rows: They may lie on disk and are read in parts.
    """
    found = np.empty(rows.shape, np.float32)
    for first in range(0, len(rows), _PART):
        part = rows[first : first + _PART]
        lengths = np.linalg.norm(part, axis=1, keepdims=True)
        found[first : first + _PART] = part / np.where(lengths == 0, 1, lengths)
    return found


def pca(
    rows: Float[np.ndarray, "n c"], *, count: int, cosine: bool = False
) -> Float[np.ndarray, "n k"]:
    """Return the first principal components of rows, those with the largest spread first.

    The sign of each is such that its largest weight is positive, so that nothing is left to the
    library. Components that the rows do not have are zeros.

    Args:
        rows: One a sample; they may lie on disk and are read in parts.
        count: How many components.
        cosine: Whether to bring rows to length 1 first, see `unit_rows`.
    """
    columns = rows.shape[1]
    mean = torch.zeros(columns, dtype=torch.float64)
    for part in _parts(rows, cosine):
        mean += part.sum(0)
    mean /= len(rows)
    covariance = torch.zeros(columns, columns, dtype=torch.float64)
    for part in _parts(rows, cosine):
        centred = part - mean
        covariance += centred.T @ centred
    axes = torch.linalg.eigh(covariance)[1].flip(1)[:, :count]
    signs = axes.gather(0, axes.abs().argmax(0, keepdim=True)).sign()
    axes = axes * signs
    found = torch.cat([(part - mean) @ axes for part in _parts(rows, cosine)])
    padded = torch.nn.functional.pad(found, (0, count - found.shape[1]))
    return padded.float().numpy()


def _parts(rows: Float[np.ndarray, "n c"], cosine: bool) -> Iterator[Float[torch.Tensor, "p c"]]:
    """Give some rows at a time, in double precision."""
    for first in range(0, len(rows), _PART):
        part = np.array(rows[first : first + _PART], np.float32)
        yield torch.from_numpy(unit_rows(part) if cosine else part).double()


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
    rows: Float[np.ndarray, "n c"], seed: int
) -> tuple[Float[np.ndarray, "n 2"], dict[str, Any]]:
    import sklearn
    from sklearn.manifold import TSNE

    components = min(_TSNE_COMPONENTS, rows.shape[1])
    reduced = pca(rows, count=components, cosine=True)
    perplexity = min(TSNE_PERPLEXITY, (len(rows) - 1) / 3)
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
