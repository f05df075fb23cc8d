"""The shared photographs, prepared as ImageNet's are."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional

from featviz.models import Model

Photographs = tuple[Tensor, Tensor]


@pytest.fixture(scope="session")
def photographs(shared_dir: Path) -> Photographs:
    """200 photographs, short side 256 px (bicubic, Pillow's default), centre 224; and classes."""
    # Pillow is imported here so that a machine without ../shared skips before anything else.
    from PIL import Image

    images, classes = [], []
    for file in sorted((shared_dir / "images" / "imagenet-sample").glob("*.jpg")):
        with Image.open(file) as photo:
            small = functional.resize(
                photo.convert("RGB"), [256], interpolation=InterpolationMode.BICUBIC
            )
        image = functional.to_image(functional.center_crop(small, [224]))
        images.append(functional.to_dtype(image, torch.float32, scale=True))
        classes.append(int(file.name.partition("_")[0]))
    assert len(images) == 200
    return torch.stack(images), torch.tensor(classes)


@pytest.fixture
def count_right(photographs: Photographs) -> Callable[[Model, int], tuple[int, int]]:
    """Count photographs, every `step`-th, whose class is the first, or among the first five."""

    def count(model: Model, step: int) -> tuple[int, int]:
        images, classes = photographs[0][::step], photographs[1][::step]
        with torch.inference_mode():
            logits = torch.cat([model(images[k : k + 20]) for k in range(0, len(images), 20)])
        hits = logits.topk(5).indices == classes[:, None]
        return int(hits[:, 0].sum()), int(hits.any(1).sum())

    return count
