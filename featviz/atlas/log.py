"""Append-only logs, one a writer, a JSON document a line: the truth of an atlas.

A line counts once its newline is on disk. A line that a crash, a full disk or a loss of power cut
short is left out by readers, and no writer ever goes on behind it: each opens a file of its own.
"""

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any
from uuid import uuid4

from featviz.atlas.canonical import canonical_json
from featviz.errors import OutputError

MAX_LINE = 4_000_000
"""Bytes of a line that readers take."""

Line = dict[str, Any]


class LogWriter:
    """Appends lines to a log of its own.

    The file appears with its first lines, so that a writer with nothing to say leaves none.

    Args:
        folder: Of the logs.

    Raises:
        OutputError: From `append`, if the lines cannot be written; then none of them is there.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / f"{uuid4().hex}.jsonl"
        self._file: int | None = None
        self._length = 0

    def append(self, lines: Iterable[Line]) -> None:
        """Write lines, all of them or none, and wait until they are on disk.

        Args:
            lines: JSON documents.

        Raises:
            OutputError: If they cannot be written.
        """
        data = "".join(canonical_json(line) + "\n" for line in lines).encode()
        if not data:
            return
        try:
            self._write(data)
        except OSError as error:
            self._take_back()
            raise OutputError(
                f"cannot write {str(self.path)!r}: {error.strerror or error}; make room, then "
                "'featviz atlas resume' goes on"
            ) from error
        self._length += len(data)

    def _write(self, data: bytes) -> None:
        if self._file is None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
            self._file = os.open(self.path, flags, 0o644)
            sync_folder(self.path.parent)
        view = memoryview(data)
        while view:
            view = view[os.write(self._file, view) :]
        os.fsync(self._file)

    def _take_back(self) -> None:
        if self._file is not None:
            os.ftruncate(self._file, self._length)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def __enter__(self) -> "LogWriter":
        """Return the writer."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        self.close()


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@dataclass(frozen=True)
class LogPart:
    """What a log holds behind a place.

    Attributes:
        lines: Documents, each with the number of its line's first byte.
        end: First byte that is not read yet: that of a line without its newline, or the end.
        torn: Whether bytes without a newline follow.
        bad: First bytes of whole lines that are no JSON object.
    """

    lines: tuple[tuple[int, Line], ...]
    end: int
    torn: bool
    bad: tuple[int, ...]


def read_log(path: Path, start: int = 0) -> LogPart:
    """Return the whole lines of a log behind a place.

    Args:
        path: The log.
        start: First byte to read.
    """
    found: list[tuple[int, Line]] = []
    bad: list[int] = []
    torn = False
    with path.open("rb") as file:
        file.seek(start)
        place = start
        while line := file.readline(MAX_LINE):
            if not line.endswith(b"\n"):
                if len(line) < MAX_LINE:
                    torn = True
                    break
                bad.append(place)
                place += len(line) + _skip_line(file)
                continue
            document = _parse(line)
            if document is None:
                bad.append(place)
            else:
                found.append((place, document))
            place += len(line)
    return LogPart(tuple(found), place, torn, tuple(bad))


def read_lines(path: Path, places: Iterable[int]) -> list[Line | None]:
    """Return the documents of lines, by their first bytes; None where there is none."""
    found = []
    with path.open("rb") as file:
        for place in places:
            file.seek(place)
            found.append(_parse(file.readline(MAX_LINE)))
    return found


def _skip_line(file: Any) -> int:
    skipped = 0
    while part := file.readline(MAX_LINE):
        skipped += len(part)
        if part.endswith(b"\n"):
            break
    return skipped


def _parse(line: bytes) -> Line | None:
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None
