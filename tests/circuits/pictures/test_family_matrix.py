import numpy as np
import pytest
import torch
from PIL import Image

from circuits import Family, WeightMap, family_matrix
from featviz.errors import CircuitError
from featviz.units import Unit

_HEAD_PX = 40
RED, BLUE = (0xCA, 0x00, 0x20), (0x05, 0x71, 0xB0)


def weight_map() -> WeightMap:
    kernel = torch.zeros(2, 3, 1, 1)
    kernel[0, 1], kernel[1, 0], kernel[1, 2] = 2.0, -3.0, 1.5
    return WeightMap(kernel=kernel, source="a", target="b", sources=(0, 1, 2), targets=(4, 7),
                     stride=(1, 1), offset=(0, 0), gates="identity", method="compose",
                     notes=("one activation function passed",))  # fmt: skip


def families() -> tuple[Family, Family]:
    sources = Family.of("early", "a", [1, 0], angles_deg=[5.0, 200.0])
    return sources, Family.of("late", "b", [7, 4], angles_deg=[10.0, 350.0])


def places(picture: Image.Image, color: tuple[int, int, int]) -> tuple[int, int, int, int] | None:
    """Return the box around a colour, below the lines of text and the scale beside them."""
    mask = (np.asarray(picture) == color).all(2)
    mask[:_HEAD_PX] = False
    return Image.fromarray(mask).getbbox()


def test_kernels_lie_in_the_order_of_the_families() -> None:
    found = family_matrix(weight_map(), *families(), side_px=20)
    red, blue = places(found, RED), places(found, BLUE)
    assert red is not None
    assert blue is not None
    # Columns 7, 4 and rows 1, 0: 1 -> 4 is above right, 0 -> 7 below left.
    assert (red[0] - blue[0], blue[1] - red[1]) == (23, 23)
    assert (red[2] - red[0], red[3] - red[1]) == (18, 18)  # inside its border


def test_colours_are_scaled_by_all_inputs_of_the_target() -> None:
    sources = Family.of("early", "a", [2])
    found = family_matrix(weight_map(), sources, families()[1], side_px=20)
    assert places(found, RED) is None
    assert places(found, (0xF4, 0xA5, 0x82)) is not None  # half of the strongest


def test_feature_images_stand_beside_the_labels() -> None:
    green = {Unit("a", 0): Image.new("RGB", (9, 9), (0, 255, 0))}
    bare = family_matrix(weight_map(), *families(), side_px=20)
    full = family_matrix(weight_map(), *families(), pictures=green, side_px=20)
    box = places(full, (0, 255, 0))
    assert box is not None
    assert (box[2] - box[0], box[3] - box[1]) == (20, 20)
    red = places(full, RED)
    assert red is not None
    assert box[1] == red[1] - 1 + 23  # beside the second row
    assert full.height == bare.height + 23
    titled = family_matrix(weight_map(), *families(), title="other words", side_px=20)
    assert titled.size == bare.size
    assert titled.tobytes() != bare.tobytes()


def test_the_scale_stands_above() -> None:
    top = np.asarray(family_matrix(weight_map(), *families(), side_px=20))[:_HEAD_PX]
    assert (top == RED).all(2).any()
    assert (top == BLUE).all(2).any()


def test_units_that_are_not_in_the_weights() -> None:
    sources, targets = families()
    with pytest.raises(CircuitError, match="a:9 of the family 'x' is not in the weights, which j"):
        family_matrix(weight_map(), Family.of("x", "a", [9]), targets)
    with pytest.raises(CircuitError, match=r"b:4 of the family 'x' .* join units of 'a' here"):
        family_matrix(weight_map(), Family.of("x", "b", [4]), targets)
    with pytest.raises(CircuitError, match="a:1 of the family 'early'"):
        family_matrix(weight_map(), sources, sources)
