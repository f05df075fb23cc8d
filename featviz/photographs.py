"""Picture files of other programs: opened, turned upright, in plain colours; and lists of them.

The only reader of photographs. What size they get, and what is cut off, is up to the callers.
"""

import contextlib
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from featviz.errors import PictureError
from featviz.resampling import GREY

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")


def is_picture(file: Path) -> bool:
    """Tell whether a file, by its name, is a picture to take from a folder; hidden ones are not."""
    return file.suffix.lower() in SUFFIXES and not file.name.startswith(".") and file.is_file()


def sorted_pictures(files: Iterable[Path]) -> list[Path]:
    """Return those of some files that are pictures, by name."""
    return sorted(file for file in files if is_picture(file))


def known_suffixes() -> str:
    """Return the endings of picture files as text for messages."""
    return " ".join(suffix.removeprefix(".") for suffix in SUFFIXES)


def open_photograph(
    file: str | Path,
    *,
    channels: int = 3,
    alpha: bool = False,
    ground: float = GREY,
    max_pixels: int | None = None,
) -> Image.Image:
    """Read a picture file as 8-bit RGB or grey, with or without alpha.

    Turned upright as its metadata say; the ground shows through transparent places; grey pictures
    of 16 bits are scaled to 8; of moving pictures the first frame counts. Colour profiles are
    ignored: numbers are taken for sRGB, and CMYK is converted by formula.

    Args:
        file: A picture.
        channels: 3, or 1 for grey, besides alpha.
        alpha: Whether to keep an alpha channel, or add one that is opaque.
        ground: Grey level, 0..1, behind what is transparent, if it is not kept.
        max_pixels: Most that are read; None for what Pillow takes.

    Raises:
        PictureError: If there is no such file, it cannot be read to its end, holds numbers without
            a range, or more pixels than that, or than Pillow takes (some 179 million).
    """
    picture = read_pixels(file, max_pixels=max_pixels)
    return plain_picture(picture, file, channels=channels, alpha=alpha, ground=ground)


def plain_picture(
    picture: Image.Image,
    file: str | Path,
    *,
    channels: int = 3,
    alpha: bool = False,
    ground: float = GREY,
) -> Image.Image:
    """Return a picture that was opened as `open_photograph` does.

    Args:
        picture: As Pillow reads it.
        file: Its name, for messages.
        channels: See `open_photograph`.
        alpha: Likewise.
        ground: Likewise.

    Raises:
        PictureError: If it cannot be read to its end, or holds numbers without a range.
    """
    try:
        upright = _eight_bits(ImageOps.exif_transpose(picture))
        mode = "RGB" if channels == 3 else "L"
        if alpha:
            return upright.convert("RGBA").convert(mode + "A")
        if upright.has_transparency_data:
            front = upright.convert("RGBA")
            behind = Image.new("RGBA", front.size, (round(ground * 255),) * 3)
            upright = Image.alpha_composite(behind, front)
        return upright.convert(mode)
    # Metadata come from anywhere, and Pillow raises whatever it stumbles over.
    except Exception as error:
        raise _unreadable(file, error) from error


def check_format(file: str | Path) -> None:
    """Check that a file begins as a picture does, without reading all of it.

    Raises:
        PictureError: If there is no such file, or its format is not known.
    """
    with _opened(file):
        pass


def read_pixels(file: str | Path, *, max_pixels: int | None = None) -> Image.Image:
    """Read a picture file whole, as it is.

    Args:
        file: A picture.
        max_pixels: Most that are read; None for what Pillow takes.

    Raises:
        PictureError: If there is no such file, it cannot be read to its end, or has more pixels.
    """
    with _opened(file) as picture:
        if max_pixels is not None and picture.width * picture.height > max_pixels:
            raise ValueError(f"it has more than {max_pixels:,} pixels")
        picture.load()
    return picture


@contextlib.contextmanager
def _opened(file: str | Path) -> Iterator[Image.Image]:
    """Open a picture, and tell clearly what goes wrong as long as it is open."""
    path = Path(file)
    try:
        if not path.is_file():
            what = "it is a folder" if path.is_dir() else "there is no such file"
            raise PictureError(f"cannot read {str(file)!r} as a picture: {what}; give a file")
        with warnings.catch_warnings():
            # Pillow warns of half of what it refuses; such photographs exist.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as picture:
                yield picture
    except PictureError:
        raise
    # Files come from anywhere, and Pillow raises whatever it stumbles over.
    except Exception as error:
        raise _unreadable(file, error) from error


def _eight_bits(picture: Image.Image) -> Image.Image:
    """Return a picture of at most 8 bits a channel."""
    if picture.mode.startswith("I"):
        values = np.asarray(picture).astype(np.int64)
        if values.size and not 0 <= values.min() <= values.max() <= 0xFFFF:
            raise ValueError("its numbers exceed 16 bits, so white is unknown")
        return Image.fromarray(((values + 128) // 257).astype(np.uint8))
    if picture.mode == "F":
        raise ValueError("it holds fractions without a range, so white is unknown")
    return picture


def _unreadable(file: str | Path, error: Exception) -> PictureError:
    if isinstance(error, Image.DecompressionBombError):
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        reason = f"it has more than {limit:,} pixels"
    elif isinstance(error, OSError) and error.strerror:
        reason = error.strerror
    elif isinstance(error, UnidentifiedImageError):
        reason = "its format is not known"
    else:
        reason = str(error) or type(error).__name__
    return PictureError(
        f"cannot read {str(file)!r} as a picture: {reason}; give a whole picture of 8 bits a "
        "channel"
    )
