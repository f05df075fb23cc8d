"""Nearest units: planted pairs are found, strangers stay at chance, and the atlas keeps both."""

from pathlib import Path

import numpy as np
import pytest
import torch
from photo_folders import write_photos

from featviz.atlas import Atlas, Store
from featviz.atlas.examples.collecting import collect_examples
from featviz.atlas.layout import Layout
from featviz.atlas.neighbours.nearest import (
    NeighbourSettings,
    collect_neighbours,
    keep_neighbours,
    nearest_units,
)
from featviz.atlas.neighbours.records import read_neighbours
from featviz.errors import ConfigError, RecordError
from featviz.models.model import Model
from nets import small_model

QUICK = NeighbourSettings(count=3, batch=16, loaders=2)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photos(tmp_path_factory.mktemp("pictures") / "photos", 60)


def twins() -> Model:
    """A model whose late units 1 and 3 are alike, and whose unit 2 is the opposite of unit 0."""
    model = small_model()
    with torch.no_grad():
        late = model.module.late
        late.weight[3] = late.weight[1] * 2
        late.bias[3] = late.bias[1] * 2
        late.weight[2] = -late.weight[0]
    return model


def test_planted_neighbours_are_found(photos: Path) -> None:
    found = collect_neighbours(twins(), ["late"], photos, settings=QUICK)
    for one, other in ((1, 3), (3, 1)):
        for nearest in (found.by_activation("late", one), found.by_weights("late", one)):
            assert nearest is not None
            site, channel, value = nearest.units[0]
            assert (site, channel) == ("late", other)
            assert value == pytest.approx(1, abs=1e-5)
            assert nearest.chance is not None
            assert nearest.chance < 0.6
    opposite = found.by_weights("late", 0)
    assert opposite is not None
    assert opposite.units[-1][1] == 2
    assert opposite.units[-1][2] == pytest.approx(-1)


@pytest.mark.parametrize("statistic", ["maximum", "mean"])
@pytest.mark.parametrize("across", [False, True])
def test_correlations_are_those_of_all_images_at_once(
    photos: Path, statistic: str, across: bool
) -> None:
    model, sites = small_model(), ["block.conv2", "late"]
    settings = NeighbourSettings(count=5, statistic=statistic, across=across, batch=16)
    found = collect_neighbours(model, sites, photos, settings=settings)
    source = collect_examples(model, ["late"], photos).source
    pixels = [source.read(k, (32, 32), 3) for k in range(60)]
    images = torch.tensor(np.stack(pixels)).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        maps = model.record(images, sites)
    units, columns = [], []
    for site in sites:
        for channel in range(maps[site].shape[1]):
            flat = maps[site][:, channel].flatten(1).double()
            units.append((site, channel))
            columns.append((flat.amax(1) if statistic == "maximum" else flat.mean(1)).numpy())
    expected = np.corrcoef(columns)
    for k, (site, channel) in enumerate(units):
        nearest = found.by_activation(site, channel)
        assert nearest is not None
        others = [j for j, (s, _) in enumerate(units) if j != k and (across or s == site)]
        others.sort(key=lambda j: -expected[k, j])
        assert [(s, c) for s, c, _ in nearest.units] == [units[j] for j in others[:5]]
        for (_, _, value), j in zip(nearest.units, others, strict=False):
            assert value == pytest.approx(expected[k, j], abs=1e-4)
        assert nearest.chance is not None
        assert nearest.chance < 0.6  # 60 images: of 11 others, 4 standard errors
    by_weights = found.by_weights("late", 0)
    assert by_weights is not None
    assert {site for site, _, _ in by_weights.units} == {"late"}


def test_nearest_units_of_a_small_matrix() -> None:
    nan = np.nan
    likeness = np.array([[1, 0.5, 0.5, nan], [0.5, 1, 0.9, nan], [0.5, 0.9, 1, nan], [nan] * 4])
    chance = np.array([[9, 0.1, 0.2, nan], [0.3, 9, 0.1, nan], [0.5, 0.4, 9, nan], [nan] * 4])
    units = [("a", k) for k in range(4)]
    found = nearest_units(likeness, chance, units, ["x", "x", "y", "y"], 2)
    assert found[0].units == (("a", 1, 0.5), ("a", 2, 0.5))  # a tie goes to the first
    assert found[1].units == (("a", 2, 0.9), ("a", 0, 0.5))
    assert [each.chance for each in found] == [0.2, 0.3, 0.5, None]
    assert [each.expected for each in found] == [0.25, 0.25, 0.5, None]
    assert found[3].units == ()


def test_evidence_is_kept_and_weights_alone_leave_activations(photos: Path, tmp_path: Path) -> None:
    model = twins()
    with Store(tmp_path / "atlas") as store:
        found = collect_neighbours(
            model, ["late", "pool"], photos, settings=QUICK, state=store.layout.unfinished
        )
        keep_neighbours(store, found)
    layout = Layout(tmp_path / "atlas")
    assert [path.name for path in layout.passes.iterdir()] == [f"{found.key}.json"]
    with Atlas(layout.root) as atlas:
        kept = atlas.evidence("small", "late", 1)["neighbours"]
        pool = atlas.evidence("small", "pool", 1)["neighbours"]
    expected = found.by_activation("late", 1)
    assert expected is not None
    assert kept["activation"] == {
        "pass": found.key, "images": 60, "statistic": "maximum", "across": False,
        "nearest": [{"site": s, "channel": c, "value": v} for s, c, v in expected.units],
        "chance": expected.chance, "expected": expected.expected,
    }  # fmt: skip
    assert kept["weights"]["nearest"][0]["channel"] == 3
    assert pool["weights"] is None
    read = read_neighbours(kept)
    assert read.activation == expected
    assert read.weights == found.by_weights("late", 1)
    assert (read.passed, read.images, read.statistic, read.across) == (
        found.key, 60, "maximum", False,
    )  # fmt: skip
    with Store(tmp_path / "atlas") as store:
        keep_neighbours(store, collect_neighbours(model, ["late"], settings=QUICK))
    with Atlas(layout.root) as atlas:
        assert atlas.evidence("small", "late", 1)["neighbours"] == kept
    other = small_model(seed=4)  # of other weights nothing is taken over
    with Store(tmp_path / "atlas") as store:
        keep_neighbours(store, collect_neighbours(other, ["late"], settings=QUICK))
    with Atlas(layout.root) as atlas:
        assert atlas.evidence("small", "late", 1)["neighbours"]["activation"] is None


def test_an_interrupted_pass_goes_on(photos: Path, tmp_path: Path) -> None:
    model, state = small_model(), tmp_path / "state.npz"
    settings = NeighbourSettings(count=3, batch=8, every=8)
    expected = collect_neighbours(model, ["late"], photos, settings=settings)

    def fall(done: int, _total: int) -> None:
        if done >= 24:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        collect_neighbours(model, ["late"], photos, settings=settings, state=state, progress=fall)
    seen: list[int] = []
    found = collect_neighbours(
        model, ["late"], photos, settings=settings, state=state,
        progress=lambda done, _: seen.append(done),
    )  # fmt: skip
    assert seen[0] == 24
    for channel in range(4):
        assert found.by_activation("late", channel) == expected.by_activation("late", channel)
    with pytest.raises(RecordError, match="is of another pass"):
        collect_neighbours(small_model(seed=1), ["late"], photos, settings=settings, state=state)


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match="statistic must be one of maximum, mean, got 'sum'"):
        NeighbourSettings(statistic="sum")
    with pytest.raises(ConfigError, match="count must be 1 to 1000, got 0"):
        NeighbourSettings(count=0)
    with pytest.raises(ConfigError, match="batch must be a whole number from 1"):
        NeighbourSettings(batch=0)
