"""Small atlases: of images that are no pictures, for tests that never look at them; of noise."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from featviz.atlas import NewImage, Store
from featviz.atlas.canonical import content_key
from featviz.atlas.layout import Layout
from featviz.atlas.pictures import thumb_bytes, webp_bytes

WEIGHTS = content_key("weights")


def new(
    channel: int = 0, *, site: str = "fire4", variant: str = "positive", **more: Any
) -> NewImage:
    parts = {
        "key": content_key([site, channel, variant]),
        "job": content_key(["job", site, channel, variant]),
        "model": "net", "weights": WEIGHTS, "site": site, "channel": channel, "variant": variant,
        "image": 0, "label": f"{site}:{channel}", "score": float(channel % 7), "dead": False,
        "failed": False, "metrics": {"sharpness": channel / 10}, "kind": "webp", "height": 8,
        "width": 8, "seconds": 0.1, "record": {"unit": f"{site}:{channel}"}, **more,
    }  # fmt: skip
    picture = f"picture {site} {channel}".encode()
    return NewImage(parts, picture, b"thumb" + picture, {"schema": 1, "config": {"steps": 4}})


def noise(channel: int, side: int = 32) -> Image.Image:
    levels = np.random.default_rng(channel).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(levels).resize((side, side), Image.Resampling.BICUBIC)


def picture_atlas(root: Path, channels: int = 4, **more: Any) -> Layout:
    """Make an atlas of pictures of noise, one job an image."""
    with Store(root) as store:
        for channel in range(channels):
            image = new(channel, height=32, width=32, **more)
            picture = noise(channel)
            store.add(
                [
                    NewImage(
                        image.parts,
                        webp_bytes(picture, quality=90),
                        thumb_bytes(picture, 16),
                        image.shared,
                    )
                ]
            )
    return Layout(root)


def everything(folder: Path) -> dict[str, bytes]:
    """Return all files below a folder, links left out."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            found[str(path)] = path.read_bytes()
    return found


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    """Put a small disk where a folder is, for a while; skip where that is not allowed."""
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "featviz-test", str(folder)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        pytest.skip(f"cannot mount a small disk: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def unsealed(lines: bytes) -> bytes:
    """Return lines of a log without their checksums, so that they may be edited."""
    return re.sub(rb',?"crc32":"[0-9a-f]{8}"\}\n', b"}\n", lines)
