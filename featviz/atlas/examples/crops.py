"""What a unit saw, cut out of the image, and as a file."""

import io

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from featviz.atlas.examples.boxes import Box
from featviz.resampling import GREY

EDGES = ("clip", "pad")
"""What becomes of a field that leaves the image, the default first."""

_LOSSLESS_PX = 64


def cut(image: UInt8[np.ndarray, "h w c"], box: Box, *, edges: str) -> UInt8[np.ndarray, "y x c"]:
    """Return what lies in a box.

    Args:
        image: 8-bit.
        box: May leave the image.
        edges: `clip`: what leaves the image is left out; `pad`: it is grey, so that the crop is
            as large as the box.

    Returns:
        The pixels; none where the box lies outside, since the unit saw no pixel.
    """
    h, w, channels = image.shape
    inside = box.clipped((h, w))
    seen = image[inside.top : inside.bottom, inside.left : inside.right]
    if edges == "clip" or not seen.size:
        return seen
    ground = round(GREY * 255)
    whole = np.full((box.bottom - box.top, box.right - box.left, channels), ground, np.uint8)
    top, left = inside.top - box.top, inside.left - box.left
    whole[top : top + seen.shape[0], left : left + seen.shape[1]] = seen
    return whole


def to_webp(image: UInt8[np.ndarray, "h w c"], *, side: int) -> bytes:
    """Return a WebP file: lossless where it is tiny, since colours would be halved in resolution.

    Args:
        image: 8-bit, RGB or grey.
        side: Longest side in pixels; larger ones are made smaller.
    """
    grey = image.shape[2] == 1
    picture = Image.fromarray(image[:, :, 0] if grey else np.ascontiguousarray(image)).convert(
        "RGB"
    )
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    tiny = max(picture.size) <= _LOSSLESS_PX
    picture.save(buffer, "WEBP", lossless=tiny, quality=30 if tiny else 88, method=2)
    return buffer.getvalue()
