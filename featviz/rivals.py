"""What the channels of sites do on photographs, as a file: the rivals that `contrast` knows.

Measured once by `featviz contrast`, so that a render need not read the photographs again, and
needs them no more.
"""

import dataclasses
import functools
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from featviz.errors import ConfigError, InputError, OutputError
from featviz.metrics import Moments, Reference
from featviz.models.model import Model
from featviz.models.weights import digest
from featviz.sites import Site
from featviz.spectrum_files import check_writable

SUFFIX = ".npz"
_MADE_BY = "featviz contrast MODEL SITE --images PHOTOGRAPHS -o FILE makes one"


@dataclass(frozen=True)
class Rivals:
    """What the channels of some sites of one network do on photographs.

    Attributes:
        network: Name, weights hash and preprocessing of the network, which moments depend on.
        size: Height and width that the photographs were shown at, px.
        pictures: How many there were.
        moments: Site -> mean and spread of each channel's mean over its map.
    """

    network: dict[str, Any]
    size: tuple[int, int]
    pictures: int
    moments: dict[str, Moments]

    def at(self, model: Model, site: Site) -> Moments:
        """Return the moments of a site.

        Args:
            model: The network that is rendered.
            site: One of its sites, by any of its names.

        Raises:
            ConfigError: If they were measured in another network, or not at this site.
        """
        theirs, ours = self.network, _identity(model)
        for key, word in (("name", ""), ("weights_sha256", "weights "), ("preprocess", "")):
            if theirs[key] != ours[key]:
                raise ConfigError(
                    f"the statistics for contrast were measured in {_named(theirs, key, word)}, "
                    f"but {_named(ours, key, word)} is rendered; measure them there: featviz "
                    "contrast"
                )
        table = model.site_table(self.size)
        for name, moments in self.moments.items():
            try:
                known = table.resolve(name)
            except InputError:  # written by another version: then it is not the one asked for
                continue
            if (known.parts, known.span) == (site.parts, site.span):
                return moments
        raise ConfigError(
            f"the statistics for contrast are of {', '.join(self.moments)}, not of {site.name!r}; "
            "measure them there too: featviz contrast"
        )


def measure_rivals(model: Model, sites: Sequence[str], folder: str | Path) -> Rivals:
    """Measure the channels of sites on photographs, at the network's own size.

    Args:
        model: The network.
        sites: Names of sites.
        folder: Photographs.

    Raises:
        ConfigError: If there is no site.
        PictureError: If the folder is missing, holds fewer than two pictures, or one that cannot
            be read.
        SiteError: If a site is unknown.
    """
    if not sites:
        raise ConfigError("there is no site to measure; name one, such as fire4")
    return rivals_of(Reference(model, folder), sites)


def rivals_of(reference: Reference, sites: Sequence[str]) -> Rivals:
    """Return what is known of sites from pictures that are read here if they were not before.

    Args:
        reference: A network and pictures.
        sites: Names of sites.
    """
    reference.gather(sites)
    return Rivals(
        _identity(reference.model),
        reference.size,
        len(reference.folder),
        {site: reference.moments(site) for site in sites},
    )


def save_rivals(rivals: Rivals, path: str | Path, *, overwrite: bool = False) -> None:
    """Write them to a file: the same bytes for the same rivals.

    Args:
        rivals: What to write.
        path: The file, `.npz`.
        overwrite: Whether to replace a file.

    Raises:
        ConfigError: If the file has another ending: a folder of photographs has none.
        OutputError: If the file exists and may not be replaced, or cannot be written.
    """
    path = Path(path)
    check_rivals_path(path, overwrite=overwrite)
    arrays = {
        f"{field}.{k}": getattr(moments, field).numpy()
        for k, moments in enumerate(rivals.moments.values())
        for field in ("mean", "squares", "largest")
    }
    about = {
        "network": rivals.network,
        "size": rivals.size,
        "pictures": rivals.pictures,
        "sites": list(rivals.moments),
    }
    buffer = io.BytesIO()
    np.savez_compressed(buffer, about=np.array(json.dumps(about)), **arrays)
    try:
        path.write_bytes(buffer.getvalue())
    except OSError as error:
        raise OutputError(f"cannot write {str(path)!r}: {error.strerror or error}") from error


def check_rivals_path(path: Path, *, overwrite: bool) -> None:
    """Raise an error if `save_rivals` would, before anything is measured.

    Raises:
        ConfigError: As `save_rivals`.
        OutputError: As `save_rivals`.
    """
    if path.suffix != SUFFIX:
        raise ConfigError(f"the file must end in {SUFFIX}, got {str(path)!r}")
    check_writable(path, overwrite=overwrite)


def is_rivals_file(path: str) -> bool:
    """Tell whether the text of a setting names a file of rivals, not a folder of photographs."""
    return path.endswith(SUFFIX) and not Path(path).is_dir()


def read_rivals(path: str | Path) -> Rivals:
    """Read a file of `save_rivals`; nothing in it is run.

    Raises:
        ConfigError: If there is no such file, or it holds something else.
    """
    path = Path(path)
    try:
        stat = path.stat()
        return _read(str(path), stat.st_mtime_ns, stat.st_size)
    except FileNotFoundError:
        raise ConfigError(f"there is no file {str(path)!r}; {_MADE_BY}") from None
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise ConfigError(
            f"{str(path)!r} is no file of featviz contrast: {error}; {_MADE_BY}"
        ) from error


@functools.lru_cache(maxsize=8)
def _read(path: str, mtime_ns: int, size: int) -> Rivals:  # noqa: ARG001 - a changed file is read anew
    # From memory: numpy leaves a file open that turns out to be no archive.
    with np.load(io.BytesIO(Path(path).read_bytes()), allow_pickle=False) as arrays:
        about = json.loads(str(arrays["about"]))
        moments = {
            str(site): _moments(arrays, k, count=int(about["pictures"]))
            for k, site in enumerate(about["sites"])
        }
    network = {key: about["network"][key] for key in ("name", "weights_sha256", "preprocess")}
    height, width = (int(side) for side in about["size"])
    return Rivals(network, (height, width), int(about["pictures"]), moments)


def _moments(arrays: Any, k: int, *, count: int) -> Moments:
    found = [torch.from_numpy(arrays[f"{f}.{k}"]).double() for f in ("mean", "squares", "largest")]
    mean, squares, largest = found
    if mean.dim() != 1 or not mean.shape == squares.shape == largest.shape:
        raise ValueError("wrong shapes")
    usable = all(bool(part.isfinite().all()) for part in found) and bool((squares >= 0).all())
    if count < 2 or not usable:
        raise ValueError("its numbers cannot be used")
    return Moments(count, mean, squares, largest)


def _identity(model: Model) -> dict[str, Any]:
    """Return what moments depend on, as it comes back from JSON."""
    about = {
        "name": model.name,
        "weights_sha256": digest(model.module),
        "preprocess": dataclasses.asdict(model.spec.preprocess),
    }
    found: dict[str, Any] = json.loads(json.dumps(about))
    return found


def _named(network: Mapping[str, Any], key: str, word: str) -> str:
    """Return a network's name for an error, with what differs in it."""
    if key == "name":
        return repr(network["name"])
    value = network[key]
    short = value[:12] if isinstance(value, str) else json.dumps(value)
    return f"{network['name']!r} with {word}{short}"
