"""Files and folders that appear whole or not at all: made beside their place, then renamed."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from featviz.errors import OutputError
from featviz.images import check_folder

MARK = "export.json"
"""File in a folder that says that it was made here, and may be replaced."""


def check_arrival(path: Path, *, folder: bool, outside: Path, overwrite: bool) -> None:
    """Check that something can be put somewhere, and leave everything as it is.

    Args:
        path: Where it is to be.
        folder: Whether it is one.
        outside: Folder in which it must not lie.
        overwrite: Whether what is there may be replaced: a file, or a folder that was made here.

    Raises:
        OutputError: If it cannot.
    """
    if path.resolve().is_relative_to(outside.resolve()):
        raise OutputError(f"{str(path)!r} lies within the atlas; choose a place outside it")
    check_folder(path.parent)
    if not os.path.lexists(path) or (folder and path.is_dir() and not any(path.iterdir())):
        return
    if path.is_dir() != folder:
        kind = "file" if folder else "folder"
        raise OutputError(f"{str(path)!r} is a {kind}; choose another name")
    if not overwrite:
        raise OutputError(f"{str(path)!r} exists; choose another name or pass --overwrite")
    if folder and (path.is_symlink() or not (path / MARK).is_file()):
        raise OutputError(
            f"{str(path)!r} was not made by an export (it has no {MARK}), so it is not replaced; "
            "choose another folder"
        )


@contextmanager
def arriving(path: Path, *, folder: bool) -> Iterator[Path]:
    """Give a path to write to; once the block has ended well, it takes the place of another.

    Args:
        path: Where it is to be, see `check_arrival`.
        folder: Whether it is a folder, which is then there already.

    Raises:
        OutputError: If something cannot be written.
    """
    made = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove(made)
        if folder:
            made.mkdir()
        yield made
        if not folder:
            descriptor = os.open(made, os.O_RDONLY)
            with contextlib.closing(os.fdopen(descriptor)):
                os.fsync(descriptor)
        _put(made, path)
    except OSError as error:
        raise OutputError(
            f"cannot write {str(path)!r}: {error.strerror or error}; make room or choose another "
            "place"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            _remove(made)


def _put(made: Path, path: Path) -> None:
    if not made.is_dir() or not path.is_dir():
        made.replace(path)
        return
    # A folder takes the place of an empty one alone, so what is there is moved away first.
    old = path.with_name(f".{path.name}.{os.getpid()}.old.tmp")
    path.rename(old)
    try:
        made.rename(path)
    except OSError:
        old.rename(path)
        raise
    _remove(old)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
