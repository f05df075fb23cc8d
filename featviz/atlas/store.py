"""Write images and records: first the files, then the line that says they are there.

A crash between the two leaves files without a record, which the next build writes again under the
same names and `verify` finds; it never leaves a record without its files.
"""

import contextlib
import hashlib
import math
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from featviz.atlas.canonical import content_key
from featviz.atlas.entries import Entry, ImageEntry, Settings
from featviz.atlas.layout import create_layout
from featviz.atlas.log import LogWriter, sync_folder
from featviz.errors import OutputError

DERIVED = ("settings", "bytes", "sha256", "thumb_sha256")
"""Parts of an ImageEntry that follow from its files and from what it shares with others."""
_TOGETHER = 8
"""Files that are written at a time."""


@dataclass(frozen=True)
class NewImage:
    """An image that was rendered and is to be kept.

    Attributes:
        parts: Of its ImageEntry, but for those in `DERIVED`.
        picture: The file.
        thumb: The small picture, WebP; the same bytes where the picture is small itself: then there
            is one file for both.
        shared: The part of the record that it has in common with others.
    """

    parts: Mapping[str, Any]
    picture: bytes
    thumb: bytes
    shared: Mapping[str, Any]


class Store:
    """Keeps images in the folder of an atlas; one writer of possibly several.

    Args:
        root: The folder; made if it is not there.

    Raises:
        OutputError: If the folder cannot be written to, or holds something else.
        RecordError: If it holds an atlas of another format.
    """

    def __init__(self, root: str | Path) -> None:
        self.layout = create_layout(root)
        self._log = LogWriter(self.layout.records)
        self._known: set[str] = set()

    def add(self, images: Sequence[NewImage]) -> list[ImageEntry]:
        """Keep images: all of their records or none.

        Args:
            images: Those of whole jobs, so that no job is ever half there.

        Returns:
            Their entries.

        Raises:
            OutputError: If something cannot be written.
        """
        entries, lines, known = [], [], set(self._known)
        for image in images:
            settings = content_key(image.shared)
            if settings not in known:
                known.add(settings)
                lines.append(Settings(settings, dict(image.shared)).to_line())
            entry = ImageEntry(
                **image.parts,
                settings=settings,
                bytes=len(image.picture),
                sha256=hashlib.sha256(image.picture).hexdigest(),
                thumb_sha256=hashlib.sha256(image.thumb).hexdigest(),
            )
            entries.append(entry)
            lines.append(entry.to_line())
        files: dict[Path, bytes] = {}
        for entry, image in zip(entries, images, strict=True):
            files[self.layout.image(entry.key, entry.kind)] = image.picture
            if not is_own_thumb(entry):
                files[self.layout.thumb(entry.key)] = image.thumb
        _write_all(files)
        self._log.append(lines)
        self._known = known
        return entries

    def note(self, entries: Sequence[Entry]) -> None:
        """Keep what comes without files, or whose files are there: all of it or nothing.

        Raises:
            OutputError: If it cannot be written.
        """
        self._log.append(entry.to_line() for entry in entries)

    def close(self) -> None:
        """Close the log."""
        self._log.close()

    def __enter__(self) -> "Store":
        """Return the store."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the log."""
        self.close()


def finite_numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Return the metrics that are finite numbers; a record holds no others."""
    return {
        name: float(value)
        for name, value in metrics.items()
        if isinstance(value, int | float) and math.isfinite(value)
    }


def is_own_thumb(entry: ImageEntry) -> bool:
    """Tell whether one file is both the picture and its small picture."""
    return entry.kind == "webp" and entry.sha256 == entry.thumb_sha256


def _write_all(files: Mapping[Path, bytes]) -> None:
    """Write files, several at a time: waiting for a disk takes as long for many as for one."""
    # A folder that is new must outlast a loss of power as well.
    folders = {
        folder
        for path in files
        for folder in ((path.parent,) if path.parent.exists() else path.parents[:2])
    }
    with ThreadPoolExecutor(max(1, min(_TOGETHER, len(files)))) as pool:
        for _ in pool.map(write_durably, files, files.values()):
            pass
        for _ in pool.map(_sync, folders):
            pass


def _sync(folder: Path) -> None:
    try:
        sync_folder(folder)
    except OSError as error:
        raise _unwritable(folder, error) from error


def write_durably(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, and wait until it is on disk.

    Raises:
        OutputError: If it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(exist_ok=True)
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise _unwritable(path, error) from error
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def _unwritable(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"cannot write {str(path)!r}: {error.strerror or error}; make room or give access, "
        "then 'featviz atlas resume' goes on"
    )
