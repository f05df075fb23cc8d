"""Photographs that somebody uploads: checked before they are decoded, then made small and upright.

A file is read as PNG, JPEG or WebP whatever its name says; how many pixels it claims to have is
looked at before any is decoded.
"""

import io
import tempfile
import warnings
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from featviz.errors import PictureError
from featviz.images import png_bytes
from featviz.photographs import open_photograph

FORMATS = ("PNG", "JPEG", "WEBP")
SUFFIXES = ("png", "jpg", "jpeg", "webp")
MAX_BYTES = 20 * 2**20
MAX_PIXELS = 40_000_000
SIDE_PX = 1024
"""Longer side that is kept; networks see less."""


def read_upload(name: str, data: bytes) -> bytes:
    """Return an uploaded photograph as a small upright RGB picture, PNG.

    Transparent places become grey, greys and CMYK become RGB; of moving pictures the first frame
    counts.

    Args:
        name: As its owner calls it, for messages.
        data: The file.

    Raises:
        PictureError: If it is no whole PNG, JPEG or WebP, or too large.
    """
    shown = Path(name).name[:80] or "the file"
    if len(data) > MAX_BYTES:
        raise PictureError(
            f"{shown!r} has {len(data) / 2**20:.0f} MB; {MAX_BYTES // 2**20} MB is the most"
        )
    _check_head(shown, data)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "photo"
        path.write_bytes(data)
        try:
            picture = open_photograph(path)
        except PictureError as error:
            raise PictureError(str(error).replace(repr(str(path)), repr(shown))) from error
    picture.thumbnail((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS)
    return png_bytes(picture)


def _check_head(shown: str, data: bytes) -> None:
    """Look at what a file says of itself; decode nothing."""
    advice = "give a PNG, JPEG or WebP"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
                width, height = picture.size
    except Image.DecompressionBombError as error:
        raise PictureError(f"{shown!r} claims more pixels than can be; {advice}") from error
    except UnidentifiedImageError as error:
        raise PictureError(f"{shown!r} is no picture that is understood; {advice}") from error
    # Files come from anywhere, and Pillow raises whatever it stumbles over.
    except Exception as error:
        raise PictureError(f"{shown!r} cannot be read: {error}; {advice}") from error
    if width * height > MAX_PIXELS:
        raise PictureError(
            f"{shown!r} has {width}x{height} pixels; {MAX_PIXELS // 10**6} million is the most, so "
            "make it smaller first"
        )


def fit(photo: bytes, size: tuple[int, int], *, channels: int) -> Image.Image:
    """Return what a network sees of a photograph: the middle, at its size.

    Args:
        photo: From `read_upload`.
        size: Height and width in pixels.
        channels: 3, or 1 for grey.

    Raises:
        PictureError: For another number of channels.
    """
    if channels not in (1, 3):
        raise PictureError(f"a photograph has 3 channels, or 1 if grey; this takes {channels}")
    picture = Image.open(io.BytesIO(photo)).convert("RGB" if channels == 3 else "L")
    return ImageOps.fit(picture, (size[1], size[0]), Image.Resampling.BICUBIC)
