"""Files of weights: in an installed package, in a local folder, or downloaded and verified.

The families say with these functions where their weights are; weights.py reads them. No torch.
"""

import hashlib
import http.client
import importlib.util
import os
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO

from featviz.errors import WeightsError

CACHE_VARIABLE = "FEATVIZ_CACHE_DIR"
FOLDER_VARIABLE = "FEATVIZ_WEIGHTS_DIR"
_CHUNK_BYTES = 1 << 20
_TIMEOUT_S = 30.0


def package_file(package: str, relative: str) -> Path | None:
    """Return a file of an installed package without importing it, None if it is not there.

    Args:
        package: Top-level import name.
        relative: Path inside the package, with forward slashes.
    """
    found = importlib.util.find_spec(package)
    for folder in (found.submodule_search_locations or ()) if found else ():
        path = Path(folder, relative)
        if path.is_file():
            return path
    return None


def local_file(filename: str) -> Path | None:
    """Return a file of the folder $FEATVIZ_WEIGHTS_DIR, None if it is not there."""
    folder = os.environ.get(FOLDER_VARIABLE)
    path = Path(folder).expanduser() / filename if folder else None
    return path if path and path.is_file() else None


def cached_file(filename: str) -> Path | None:
    """Return a file downloaded before, None if it is not there."""
    path = _cache_folder() / filename
    return path if path.is_file() else None


def _cache_folder() -> Path:
    folder = os.environ.get(CACHE_VARIABLE)
    return Path(folder).expanduser() if folder else Path.home() / ".cache" / "featviz"


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, lower-case hex.

    Raises:
        WeightsError: If the file cannot be read.
    """
    return _hash_file(path, hashlib.sha256())


def git_blob_id(path: Path) -> str:
    r"""Return the id that git gives a file: SHA-1 of `blob SIZE\0` + content, lower-case hex.

    Raises:
        WeightsError: If the file cannot be read.
    """
    size = path.stat().st_size if path.is_file() else 0
    return _hash_file(path, hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False))


def _hash_file(path: Path, state: "hashlib._Hash") -> str:
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                state.update(chunk)
    except OSError as error:
        raise WeightsError(unreadable(path, error)) from error
    return state.hexdigest()


def verify(path: Path, *, sha256: str | None = None, git_blob: str | None = None) -> None:
    """Check that a file is the one it should be.

    Args:
        path: The file.
        sha256: Expected SHA-256, or its first hex digits; None to leave it unchecked.
        git_blob: Expected git blob id; None to leave it unchecked.

    Raises:
        WeightsError: If a digest differs or the file cannot be read.
    """
    checks = (("SHA-256", sha256, sha256_of), ("git blob id", git_blob, git_blob_id))
    for kind, expected, measure in checks:
        if expected is not None and not (found := measure(path)).startswith(expected):
            raise WeightsError(
                f"{path} is not the expected file: its {kind} is {found}, not {expected}; delete "
                "it and get it again"
            )


def download(
    url: str, *, filename: str, sha256: str | None = None, git_blob: str | None = None
) -> Path:
    """Fetch a file into the cache, verify it, and return its path; a verified one is kept.

    The cache is $FEATVIZ_CACHE_DIR, else ~/.cache/featviz. The file appears under its name only
    when it is complete and verified.

    Args:
        url: Address.
        filename: Name in the cache.
        sha256: Expected SHA-256, or its first hex digits.
        git_blob: Expected git blob id.

    Raises:
        WeightsError: If the address cannot be reached, the cache cannot be written, or what came
            is not the expected file.
    """
    target = _cache_folder() / filename
    if target.is_file():
        verify(target, sha256=sha256, git_blob=git_blob)
        return target
    part = _new_part(target)
    try:
        with part.open("wb") as file:
            _fetch(url, file)
        verify(part, sha256=sha256, git_blob=git_blob)
        part.replace(target)
    except WeightsError as error:
        raise WeightsError(f"cannot use {url}: {error}; {_by_hand(filename)}") from error
    except OSError as error:
        raise WeightsError(_unwritable(target.parent, error)) from error
    finally:
        part.unlink(missing_ok=True)
    return target


def _new_part(target: Path) -> Path:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        number, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    except OSError as error:
        raise WeightsError(_unwritable(target.parent, error)) from error
    os.close(number)
    return Path(name)


def _fetch(url: str, file: IO[bytes]) -> None:
    """Copy what an address gives into a file; network faults become WeightsError."""
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:
            expected = answer.headers.get("Content-Length")
            while chunk := answer.read(_CHUNK_BYTES):
                file.write(chunk)
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as e:
        raise WeightsError(f"it cannot be reached ({e or type(e).__name__})") from e
    if expected is not None and file.tell() != int(expected):
        raise WeightsError(f"only {file.tell()} of {expected} bytes came")


def _by_hand(filename: str) -> str:
    return (
        f"fetch it by hand and give it as --weights FILE, or put it as {filename} into the folder "
        f"that {FOLDER_VARIABLE} names"
    )


def _unwritable(folder: Path, error: OSError) -> str:
    return f"cannot write to {folder} ({error}); set {CACHE_VARIABLE} to a folder that can be"


def unreadable(path: Path, reason: object) -> str:
    """Return the message for a weights file that cannot be read."""
    return f"cannot read the weights file {path}: {reason}; check the path, or get it again"
