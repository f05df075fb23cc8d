"""Folders of small pictures that tests look at."""

from pathlib import Path

import numpy as np
from PIL import Image


def write_photos(folder: Path, count: int, *, seed: int = 0) -> Path:
    """Write coloured noise of many contrasts at 28 x 28 px, PNG, every third below a folder.

    Networks of 32 px see these after a resize, so that no two values are alike.
    """
    drawn = np.random.default_rng(seed)
    (folder / "below it").mkdir(parents=True, exist_ok=True)
    for k in range(count):
        noise = drawn.normal(size=(7, 7, 3)).repeat(4, 0).repeat(4, 1)
        pixels = 128 + noise * drawn.uniform(5, 60) + drawn.normal(size=3) * 30
        name = f"below it/{k:04}.png" if k % 3 == 0 else f"{k:04}.png"
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / name)
    return folder
