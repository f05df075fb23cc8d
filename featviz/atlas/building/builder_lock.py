"""One builder at a time: a lock on a file of the atlas, which goes when its process does."""

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from featviz.atlas.layout import Layout
from featviz.errors import OutputError

_TRIES, _PAUSE_S = 20, 0.05


@dataclass(frozen=True)
class Builder:
    """Who builds, or built last.

    Attributes:
        pid: Its process.
        executor: `serial`, `spawn` or `ray`.
        workers: How many render at the same time.
    """

    pid: int
    executor: str
    workers: int


def _path(layout: Layout) -> Path:
    return layout.root / "build.lock"


@contextlib.contextmanager
def build_lock(layout: Layout, builder: Builder) -> Iterator[None]:
    """Hold the lock of an atlas.

    Args:
        layout: Of the atlas.
        builder: Who takes it.

    Raises:
        OutputError: If another builder holds it, or the file cannot be written.
    """
    path = _path(layout)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise OutputError(
            f"cannot write {str(path)!r}: {error.strerror}; give access to the folder"
        ) from error
    try:
        _take(descriptor, layout)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(asdict(builder)).encode(), 0)
        yield
    except OSError as error:
        if error.filename is not None:
            raise
        raise OutputError(
            f"cannot write {str(path)!r}: {error.strerror}; make room, or choose a file system "
            "with locks"
        ) from error
    finally:
        os.close(descriptor)


def _take(descriptor: int, layout: Layout) -> None:
    for _ in range(_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_PAUSE_S)  # `status` holds it for a moment when it looks
        else:
            return
    holder, _ = read_builder(layout)
    who = f" (process {holder.pid})" if holder else ""
    raise OutputError(
        f"another build is at work on {str(layout.root)!r}{who}; wait until it has ended, or build "
        "into another folder"
    )


def read_builder(layout: Layout) -> tuple[Builder | None, bool]:
    """Return who builds or built last, None if that is not known, and whether it is at work."""
    try:
        with _path(layout).open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                running = False
            except BlockingIOError:
                running = True
            values = json.loads(file.read(1000))
            found = Builder(int(values["pid"]), str(values["executor"]), int(values["workers"]))
    except (OSError, ValueError, TypeError, KeyError):
        return None, False
    return found, running
