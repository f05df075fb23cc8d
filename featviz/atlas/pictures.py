"""Pictures as an atlas keeps them: WebP, and small ones to browse."""

import io

from PIL import Image

THUMB_QUALITY = 80


def webp_bytes(picture: Image.Image, *, quality: int) -> bytes:
    """Return a WebP file.

    Args:
        picture: Of any mode.
        quality: 0 to 100.
    """
    kept = picture
    if picture.mode not in {"RGB", "RGBA"}:
        kept = picture.convert("RGBA" if "A" in picture.mode else "RGB")
    buffer = io.BytesIO()
    kept.save(buffer, "WEBP", quality=quality)
    return buffer.getvalue()


def thumb_bytes(picture: Image.Image, side_px: int) -> bytes:
    """Return the small picture of a picture, WebP.

    Args:
        picture: Of any mode; one that is small already keeps its size.
        side_px: Longer side at most.
    """
    return webp_bytes(small_picture(picture, side_px), quality=THUMB_QUALITY)


def small_picture(picture: Image.Image, side_px: int) -> Image.Image:
    """Return a copy that is no larger than that.

    Args:
        picture: Of any mode; one that is small already keeps its size.
        side_px: Longer side at most.
    """
    small = picture.copy()
    small.thumbnail((side_px, side_px), Image.Resampling.LANCZOS)
    return small
