"""One builder at a time: a lock on a file of the atlas, which goes when its process does."""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from featviz.atlas.layout import Layout
from featviz.atlas.lock_files import locked
from featviz.errors import OutputError

_WAIT_S = 1.0


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


@contextlib.contextmanager
def build_lock(layout: Layout, builder: Builder) -> Iterator[None]:
    """Hold the lock of an atlas.

    Args:
        layout: Of the atlas.
        builder: Who takes it.

    Raises:
        OutputError: If another builder holds it, or the file cannot be written.
    """
    path = layout.build_lock
    with contextlib.ExitStack() as held:
        try:
            # `status` holds it for a moment when it looks.
            descriptor = held.enter_context(locked(path, wait_s=_WAIT_S))
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(asdict(builder)).encode(), 0)
        except BlockingIOError as error:
            raise OutputError(_held_by_another(layout)) from error
        except OSError as error:
            advice = "remove the link" if path.is_symlink() else "give access to the folder"
            raise OutputError(
                f"cannot write {str(path)!r}: {error.strerror}; {advice}, and choose a file system "
                "with room and locks"
            ) from error
        # Outside: what goes wrong in a build is no fault of its lock.
        yield


def _held_by_another(layout: Layout) -> str:
    holder, _ = read_builder(layout)
    who = f" (process {holder.pid})" if holder else ""
    return (
        f"another build is at work on {str(layout.root)!r}{who}; wait until it has ended, or build "
        "into another folder"
    )


def read_builder(layout: Layout) -> tuple[Builder | None, bool]:
    """Return who builds or built last, None if that is not known, and whether it is at work."""
    try:
        descriptor = os.open(layout.build_lock, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
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
