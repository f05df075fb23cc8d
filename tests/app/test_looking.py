"""What a network sees in a photograph: maps, order of units, heat maps, classes, reasons."""

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image

from app.looking import (
    METHODS,
    as_batch,
    data_url,
    earlier_sites,
    explain,
    grid_px,
    heat_map,
    heat_tile,
    site_maps,
    top_classes,
    top_units,
)
from featviz.receptive_field import Axis
from nets import small_model

SIZE = (32, 32)


def noise() -> Image.Image:
    array = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    return Image.fromarray(array)


def test_maps_are_those_of_the_network() -> None:
    model, picture = small_model(), noise()
    maps = site_maps(model, "block", picture)
    expected = model.record(as_batch(picture), ["block"])["block"][0]
    assert torch.equal(torch.from_numpy(maps), expected)


def test_units_in_order() -> None:
    maps = np.zeros((3, 2, 2), np.float32)
    maps[0, 0, 0] = 5
    maps[1] = 2
    maps[2, 1, 1] = 3
    assert top_units(maps, 2) == [(0, 5.0), (2, 3.0)]
    assert top_units(maps, 1, by="mean") == [(1, 2.0)]
    assert top_units(maps, 3, at=(1, 1)) == [(2, 3.0), (1, 2.0), (0, 0.0)]


def test_classes_are_named_and_add_up() -> None:
    model, picture = small_model(), noise()
    found = top_classes(model, picture, 6)
    logits = model(as_batch(picture))[0]
    assert [each.index for each in found] == logits.argsort(descending=True).tolist()
    assert sum(each.share for each in found) == pytest.approx(1, abs=1e-5)
    assert found[0].name == ""


def test_the_middle_of_each_field() -> None:
    assert grid_px(4, Axis(size_px=7, stride_px=4, start_px=-3), 32) == (0.5, 4.0)
    assert grid_px(4, None, 32) == (4.0, 8.0)


def test_a_heat_map_is_strongest_where_the_field_is() -> None:
    model = small_model()
    site = model.site_table().resolve("block")
    assert site.field.y is not None
    values = np.zeros(site.map_size, np.float32)
    values[2, 5] = 3.0
    values[5, 2] = -3.0
    for shown, scale in ((None, 1), ((16, 16), 2)):
        array = np.asarray(heat_map(values, site, SIZE, shown=shown)).astype(int)
        first, step = grid_px(site.map_size[0], site.field.y, SIZE[0])
        y, x = (int((first + k * step) / scale) for k in (2, 5))
        assert array[y, x, 3] >= array[..., 3].max() - 60
        assert array[y, x, 0] > array[y, x, 2], "what excites is red"
        assert array[x, y, 2] > array[x, y, 0], "what inhibits is blue"
    assert not np.asarray(heat_map(values * 0, site, SIZE))[..., 3].any()


def test_a_tile_is_a_picture() -> None:
    model = small_model()
    site = model.site_table().resolve("block")
    url = heat_tile(noise(), np.ones(site.map_size, np.float32), site)
    picture = Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))
    assert picture.mode == "RGB"
    assert data_url(picture).startswith("data:image/png;base64,")


@pytest.mark.parametrize("method", METHODS)
def test_reasons_add_up_where_the_way_is_complete(method: str) -> None:
    model = small_model()
    found = explain(model, "block", "logits", 2, noise(), method)
    assert found.value.item() == pytest.approx(model(as_batch(noise()))[0, 2].item(), rel=1e-4)
    if method == "integrated":
        assert abs(found.gap.item()) < 0.05 * abs(found.value.item())


def test_earlier_sites_come_nearest_first() -> None:
    sites = small_model().sites()
    names = [site.name for site in sites]
    assert earlier_sites(sites, names[2]) == [names[1], names[0]]
    assert earlier_sites(sites, names[0]) == []
