"""Tensors to picture files and back; contact sheets.

Files appear whole or not at all: written beside their place and then renamed.
"""

import contextlib
import io
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont, ImageOps, PngImagePlugin
from torch import Tensor

from featviz.errors import OutputError, PictureError, RecordError
from featviz.photographs import open_photograph, read_pixels
from featviz.resampling import GREY

TEXT_KEY = "featviz"
_CAPTION_PX = 13
_GAP_PX = 6
_SQUARE_PX = 8
_LIGHT, _DARK = 235, 200


def to_picture(image: Float[Tensor, "c h w"], *, alpha: bool = False) -> Image.Image:
    """Return an 8-bit picture of an image in 0..1.

    One channel gives a grey picture, three an RGB one; any other number gives the channels as
    grey pictures from left to right, for which there is no other way to show them faithfully.
    Values are rounded to the nearest of 256 levels; not-a-number becomes 0.

    Args:
        image: Values 0..1.
        alpha: Whether the last channel, after one or three others, is alpha.
    """
    levels = (image.detach().float().nan_to_num(0).clamp(0, 1) * 255).round()
    array = levels.to("cpu", torch.uint8).numpy()
    mode = _modes(alpha=alpha).get(len(array))
    if mode is not None:
        return Image.fromarray(np.ascontiguousarray(array.transpose(1, 2, 0)), mode)
    return Image.fromarray(np.concatenate(list(array), axis=1), "L")


def _modes(*, alpha: bool) -> dict[int, str]:
    """Return the modes of pictures that hold their channels together, by the number of these."""
    return {2: "LA", 4: "RGBA"} if alpha else {3: "RGB"}


def to_image(
    picture: Image.Image, size: tuple[int, int], *, alpha: bool = False
) -> Float[Tensor, "c h w"]:
    """Return the image of a picture: the inverse of `to_picture`, but for the rounding.

    Args:
        picture: From `to_picture`; RGB, or grey with one channel beside the other.
        size: Height and width of the image in pixels.
        alpha: Whether it is to have an alpha channel.

    Raises:
        PictureError: If the picture has another size or kind.
    """
    h, w = size
    together = _modes(alpha=alpha).values()
    beside = 1 if picture.mode in together else max(1, picture.width // w)
    apart = picture.mode == "L" and not alpha
    if not (picture.mode in together or apart) or picture.size != (w * beside, h):
        raise PictureError(
            f"the picture has {picture.width}x{picture.height} px in mode {picture.mode}, its "
            f"record says {w}x{h}{', transparent' * alpha}; was it edited?"
        )
    array = torch.from_numpy(np.array(picture, dtype=np.float32)) / 255
    if picture.mode in together:
        return array.permute(2, 0, 1).contiguous()
    return array.reshape(h, beside, w).permute(1, 0, 2).contiguous()


def read_photo(
    file: str | Path,
    size: tuple[int, int],
    *,
    channels: int = 3,
    alpha: bool = False,
    ground: float = GREY,
) -> Float[Tensor, "c h w"]:
    """Read a picture as an image in 0..1: resized to cover a size, the middle of it cut out.

    Args:
        file: A picture, see photographs.py.
        size: Height and width in pixels.
        channels: 3, or 1 for grey, besides alpha.
        alpha: Whether the image gets an alpha channel, last: 1 where the picture has none.
        ground: Grey level, 0..1, behind what is transparent if it gets none.

    Raises:
        PictureError: If it cannot be read, or for another number of channels.
    """
    if channels not in {1, 3}:
        raise PictureError(f"a picture has 3 channels, or 1 if grey; the network takes {channels}")
    kept = open_photograph(file, channels=channels, alpha=alpha, ground=ground)
    h, w = size
    fitted = ImageOps.fit(kept, (w, h), Image.Resampling.BICUBIC)
    array = np.asarray(fitted, dtype=np.float32) / 255
    return torch.from_numpy(array.reshape(h, w, -1)).permute(2, 0, 1).contiguous()


def on_squares(picture: Image.Image) -> Image.Image:
    """Return a picture in RGB, a transparent one before a chessboard of light greys."""
    if picture.mode not in {"RGBA", "LA"}:
        return picture.convert("RGB")
    y, x = np.indices((picture.height, picture.width)) // _SQUARE_PX
    board = np.where((x + y) % 2 == 0, _LIGHT, _DARK).astype(np.uint8)
    behind = Image.fromarray(board).convert("RGBA")
    return Image.alpha_composite(behind, picture.convert("RGBA")).convert("RGB")


def png_bytes(picture: Image.Image, *, text: str | None = None) -> bytes:
    """Return a PNG file, with a text chunk if there is a text."""
    info = PngImagePlugin.PngInfo()
    if text is not None:
        info.add_itxt(TEXT_KEY, text)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def read_text(path: Path) -> str:
    """Return the text chunk of a PNG file.

    Raises:
        RecordError: If the file cannot be read or has none.
    """
    try:
        text = getattr(read_pixels(path), "text", {}).get(TEXT_KEY)
    except PictureError as error:
        raise RecordError(str(error)) from error
    if text is None:
        raise RecordError(
            f"{str(path)!r} carries no featviz record; only PNG files that featviz wrote do"
        )
    return str(text)


def write_file(path: Path, content: bytes) -> None:
    """Write a file whole or not at all.

    Raises:
        OutputError: If it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        raise OutputError(
            f"cannot write {str(path)!r}: {error.strerror or error}; choose another folder"
        ) from error
    finally:
        with contextlib.suppress(OSError):  # mostly it is gone already
            temporary.unlink()


def make_folder(folder: Path) -> None:
    """Make a folder that can be written to, with its parents.

    Raises:
        OutputError: If that is not possible.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot make the folder {str(folder)!r}: {error.strerror or error}; choose another"
        ) from error
    check_folder(folder)


def check_folder(folder: Path) -> None:
    """Check that a folder can be written to, or made, and leave everything as it is.

    Raises:
        OutputError: If it cannot.
    """
    above = folder
    while not os.path.lexists(above) and above != above.parent:
        above = above.parent
    if not above.is_dir():
        raise OutputError(
            f"cannot make the folder {str(folder)!r}: {str(above)!r} is no folder; choose another"
        )
    if not os.access(above, os.W_OK | os.X_OK):
        raise OutputError(f"cannot write into {str(above)!r}; choose another folder")


def contact_sheet(
    pictures: Sequence[Image.Image],
    captions: Sequence[str],
    *,
    columns: int | None = None,
    scale: int | None = None,
) -> Image.Image:
    """Lay pictures out in rows on white, each with its caption below.

    Args:
        pictures: All of one size; transparent ones are shown before a chessboard.
        captions: One a picture; long ones are broken into lines, never cut.
        columns: Pictures a row; None: as square a sheet as the number allows, 8 at most.
        scale: Whole-number enlargement of each picture, without smoothing; None: so that the
            side is 96 px at least.
    """
    w, h = pictures[0].size
    scale = scale or max(1, -(-96 // min(w, h)))
    w, h = w * scale, h * scale
    columns = columns or min(8, max(1, round(len(pictures) ** 0.5 + 0.49)))
    columns = min(columns, len(pictures))
    font = ImageFont.load_default(_CAPTION_PX)
    lines = [_broken(caption, w, font) for caption in captions]
    caption_px = max(len(text) for text in lines) * (_CAPTION_PX + 4) + 2
    rows = -(-len(pictures) // columns)
    cell_w, cell_h = w + _GAP_PX, h + caption_px + _GAP_PX
    sheet = Image.new("RGB", (columns * cell_w + _GAP_PX, rows * cell_h + _GAP_PX), "white")
    draw = ImageDraw.Draw(sheet)
    for k, picture in enumerate(pictures):
        x, y = _GAP_PX + k % columns * cell_w, _GAP_PX + k // columns * cell_h
        sheet.paste(on_squares(picture.resize((w, h), Image.Resampling.NEAREST)), (x, y))
        for n, text in enumerate(lines[k]):
            draw.text((x, y + h + 2 + n * (_CAPTION_PX + 4)), text, "black", font=font)
    return sheet


def _broken(
    text: str, width_px: int, font: ImageFont.ImageFont | ImageFont.FreeTypeFont
) -> list[str]:
    """Break a text into lines that fit a width, after a separator where there is one."""
    lines = [""]
    for line in text.split("\n"):
        for character in line:
            if font.getlength(lines[-1] + character) > width_px:
                head, cut, tail = _at_separator(lines[-1])
                lines[-1:] = [head + cut, tail]
            lines[-1] += character
        lines.append("")
    return lines[:-1]


def _at_separator(line: str) -> tuple[str, str, str]:
    places = [line.rfind(mark) for mark in " ./:_-"]
    place = max(places)
    return (line[:place], line[place], line[place + 1 :]) if place > 0 else (line, "", "")
