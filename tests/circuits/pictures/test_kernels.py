import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from circuits import WeightMap
from circuits.pictures.kernels import diverging_colors, kernel_picture, weight_sheet
from circuits.pictures.weight_files import check_weight_files, save_weights
from featviz.errors import CircuitError, OutputError


def weight_map() -> WeightMap:
    kernel = torch.zeros(2, 3, 2, 3)
    kernel[0, 1] = torch.tensor([[1.0, -2.0, 4.0], [0.0, 0.0, 2.0]])
    kernel[0, 2, 0, 0] = -1.0
    return WeightMap(kernel=kernel, source="a/x", target="b", sources=(0, 1, 2), targets=(4, 7),
                     stride=(2, 2), offset=(-1, 0), gates="identity", method="compose",
                     notes=("a note",))  # fmt: skip


def test_colors_are_the_anchors_and_linear_between() -> None:
    values = torch.tensor([[-1.0, -0.5, 0.0, 0.5, 1.0, 0.25, 9.0, -9.0]])
    found = (diverging_colors(values)[:, 0] * 255).round().int().T.tolist()
    anchors = ["0571b0", "92c5de", "f7f7f7", "f4a582", "ca0020"]
    assert ["".join(f"{part:02x}" for part in color) for color in found[:5]] == anchors
    assert found[5] == [round((a + b) / 2) for a, b in zip(found[2], found[3], strict=True)]
    assert (found[6], found[7]) == (found[4], found[0])
    assert (diverging_colors(torch.tensor([[math.nan]])) * 255).flatten().tolist() == [255, 217, 47]


def test_a_kernel_lies_the_right_way_up_in_whole_pixels() -> None:
    picture = kernel_picture(torch.tensor([[1.0, 0.0], [0.0, -1.0]]), scale=1.0, side_px=20)
    assert picture.size == (20, 20)
    assert picture.getpixel((5, 5)) == (0xCA, 0x00, 0x20)
    assert picture.getpixel((15, 15)) == (0x05, 0x71, 0xB0)
    assert kernel_picture(torch.zeros(50, 3), scale=0.0, side_px=20).size == (50, 50)


def test_a_sheet_shows_inputs_beside_their_pictures() -> None:
    red = Image.new("RGB", (10, 10), "red")
    bare = weight_sheet(weight_map(), 4)
    full = weight_sheet(weight_map(), 4, features={1: red}, feature=red)
    assert full.width > bare.width
    assert (255, 0, 0) in {color for _, color in full.getcolors(2**20)}
    with pytest.raises(CircuitError, match="b:5 is not in the weights"):
        weight_sheet(weight_map(), 5)


def test_files_hold_the_arrays_upstream_first(tmp_path: Path) -> None:
    weights = weight_map()
    paths = save_weights([weights], tmp_path, model_name="net", count=2)
    assert [path.name for path in paths] == [
        "net_a-x_to_b_identity.npz",
        "net_a-x_to_b_identity.json",
        "net_a-x_to_b_identity_4.png",
        "net_a-x_to_b_identity_7.png",
    ]
    with np.load(paths[0]) as arrays:
        assert arrays["kernels"].shape == (3, 2, 2, 3)
        assert arrays["kernels"][1, 0, 0].tolist() == [1.0, -2.0, 4.0]
        assert arrays["targets"].tolist() == [4, 7]
    document = json.loads(paths[1].read_text())
    assert document["units"][0]["max_weight"] == 4.0
    first, second = document["units"][0]["inputs"]
    assert (first["unit"], first["strength"]) == ("a/x:1", 5.0)
    assert first["kernel"] == [[1.0, -2.0, 4.0], [0.0, 0.0, 2.0]]
    assert second["unit"] == "a/x:2"
    assert document["notes"] == ["a note"]


def test_files_are_not_replaced_unasked(tmp_path: Path) -> None:
    (tmp_path / "net_a-x_to_b_identity_7.png").write_text("mine")
    with pytest.raises(OutputError, match="exists; choose another folder or pass --overwrite"):
        save_weights([weight_map()], tmp_path, model_name="net")
    assert [path.name for path in tmp_path.iterdir()] == ["net_a-x_to_b_identity_7.png"]
    check_weight_files([weight_map()], tmp_path, model_name="net", overwrite=True)
    save_weights([weight_map()], tmp_path, model_name="net", overwrite=True)
    assert len(list(tmp_path.iterdir())) == 4
