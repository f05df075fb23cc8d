"""Where a pass over many images gets them: a folder, or any sequence such as a torchvision dataset.

A source is listed once and read one image at a time, from several threads. What cannot be read is
told with a reason; it ends no pass.
"""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image

from featviz.atlas.canonical import content_key
from featviz.atlas.passes.names import is_below
from featviz.atlas.passes.skips import Skips
from featviz.errors import PictureError
from featviz.metrics.pictures import centre_of
from featviz.photographs import SUFFIXES, known_suffixes, open_photograph, plain_picture

MAX_PIXELS = 100_000_000
"""Of a picture in a folder: several may be decoded at a time, 3 bytes a pixel and more."""

Pixels = UInt8[np.ndarray, "h w c"]


@runtime_checkable
class ImageSource(Protocol):
    """Images by number."""

    title: str
    """Where the images are: text for people."""

    loaders: int
    """Threads that may read at a time."""

    passed_over: Skips
    """What was not even listed."""

    def __len__(self) -> int: ...

    def name(self, number: int) -> str:
        """Return the name of an image: text, never part of a path."""
        ...

    def read(self, number: int, size: tuple[int, int], channels: int) -> Pixels:
        """Return an image at a size, height and width in pixels.

        Raises:
            PictureError: If it cannot be read.
        """
        ...

    def fingerprint(self) -> str:
        """Return a key that changes when the images do."""
        ...


@runtime_checkable
class Numbered(Protocol):
    """What has a length and gives an image, or a tuple that begins with one, for each number."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


class FolderSource:
    """The pictures below a folder, links followed, each file and folder once.

    Resized to cover 8/7 of the network's size, the centre cut out, as networks on ImageNet are
    tested. Hidden files are left out.

    Args:
        folder: The folder.

    Raises:
        PictureError: If there is no such folder, or no picture in it.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise PictureError(f"there is no folder {str(folder)!r}; give a folder of photographs")
        self.passed_over = Skips()
        self.title = str(self.folder.resolve())
        self.loaders = min(16, os.cpu_count() or 1)
        self._names: list[str] = []
        self._state = hashlib.sha256()
        seen: set[tuple[int, int]] = set()
        for path, relative in self._files():
            self._list(path, relative, seen)
        if not self._names:
            told = "; ".join(f"{count} {why}" for why, count in self.passed_over.counts.items())
            raise PictureError(
                f"{str(folder)!r} holds no picture ({known_suffixes()})"
                f"{f', and {told}' if told else ''}; give a folder of photographs"
            )

    def _files(self) -> Iterator[tuple[Path, str]]:
        """Yield files and their names; folders behind links last, each folder once."""
        waiting, linked = [""], list[str]()
        entered: set[tuple[int, int]] = set()
        while waiting or linked:
            relative = waiting.pop() if waiting else linked.pop(0)
            path = self.folder / relative
            try:
                status = path.stat()
                if (status.st_dev, status.st_ino) in entered:
                    continue
                entered.add((status.st_dev, status.st_ino))
                with os.scandir(path) as entries:
                    found = sorted(entries, key=lambda e: os.fsencode(e.name))
            except OSError:
                self.passed_over.add(relative, "folders that cannot be read")
                continue
            folders = []
            for entry in found:
                name = f"{relative}/{entry.name}" if relative else entry.name
                if entry.name.startswith("."):
                    continue
                if not _is_folder(entry):
                    yield self.folder / name, name
                elif entry.is_symlink():
                    linked.append(name)
                else:
                    folders.append(name)
            waiting += reversed(folders)

    def _list(self, path: Path, relative: str, seen: set[tuple[int, int]]) -> None:
        if path.suffix.lower() not in SUFFIXES:
            self.passed_over.add(relative, "files that are no picture by their name")
            return
        try:
            status = path.stat()
        except OSError:
            self.passed_over.add(relative, "links to nothing")
            return
        if not is_below(relative):
            self.passed_over.add(relative, "names that other systems take for another folder")
        elif not path.is_file():
            self.passed_over.add(relative, "no plain files")
        elif (status.st_dev, status.st_ino) in seen:
            self.passed_over.add(relative, "other names of the same file")
        else:
            seen.add((status.st_dev, status.st_ino))
            self._names.append(relative)
            state = f"\0{status.st_size}\0{status.st_mtime_ns}\0"
            self._state.update(os.fsencode(relative) + state.encode())

    def __len__(self) -> int:
        """Return how many pictures there are."""
        return len(self._names)

    def name(self, number: int) -> str:
        """Return the name of a picture below the folder."""
        return self._names[number]

    def read(self, number: int, size: tuple[int, int], channels: int) -> Pixels:
        """Return a picture at a size.

        Raises:
            PictureError: If it cannot be read.
        """
        picture = open_photograph(
            self.folder / self._names[number], channels=channels, max_pixels=MAX_PIXELS
        )
        return _pixels(centre_of(picture, size), size, channels)

    def fingerprint(self) -> str:
        """Return a key of all names, sizes and times of change."""
        return self._state.hexdigest()


class SequenceSource:
    """Images of a sequence, such as a torchvision dataset without transforms.

    Args:
        images: Each a PIL image, resized as files are, or a tensor [c h w] or array [h w c] of the
            network's size, 0..1 or 8-bit; or a pair of that and a label.

    Raises:
        PictureError: If it is no sequence, or empty.
    """

    def __init__(self, images: Numbered) -> None:
        if not isinstance(images, Numbered):
            raise PictureError(
                f"images must be a folder or a sequence with a length, got "
                f"{type(images).__name__}; make a list of it"
            )
        if not len(images):
            raise PictureError("there are no images in the sequence; give one at least")
        self._images = images
        self.passed_over = Skips()
        self.title = type(images).__name__
        # Data sets of others need not be safe to read from several threads.
        self.loaders = 1

    def __len__(self) -> int:
        """Return how many images there are."""
        return len(self._images)

    def name(self, number: int) -> str:
        """Return the number as text."""
        return f"#{number}"

    def read(self, number: int, size: tuple[int, int], channels: int) -> Pixels:
        """Return an image at a size.

        Raises:
            PictureError: If it is no image, or a tensor of another size.
        """
        found = self._item(number)
        if isinstance(found, Image.Image):
            plain = plain_picture(found, self.name(number), channels=channels)
            return _pixels(centre_of(plain, size), size, channels)
        if isinstance(found, torch.Tensor):
            array = found.detach().cpu().numpy()
            array = array.transpose(1, 2, 0) if array.ndim == 3 else array
        elif isinstance(found, np.ndarray):
            array = found
        else:
            raise PictureError(f"a {type(found).__name__} is no image")
        if array.shape != (*size, channels):
            raise PictureError(
                f"an array of shape {array.shape} is no image of {(*size, channels)}, height, "
                "width, channels; give it at the network's size, or as a PIL image"
            )
        if array.dtype != np.uint8:
            if not np.issubdtype(array.dtype, np.floating):
                raise PictureError(f"its numbers are {array.dtype}, neither 8-bit nor 0..1")
            if not np.isfinite(array).all() or array.min() < 0 or array.max() > 1:
                raise PictureError("its values are not within 0..1")
            array = np.round(array * 255).astype(np.uint8)
        return np.ascontiguousarray(array)

    def fingerprint(self) -> str:
        """Return a key of the length and of three images: reading all would take a pass."""
        ends = {0, len(self) // 2, len(self) - 1}
        return content_key([len(self), *(self._digest(k) for k in sorted(ends))])

    def _item(self, number: int) -> Any:
        try:
            item = self._images[number]
        # Data sets read files, and raise whatever they stumble over.
        except Exception as error:
            reason = str(error) or type(error).__name__
            raise PictureError(f"the sequence gives no image: {reason}") from error
        return item[0] if isinstance(item, tuple | list) else item

    def _digest(self, number: int) -> str:
        try:
            found = self._item(number)
            data = found.cpu() if isinstance(found, torch.Tensor) else found
            return hashlib.sha256(np.asarray(data).tobytes()).hexdigest()
        except (PictureError, OSError, ValueError) as error:
            return f"unreadable: {type(error).__name__}"


def open_source(images: str | Path | Numbered | ImageSource) -> ImageSource:
    """Return the source of a folder or a sequence; a source stays as it is.

    Raises:
        PictureError: If there is no such folder, no image, or it is no sequence.
    """
    if isinstance(images, str | Path):
        return FolderSource(images)
    if isinstance(images, ImageSource):
        return images
    return SequenceSource(cast(Numbered, images))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _pixels(picture: Image.Image, size: tuple[int, int], channels: int) -> Pixels:
    return np.asarray(picture, dtype=np.uint8).reshape(*size, channels)
