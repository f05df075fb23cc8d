from pathlib import Path

import pytest
from torch import nn

import featviz
from atlases import new
from benchmarks.atlas_scale import BATCH, SIDE, STEP_S, STEPS, measure_disk, units_and_macs
from nets import small_model


def test_units_and_multiply_adds_are_those_of_counting_by_hand() -> None:
    model = small_model()
    units, macs, seconds = units_and_macs(model)
    assert units == sum(site.channels for site in model.sites())
    # Sites before the second convolution need the stem alone: 8 x 3 kernels of 3 x 3, stride 2.
    alone = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU())
    found = units_and_macs(featviz.load(alone, mean=[0.0], std=[1.0], size=SIDE))
    assert found[1] == found[0] * 8 * 3 * 9 * (SIDE // 2) ** 2
    assert macs > 0
    # So small a network takes as long as its kernels take to start.
    assert seconds == pytest.approx(units * STEPS * STEP_S / BATCH)


def test_rates_and_bytes_are_of_what_was_written(tmp_path: Path) -> None:
    image = new(1)
    found = measure_disk([image], tmp_path, 5)
    assert found["picture"] == len(image.picture)
    assert found["thumb"] == len(image.thumb)
    size = sum(path.stat().st_size for path in (tmp_path / "atlas" / "records").iterdir())
    assert found["line"] == size / 5
    assert all(found[name] > 0 for name in ("write", "index", "verify", "export", "row"))
