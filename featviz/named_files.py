"""Files that settings and objectives of a render name, and whether they are those of then.

Their hashes travel in the record, so that a picture is not said to be made again from something
else.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from featviz.config import RenderConfig
from featviz.errors import PictureError, RecordError
from featviz.params import parse_parameterisation


def hash_files(config: RenderConfig) -> dict[str, str]:
    """Return the SHA-256 of each file that settings name, by its name: start, mask, spectrum.

    Args:
        config: The settings. Photographs to contrast with have a hash of their own, that of their
            statistics.

    Raises:
        PictureError: If a file cannot be read.
    """
    named = [config.start, config.mask, *parse_parameterisation(config.param).files]
    try:
        return {name: _sha256(name) for name in named if name}
    except OSError as error:
        raise PictureError(
            f"cannot read {error.filename!r}: {error.strerror}; give a file"
        ) from error


def check_files(hashes: Mapping[str, str]) -> None:
    """Raise an error unless files are as they were.

    Args:
        hashes: SHA-256 by file name, as the record has them.

    Raises:
        RecordError: If one is missing or has changed.
    """
    for name, before in hashes.items():
        try:
            now = _sha256(name)
        except OSError as error:
            raise RecordError(
                f"the render took {name!r}, which cannot be read: {error.strerror}; put it back, "
                "or run this from the folder where the render ran"
            ) from error
        if now != before:
            raise RecordError(
                f"{name!r} has changed since the render took it (sha256 {now[:12]}... now, "
                f"{before[:12]}... then); put the file of then back in place"
            )


def _sha256(name: str) -> str:
    with Path(name).expanduser().open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
