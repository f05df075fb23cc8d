"""Folders of pictures, read one batch at a time: 100,000 photographs must not be in memory."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from featviz.errors import PictureError
from featviz.photographs import check_format, known_suffixes, open_photograph, sorted_pictures

# The short side is 256 for a crop of 224, as networks on ImageNet are tested.
_MARGIN = 256 / 224


@dataclass(frozen=True)
class PictureFolder:
    """The pictures below a folder, in the order of their names.

    Attributes:
        path: The folder.
        files: The pictures.
    """

    path: Path
    files: tuple[Path, ...]

    @classmethod
    def open(cls, folder: str | Path) -> "PictureFolder":
        """List the pictures below a folder, hidden files left out.

        Raises:
            PictureError: If there is no such folder, or fewer than two pictures in it: one has
                no spread to compare with.
        """
        path = Path(folder)
        if not path.is_dir():
            raise PictureError(f"there is no folder {str(folder)!r}; give a folder of photographs")
        files = sorted_pictures(path.rglob("*"))
        if len(files) < 2:
            raise PictureError(
                f"{str(folder)!r} holds {len(files)} pictures ({known_suffixes()}); give a folder "
                "with two at least, better hundreds"
            )
        return cls(path, tuple(files))

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.files)

    def check(self) -> None:
        """Look at the beginning of each picture, which takes much less time than reading it.

        Raises:
            PictureError: If the format of one is not known.
        """
        for file in self.files:
            check_format(file)

    def readable(
        self, skipped: Callable[[Path, PictureError], None] | None = None
    ) -> "PictureFolder":
        """Return the folder without the pictures that cannot be read; each is read to its end.

        Args:
            skipped: Called with each that is left out, and why.

        Raises:
            PictureError: If fewer than two are left.
        """
        files = []
        for file in self.files:
            try:
                open_photograph(file)
            except PictureError as error:
                if skipped is not None:
                    skipped(file, error)
            else:
                files.append(file)
        if len(files) < 2:
            raise PictureError(
                f"of {len(self)} pictures in {str(self.path)!r} {len(files)} can be read; give a "
                "folder with two at least, better hundreds"
            )
        return PictureFolder(self.path, tuple(files))

    def batches(
        self, size: tuple[int, int], *, channels: int = 3, batch: int = 32
    ) -> Iterator[Float[Tensor, "b c h w"]]:
        """Give the pictures as images in 0..1, in the order of `files`.

        Args:
            size: Height and width in pixels, see `read_picture`.
            channels: 3, or 1 for grey.
            batch: Pictures at a time.

        Raises:
            PictureError: If a picture cannot be read, or for other channels.
        """
        if channels not in (1, 3):
            raise PictureError(
                f"pictures have 3 channels, or 1 if grey, and the network takes {channels}; "
                "compare it with its own data in Python: featviz.metrics.statistics"
            )
        for first in range(0, len(self.files), batch):
            files = self.files[first : first + batch]
            yield torch.stack([read_picture(file, size, channels=channels) for file in files])


def read_picture(file: Path, size: tuple[int, int], *, channels: int = 3) -> Float[Tensor, "c h w"]:
    """Read a picture as an image in 0..1: resized to cover 8/7 of the size, its centre cut out.

    Args:
        file: A picture, see photographs.py.
        size: Height and width in pixels.
        channels: 3, or 1 for grey.

    Raises:
        PictureError: If it cannot be read.
    """
    h, w = size
    picture = centre_of(open_photograph(file, channels=channels), size)
    array = np.asarray(picture, dtype=np.float32) / 255
    return torch.from_numpy(array.reshape(h, w, channels)).permute(2, 0, 1)


def centre_of(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Return a picture resized to cover 8/7 of a size, its centre of that size cut out.

    Args:
        picture: RGB or grey.
        size: Height and width in pixels.
    """
    h, w = size
    scale = max(h / picture.height, w / picture.width) * _MARGIN
    shown = max(w, round(picture.width * scale)), max(h, round(picture.height * scale))
    picture = picture.resize(shown, Image.Resampling.BILINEAR)
    left, top = (shown[0] - w) // 2, (shown[1] - h) // 2
    return picture.crop((left, top, left + w, top + h))
