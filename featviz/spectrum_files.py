"""Natural spectra as files, and the one that comes with featviz."""

import functools
import io
import os
import zipfile
from importlib import resources
from pathlib import Path

import numpy as np
import torch

from featviz.errors import ConfigError, OutputError
from featviz.images import check_folder, write_file
from featviz.natural_spectrum import NaturalSpectrum


def spectrum_to_bytes(spectrum: NaturalSpectrum) -> bytes:
    """Return the file that `read_spectrum` reads: the same bytes for the same spectrum."""
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        magnitude=spectrum.magnitude.numpy(),
        colors=spectrum.colors.numpy(),
        images=np.int64(spectrum.images),
    )
    return buffer.getvalue()


def save_spectrum(spectrum: NaturalSpectrum, path: str | Path, *, overwrite: bool = False) -> None:
    """Write a spectrum to a file.

    Args:
        spectrum: What to write.
        path: The file; `.npz` is usual.
        overwrite: Whether to replace a file.

    Raises:
        OutputError: If the file exists and may not be replaced, or cannot be written.
    """
    path = Path(path)
    check_writable(path, overwrite=overwrite)
    write_file(path, spectrum_to_bytes(spectrum))


def check_writable(path: Path, *, overwrite: bool) -> None:
    """Raise OutputError if a file exists and may not be replaced, or its folder does not exist."""
    # Not the methods of Path, which raise for names that are too long.
    if os.path.exists(path) and not os.path.isfile(path):  # noqa: PTH110, PTH113
        raise OutputError(f"{str(path)!r} is no file that could be replaced; choose another")
    if os.path.lexists(path) and not overwrite:
        raise OutputError(
            f"{str(path)!r} exists; choose another file or pass --overwrite "
            "(overwrite=True in Python)"
        )
    if not path.parent.is_dir():
        raise OutputError(f"there is no folder {str(path.parent)!r}; make it or choose another")
    check_folder(path.parent)


def read_spectrum(path: str | Path) -> NaturalSpectrum:
    """Read a file of `featviz spectrum`.

    Raises:
        ConfigError: If there is no such file, or it holds something else.
    """
    path = Path(path)
    try:
        if path.is_file() and not zipfile.is_zipfile(path):  # numpy would speak of pickles
            raise ValueError("no .npz file")
        stat = path.stat()
        return _read(str(path), stat.st_mtime_ns, stat.st_size)
    except FileNotFoundError:
        raise ConfigError(
            f"there is no spectrum file {str(path)!r}; "
            "featviz spectrum PHOTOGRAPHS -o FILE makes one"
        ) from None
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise ConfigError(
            f"{str(path)!r} is no file of featviz spectrum: {error}; "
            "featviz spectrum PHOTOGRAPHS -o FILE makes one"
        ) from error


@functools.lru_cache(maxsize=8)
def _read(path: str, mtime_ns: int, size: int) -> NaturalSpectrum:  # noqa: ARG001 - a changed file is read anew
    # From memory: numpy leaves a file open that turns out to be no archive.
    with np.load(io.BytesIO(Path(path).read_bytes()), allow_pickle=False) as arrays:
        magnitude = torch.from_numpy(arrays["magnitude"]).float()
        colors = torch.from_numpy(arrays["colors"]).double()
        images = int(arrays["images"])
    n = magnitude.shape[1] if magnitude.ndim == 3 else 0
    if tuple(magnitude.shape) != (3, n, n // 2 + 1) or tuple(colors.shape) != (3, 3):
        raise ValueError(f"wrong shapes {tuple(magnitude.shape)} and {tuple(colors.shape)}")
    usable = magnitude.isfinite().all() and (magnitude >= 0).all() and magnitude.max() > 0
    if not usable or not colors.isfinite().all() or torch.linalg.matrix_rank(colors) < 3:
        raise ValueError("its numbers cannot be used")
    return NaturalSpectrum(magnitude, colors, images)


def default_spectrum() -> NaturalSpectrum:
    """Return the spectrum that comes with featviz: of photographs that scikit-image ships."""
    with resources.as_file(resources.files("featviz") / "assets" / "natural_spectrum.npz") as path:
        return read_spectrum(path)
