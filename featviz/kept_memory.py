"""What glibc does with freed memory: keep it while a loop needs it again, hand it back afterwards.

glibc hands large blocks back to the system as soon as they are freed, and the system clears every
page of the next ones: at each step of a render, for the same tensors. On a CPU that is a quarter
of the time of a step. And it gives each thread a heap of its own, of which it does not hand back
what lies free at the end: a server whose threads come and go grows by that. Other C libraries, and
processes whose allocator the user has tuned or replaced, are left as they are.
"""

import contextlib
import ctypes
import functools
import os
import threading
from collections.abc import Iterator

# Parameters of mallopt(3) and what they stand at once glibc has adjusted itself to large blocks,
# as it does in every process that frees a tensor of 32 MiB.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -3, -4, -8
_ADJUSTED = {_MMAP_MAX: 65536, _MMAP_THRESHOLD: 2**25, _TRIM_THRESHOLD: 2**26}
_KEEPING = {_MMAP_MAX: 0, _TRIM_THRESHOLD: 2**31 - 1}

_lock = threading.Lock()
_inside = 0


def share_one_heap() -> None:
    """Have threads that start from now on share one heap, whose free end glibc hands back."""
    library = _tunable_glibc()
    if library is not None:
        _set(library, {_ARENA_MAX: 1})


@contextlib.contextmanager
def kept_memory() -> Iterator[None]:
    """Have glibc keep what is freed; afterwards hand back what is free and keep no more.

    Loops in several threads may be inside at the same time; the last one out hands back.
    """
    library = _tunable_glibc()
    if library is None:
        yield
        return
    _enter(library)
    try:
        yield
    finally:
        _leave(library)


def _enter(library: ctypes.CDLL) -> None:
    global _inside
    with _lock:
        _inside += 1
        if _inside == 1:
            _set(library, _KEEPING)


def _leave(library: ctypes.CDLL) -> None:
    global _inside
    with _lock:
        _inside -= 1
        if _inside == 0:
            _set(library, _ADJUSTED)
            library.malloc_trim(0)


def _set(library: ctypes.CDLL, values: dict[int, int]) -> None:
    for parameter, value in values.items():
        library.mallopt(parameter, value)


@functools.cache
def _tunable_glibc() -> ctypes.CDLL | None:
    """Return the C library if it is glibc and nobody else has a say in how it allocates."""
    said = ("GLIBC_TUNABLES", "LD_PRELOAD")
    if any(name.startswith("MALLOC_") or name in said for name in os.environ):
        return None
    try:
        library = ctypes.CDLL(None)
        _ = library.gnu_get_libc_version, library.mallopt, library.malloc_trim
    except (AttributeError, OSError, TypeError):
        return None
    return library
