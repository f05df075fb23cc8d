"""Photographs and a labelled network for tests of the activation atlas."""

from pathlib import Path

import numpy as np
from PIL import Image

from featviz.models.model import Model
from featviz.models.spec import ModelSpec, Preprocess
from nets import small_net

LABELS = ("ant", "bee", "<b>cat</b>", "dog & co", "</script><script>alert(1)</script>", "fox")


def labelled_model() -> Model:
    spec = ModelSpec(
        name="small",
        build=small_net,
        preprocess=Preprocess(),
        size=(32, 32),
        labels=lambda: LABELS,
    )
    return Model(small_net(), spec, weights_origin="seeded")


def write_pictures(folder: Path, count: int = 8, seed: int = 0) -> Path:
    """Coloured noise, half of it in a folder below."""
    drawn = np.random.default_rng(seed)
    (folder / "below").mkdir(parents=True, exist_ok=True)
    for k in range(count):
        pixels = drawn.integers(0, 256, (40, 48, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / ("below" if k % 2 else ".") / f"{k}.png")
    return folder
