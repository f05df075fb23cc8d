"""All cells of a grid on one picture, each where it lies on the map."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from featviz.photographs import read_pixels

QUALITY = 88
"""Of its WebP file."""


def make_sheet(
    side: int, places: Sequence[tuple[int, int]], files: Sequence[Path | None], *, cell_px: int
) -> Image.Image:
    """Return the sheet; transparent where there is no cell.

    Args:
        side: Cells along each side.
        places: Row and column of each cell.
        files: Its picture; None: it has none.
        cell_px: Side of each cell.

    Raises:
        PictureError: If a picture cannot be read.
    """
    sheet = Image.new("RGBA", (side * cell_px, side * cell_px), (0, 0, 0, 0))
    for (row, column), file in zip(places, files, strict=True):
        if file is not None:
            picture = read_pixels(file).convert("RGB")
            sheet.paste(picture, (column * cell_px, row * cell_px))
    return sheet
