"""Locks between processes, which the system lets go when their holder ends, however it does."""

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from featviz.errors import OutputError

_PAUSE_S = 0.05
_HELD = (errno.EAGAIN, errno.EACCES)


@contextlib.contextmanager
def locked_folder(folder: Path, *, wait_s: float = 0.0) -> Iterator[None]:
    """Hold the lock of a folder itself, which leaves nothing behind.

    Where the file system cannot lock folders (some network ones), nothing is held.

    Args:
        folder: The folder.
        wait_s: How long to wait for who holds it.

    Raises:
        BlockingIOError: If somebody else holds it still.
        OSError: If there is no such folder.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            _take(descriptor, wait_s)
        except OSError as error:
            if error.errno in _HELD:
                raise
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locked(path: Path, *, wait_s: float = 0.0) -> Iterator[int]:
    """Hold the lock of a file, which stays where it is afterwards.

    Args:
        path: The file; made if it is not there.
        wait_s: How long to wait for who holds it.

    Yields:
        The descriptor of the file, open to read and write, with what was in it before.

    Raises:
        BlockingIOError: If somebody else holds it still.
        OSError: If the file cannot be made, or the file system knows no locks.
    """
    # No symbolic link is followed: nothing outside the folder is made.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        _take(descriptor, wait_s)
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def held_alone(path: Path, *, busy: str, wait_s: float = 0.0) -> Iterator[None]:
    """Hold the lock of a file as `locked` does, and tell people why where it cannot be.

    What goes wrong in the block is no fault of the lock, and comes out as it is.

    Args:
        path: The file.
        busy: What to say where somebody else holds it: who that can be, and what to do.
        wait_s: How long to wait for who holds it.

    Raises:
        OutputError: If it cannot be held.
    """
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(locked(path, wait_s=wait_s))
        except BlockingIOError as error:
            raise OutputError(busy) from error
        except OSError as error:
            raise OutputError(
                f"cannot lock {str(path)!r}: {error.strerror}; remove it if it is a link, and give "
                "access to the folder"
            ) from error
        yield


def _take(descriptor: int, wait_s: float) -> None:
    end = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError as error:
            if error.errno not in _HELD or time.monotonic() >= end:
                raise
        time.sleep(_PAUSE_S)
