"""Layouts, grids and whitening against slow definitions."""

import importlib.util
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

import reference
from featviz.atlas.activation_map import projection
from featviz.atlas.activation_map.grid import make_grid, neighbour_likeness
from featviz.atlas.activation_map.projection import (
    choose_layout,
    pca,
    project,
    to_square,
    unit_rows,
)
from featviz.atlas.activation_map.whitening import correlation, directions, whitening
from featviz.errors import ConfigError


def rows(count: int = 60, channels: int = 7, seed: int = 0) -> np.ndarray:
    drawn = np.random.default_rng(seed)
    mixed = drawn.normal(size=(count, channels)) @ drawn.normal(size=(channels, channels))
    return np.maximum(mixed + 0.3, 0).astype(np.float32)


def clusters(each: int = 30) -> np.ndarray:
    """Three kinds of activations that point into three directions."""
    drawn = np.random.default_rng(1)
    return np.concatenate(
        [np.abs(drawn.normal(0, 0.05, (each, 8))) + 3 * np.eye(8)[2 * k] for k in range(3)]
    ).astype(np.float32)


# ---- whitening ---------------------------------------------------------------------------------


def test_whitened_samples_have_the_identity_for_second_moments() -> None:
    x = rows(9000).astype(np.float64)  # more than one part
    white = x @ whitening(correlation(x), ridge=0)
    assert white.T @ white / len(white) == pytest.approx(np.eye(7), abs=1e-9)


def test_directions_are_means_by_the_inverse_correlation_matrix() -> None:
    x = rows()
    means = np.stack([x[:20].mean(0), x[20:].mean(0)])
    found = directions(means, whitening(correlation(x), ridge=0.05))
    for mean, vector in zip(means, found, strict=True):
        slow = reference.whitened_direction(x, mean, ridge=0.05)
        assert vector == pytest.approx(slow, rel=1e-6)
        assert vector @ mean == pytest.approx(1)


def test_the_ridge_makes_fewer_samples_than_channels_and_silent_ones_work() -> None:
    x = rows(4, 9)
    x[:, 3] = 0
    found = directions(x.mean(0, keepdims=True), whitening(correlation(x), ridge=0.01))
    assert np.isfinite(found).all()
    assert found[0, 3] == pytest.approx(0, abs=1e-12)
    silent = directions(np.zeros((1, 9)), whitening(np.zeros((9, 9)), ridge=0.01))
    assert not silent.any()


def test_whitening_counts_what_always_fires_for_little() -> None:
    # Channel 0 fires everywhere; 1 and 2 each on half of the samples.
    x = np.zeros((100, 3), np.float32)
    x[:, 0] = 10
    x[:50, 1] = 1
    x[50:, 2] = 1
    vector = directions(x[:50].mean(0, keepdims=True), whitening(correlation(x), ridge=0.001))[0]
    assert vector[1] > 3 * abs(vector[0])
    assert vector[2] < 0


# ---- layouts -----------------------------------------------------------------------------------


def test_pca_is_that_of_the_singular_values() -> None:
    x = rows(5000)  # more than one part
    found = pca(x, count=3)
    centred = x.astype(np.float64) - x.mean(0, dtype=np.float64)
    _, values, axes = np.linalg.svd(centred, full_matrices=False)
    for k in range(3):
        axis = axes[k] * np.sign(axes[k][np.abs(axes[k]).argmax()])
        assert found[:, k] == pytest.approx(centred @ axis, abs=1e-4 * values[0])
    assert pca(x[:, :1], count=2)[:, 1].tolist() == [0] * len(x)


def available() -> list[str]:
    needs = {"umap": "umap", "tsne": "sklearn", "pca": None}
    return [name for name, package in needs.items() if not package or _installed(package)]


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


@pytest.mark.parametrize("layout", ["umap", "tsne", "pca"])
def test_a_layout_is_the_same_for_a_seed_and_keeps_kinds_together(layout: str) -> None:
    if layout not in available():
        pytest.skip(f"the package for {layout} is not installed")
    x = clusters()
    first, used = project(x, layout=layout, seed=3)
    again, _ = project(x, layout=layout, seed=3)
    assert first.shape == (90, 2)
    assert np.array_equal(first, again)
    assert used["layout"] == layout
    middles = first.reshape(3, 30, 2).mean(1)
    nearest = np.linalg.norm(first[:, None] - middles, axis=2).argmin(1)
    assert nearest.tolist() == np.repeat([0, 1, 2], 30).tolist()


@pytest.mark.parametrize("layout", ["umap", "tsne", "pca"])
def test_few_samples_and_silent_ones_are_laid_out_too(layout: str) -> None:
    if layout not in available():
        pytest.skip(f"the package for {layout} is not installed")
    x = rows(5, 1)
    x[0] = 0
    points, _ = project(x, layout=layout, seed=0)
    assert points.shape == (5, 2)
    assert np.isfinite(to_square(points)).all()


def test_rows_on_disk_are_read_in_parts(tmp_path: Path) -> None:
    shape = (40_000, 64)
    rows = np.lib.format.open_memmap(tmp_path / "x.npy", mode="w+", dtype=np.float32, shape=shape)
    rows[:] = np.random.default_rng(0).random(shape, dtype=np.float32)
    tracemalloc.start()
    try:
        project(rows, layout="pca", seed=0)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 0.5 * rows.nbytes


def test_components_of_directions_are_those_of_rows_of_length_1() -> None:
    rows = np.random.default_rng(0).normal(size=(5000, 6)).astype(np.float32)
    expected = pca(unit_rows(rows), count=3)
    assert np.array_equal(pca(rows, count=3, cosine=True), expected)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    assert unit_rows(rows) == pytest.approx(rows / lengths, abs=1e-6)


def test_strength_does_not_count_for_the_layout() -> None:
    x = rows()
    louder = x * np.linspace(0.5, 9, len(x), dtype=np.float32)[:, None]
    assert project(x, layout="pca", seed=0)[0] == pytest.approx(
        project(louder, layout="pca", seed=0)[0], abs=1e-4
    )
    assert np.linalg.norm(unit_rows(x), axis=1) == pytest.approx(x.any(1).astype(float), abs=1e-6)
    assert not x.any(1).all()  # one of them is silent


def test_the_default_is_the_first_that_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_layout(None) == available()[0]
    there = {"umap", "sklearn"}
    monkeypatch.setattr(
        projection.importlib.util, "find_spec", lambda name: object() if name in there else None
    )
    assert choose_layout(None) == "umap"
    there.remove("umap")
    assert choose_layout(None) == "tsne"
    with pytest.raises(
        ConfigError, match=r"'umap' needs .* pip install 'featviz\[umap\]'; or choose tsne"
    ):
        choose_layout("umap")
    there.clear()
    assert choose_layout(None) == "pca"
    with pytest.raises(ConfigError, match=r"'tsne' needs .*featviz\[atlas\]'; or choose pca"):
        project(rows(), layout="tsne", seed=0)


def test_umap_gets_the_settings_of_the_paper(monkeypatch: pytest.MonkeyPatch) -> None:
    # A stand-in, so that the call is tested where umap-learn is not installed.
    asked: dict[str, object] = {}

    class Umap:
        def __init__(self, **settings: object) -> None:
            asked.update(settings)

        def fit_transform(self, x: np.ndarray) -> np.ndarray:
            return np.asarray(x[:, :2], np.float64)

    module = type(sys)("umap")
    module.UMAP, module.__version__ = Umap, "0"  # type: ignore[attr-defined]
    module.__spec__ = importlib.util.spec_from_loader("umap", None)
    monkeypatch.setitem(sys.modules, "umap", module)
    points, used = project(rows(), layout="umap", seed=7)
    assert points.dtype == np.float32
    assert used == {
        "layout": "umap", "umap": "0", "n_neighbors": 50, "min_dist": 0.05, "metric": "cosine",
    }  # fmt: skip
    assert asked["random_state"] == 7
    assert project(rows(20), layout="umap", seed=7)[1]["n_neighbors"] == 19


def test_too_few_samples_for_a_layout() -> None:
    with pytest.raises(ConfigError, match="needs 4 samples or more, got 3"):
        project(rows(3), layout="pca", seed=0)


def test_outliers_are_pulled_to_the_border() -> None:
    line = np.linspace(0, 1, 201)
    points = np.stack([line, np.full(201, 4.0)], 1)
    points[0, 0], points[-1, 0] = -50, 70
    found = to_square(points)
    low, high = np.percentile(points[:, 0], [1, 99])
    reach = 0.1 * (high - low)
    clipped = np.clip(points[:, 0], low - reach, high + reach)
    assert found[:, 0] == pytest.approx((clipped - clipped.min()) / (clipped.max() - clipped.min()))
    assert found[:, 0].min() == 0
    assert found[:, 0].max() == 1
    assert found[:, 1].tolist() == [0.5] * 201


# ---- grid --------------------------------------------------------------------------------------


def test_cells_are_those_of_brute_force() -> None:
    drawn = np.random.default_rng(0)
    points, values = drawn.random((5000, 2)), rows(5000)
    points[:4] = [[0, 0], [1, 1], [0.25, 1], [1, 0.5]]
    found = make_grid(points, side=8, min_points=70)
    slow = reference.grid_cells(points, 8)
    kept = {place: members for place, members in slow.items() if len(members) >= 70}
    assert 1 < len(kept) < len(slow)
    assert list(zip(found.rows.tolist(), found.columns.tolist(), strict=True)) == sorted(kept)
    means = found.mean(values)
    for k, place in enumerate(sorted(kept)):
        members = kept[place]
        assert found.counts[k] == len(members)
        assert np.flatnonzero(found.member == k).tolist() == members
        assert means[k] == pytest.approx(values[members].mean(0, dtype=np.float64))
    assert (found.member == -1).sum() == 5000 - found.counts.sum()


def test_no_cell_with_enough_points() -> None:
    points = np.array([[0.1, 0.1], [0.9, 0.9], [0.9, 0.91]])
    with pytest.raises(
        ConfigError, match=r"none of 4x4 cells holds 3 of 3 samples .*fullest has 2"
    ):
        make_grid(points, side=4, min_points=3)


def test_likeness_of_neighbours() -> None:
    points = (np.indices((4, 4)).reshape(2, -1).T[:, ::-1] + 0.5) / 4
    grid = make_grid(points, side=4, min_points=1)
    halves = np.where(grid.columns[:, None] < 2, [[1.0, 0.0]], [[0.0, 2.0]])
    found = neighbour_likeness(grid, halves)
    assert found["pairs"] == 24
    # Of 24 neighbours the 4 across the middle differ.
    assert found["neighbours"] == pytest.approx(20 / 24)
    assert found["random"] < 0.75
    alone = make_grid(points[:1], side=4, min_points=1)
    assert neighbour_likeness(alone, halves[:1])["neighbours"] is None
