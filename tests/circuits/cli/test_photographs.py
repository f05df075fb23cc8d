from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import featviz
from circuits.cli.photographs import read_photographs
from featviz.errors import PictureError
from featviz.models import Model


@pytest.fixture(scope="module")
def model() -> Model:
    return featviz.load(nn.Conv2d(3, 1, 1), mean=(0.0,) * 3, std=(1.0,) * 3, size=8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for value in (0, 51, 255):
        Image.fromarray(np.full((9, 12, 3), value, np.uint8)).save(tmp_path / f"{value:03}.png")
    return tmp_path


def test_the_first_photographs_at_the_size_of_the_network(model: Model, folder: Path) -> None:
    found, told = read_photographs(model, folder, 2)
    assert told == f"2 photographs of {folder}"
    expected = torch.tensor([0.0, 0.2])[:, None, None, None].expand(2, 3, 8, 8)
    assert torch.allclose(found, expected)
    everything, told = read_photographs(model, folder, 64)
    assert (len(everything), told) == (3, f"3 photographs of {folder}")


def test_no_folder(model: Model, tmp_path: Path) -> None:
    with pytest.raises(PictureError, match="there is no folder"):
        read_photographs(model, tmp_path / "none", 2)
