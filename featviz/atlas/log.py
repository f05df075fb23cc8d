"""Append-only logs, one a writer, a JSON document a line: the truth of an atlas.

Lines that were written together count together: the first says how many more follow it, and none
of them counts before the newline of the last is on disk. What a crash, a full disk or a loss of
power cut short is left out by readers, and no writer ever goes on behind it: each opens a file of
its own. Each line ends in the CRC-32 of what stands before it there, so that one that was edited is
not believed; a line without one is believed as it is.

The first line of a log also carries its generation: one more than the largest that was there when
the log was begun. Of two lines that say something of the same, the one in the log of the larger
generation was recorded last; logs have random names, which order nothing.
"""

import contextlib
import json
import os
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO
from uuid import uuid4

from featviz.atlas.canonical import canonical_json
from featviz.atlas.lock_files import locked_folder
from featviz.errors import OutputError

MAX_LINE = 4_000_000
"""Bytes of a line that readers take."""

MORE = "more"
"""Name in the first of several lines that were written together: how many follow."""

GENERATION = "generation"
"""Name in the first line of a log: the logs of smaller ones were begun before it."""
_LARGEST = 2**53 - 1
_WAIT_S = 30.0
SEAL = "crc32"
"""Name in a line of the CRC-32 of the bytes before it, 8 hexadecimal digits; not in documents."""

_SEALED = re.compile(rb',?"crc32":"([0-9a-f]{8})"\}\n?\Z')

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
        self._folder = folder
        self._begin()

    def _begin(self) -> None:
        self.path = self._folder / f"{uuid4().hex}.jsonl"
        self._file: int | None = None
        self._length = 0

    def append(self, lines: Iterable[Line]) -> None:
        """Write lines, all of them or none, and wait until they are on disk.

        Args:
            lines: JSON documents.

        Raises:
            OutputError: If they cannot be written, or one is longer than readers take.
        """
        documents = list(lines)
        if not documents:
            return
        if len(documents) > 1:
            documents[0] = {**documents[0], MORE: len(documents) - 1}
        try:
            data = self._write(documents)
        except OSError as error:
            self._take_back()
            raise OutputError(
                f"cannot write {str(self.path)!r}: {error.strerror or error}; make room, then "
                "'featviz atlas resume' goes on"
            ) from error
        self._length += len(data)

    def _write(self, documents: list[Line]) -> bytes:
        if self._file is not None:
            return _put(self._file, _encoded(documents))
        # Held until the first line is there, so that no two logs have one generation.
        with locked_folder(self._folder, wait_s=_WAIT_S):
            documents[0] = {**documents[0], GENERATION: _next_generation(self._folder)}
            data = _encoded(documents)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
            self._file = os.open(self.path, flags, 0o644)
            sync_folder(self._folder)
            return _put(self._file, data)

    def _take_back(self) -> None:
        """Cut off what was written of lines that failed, or leave the file for good."""
        if self._file is None:
            return
        with contextlib.suppress(OSError):
            os.ftruncate(self._file, self._length)
            if self._length:
                return
            self.path.unlink()
        # Half a write may stand at the end, so nothing may come behind it; or nothing is there.
        with contextlib.suppress(OSError):
            os.close(self._file)
        self._begin()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            file, self._file = self._file, None
            os.close(file)

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


def _encoded(documents: Iterable[Line]) -> bytes:
    lines = list(map(_sealed, documents))
    longest = max(map(len, lines))
    if longest > MAX_LINE:
        raise OutputError(
            f"a line of {longest} bytes would be too long for those who read it, {MAX_LINE} at "
            "most, so nothing was written; keep less of each unit"
        )
    return b"".join(lines)


def _put(file: int, data: bytes) -> bytes:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]
    os.fsync(file)
    return data


def _next_generation(folder: Path) -> int:
    largest = 0
    for path in folder.glob("*.jsonl"):
        if path.is_file() and not path.is_symlink():
            with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
                largest = max(largest, generation(_parse(file.readline(MAX_LINE))[0]))
    return min(largest + 1, _LARGEST)


def generation(first: Line | None) -> int:
    """Return the generation that the first line of a log names; 0 if it names none.

    Logs that were written before there were generations name none.
    """
    found = first.get(GENERATION) if first else None
    if not isinstance(found, int) or isinstance(found, bool):
        return 0
    return found if 0 < found <= _LARGEST else 0


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@dataclass(frozen=True)
class LogLine:
    """One line of a log.

    Attributes:
        place: Number of its first byte.
        end: Of the first byte behind it.
        document: What it says; None if it is no JSON object, or edited.
        torn: Whether it, or one of those written together with it, was cut short. Nothing counts
            from here on.
        edited: Whether it has other bytes than were written.
    """

    place: int
    end: int
    document: Line | None
    torn: bool = False
    edited: bool = False


def read_log(path: Path, start: int = 0) -> Iterator[LogLine]:
    """Give the lines of a log behind a place, one at a time; a torn one is the last.

    Args:
        path: The log.
        start: First byte to read, such as the `end` of a line.
    """
    with path.open("rb") as file:
        file.seek(start)
        place, left = start, 0
        while True:
            size, line = _next_line(file)
            document, edited = _parse(line)
            if not left:
                left = _more(document) + 1
                torn = size < 0 or not _has_lines(file, left - 1)
            if size == 0:
                return
            if torn or size < 0:
                yield LogLine(place, place, None, torn=True)
                return
            left -= 1
            yield LogLine(place, place + size, document, edited=edited)
            place += size


def _next_line(file: BinaryIO) -> tuple[int, bytes]:
    """Read a line and return its size and its bytes, empty if it is too long to be believed.

    The size is 0 at the end of the file, and -1 for a line that has no end.
    """
    line = part = file.readline(MAX_LINE)
    size = len(part)
    while part and not part.endswith(b"\n"):
        part = file.readline(MAX_LINE)
        size += len(part)
    if not size:
        return 0, b""
    return size if part else -1, line if size == len(line) else b""


def _more(document: Line | None) -> int:
    more = document.get(MORE) if document else None
    return more if isinstance(more, int) and more > 0 else 0


def _has_lines(file: BinaryIO, count: int) -> bool:
    """Tell whether as many whole lines follow, and stay where the file is."""
    place = file.tell()
    found = all(_next_line(file)[0] > 0 for _ in range(count))
    file.seek(place)
    return found


def read_lines(path: Path, places: Iterable[int]) -> list[Line | None]:
    """Return the documents of lines, by their first bytes; None where there is none, or edited."""
    found = []
    with path.open("rb") as file:
        for place in places:
            file.seek(place)
            found.append(_parse(file.readline(MAX_LINE))[0])
    return found


def _sealed(document: Line) -> bytes:
    """Return a line with its checksum at the end."""
    text = canonical_json(document).encode()[:-1]
    return text + b'%s"%s":"%08x"}\n' % (b"," * bool(document), SEAL.encode(), zlib.crc32(text))


def _parse(line: bytes) -> tuple[Line | None, bool]:
    """Return what a line says, None if it is not to be believed, and whether it was edited."""
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        return None, False
    if not isinstance(document, dict):
        return None, False
    if document.pop(SEAL, None) is not None:
        found = _SEALED.search(line)
        if found is None or int(found[1], 16) != zlib.crc32(line[: found.start()]):
            return None, True
    return document, False
