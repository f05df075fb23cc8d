"""Activations at random places of photographs, streamed to disk: any number in bounded memory.

The places of a photograph depend on the seed and its name alone, so neither batches nor other
photographs change them. What was read stays in the folder: a pass that was stopped goes on, and a
map with another layout or grid needs no pass at all.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from featviz.atlas.activation_map.attribution import attribute
from featviz.atlas.canonical import content_key
from featviz.errors import ConfigError, ModelError, OutputError, PictureError
from featviz.images import make_folder, write_file
from featviz.kept_memory import kept_memory
from featviz.metrics.pictures import PictureFolder, read_picture
from featviz.models.model import Model
from featviz.sites import Site

_FLUSH_PICTURES = 512
_READERS = 2
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Sampling:
    """What decides the samples.

    Attributes:
        model: The network.
        site: A site of it.
        folder: Photographs.
        files: Those of them that are read, in order.
        positions: Places of each.
        classes: Whether to attribute them to classes.
        seed: Of the places.
        batch: Photographs at a time.
        identity: What the numbers depend on, as JSON.
    """

    model: Model
    site: Site
    folder: PictureFolder
    files: tuple[Path, ...]
    positions: int
    classes: bool
    seed: int
    batch: int
    identity: dict[str, Any]

    def name_of(self, file: Path) -> str:
        """Return the name of a photograph below the folder."""
        return file.relative_to(self.folder.path).as_posix()


@dataclass(frozen=True, eq=False)
class Samples:
    """Activations, and what they speak for.

    Attributes:
        activations: One row a sample; mapped from disk, read them in parts.
        attributions: To each logit; None where there are none, see attribution.py.
        skipped: Photographs that could not be read, with the reason.
        pictures: Photographs that were read.
    """

    activations: Float[np.ndarray, "n c"]
    attributions: Float[np.ndarray, "n k"] | None
    skipped: dict[str, str] = field(default_factory=dict)
    pictures: int = 0


def choose_files(folder: PictureFolder, *, count: int, seed: int) -> tuple[Path, ...]:
    """Return some photographs of a folder, at random but the same for a seed, in order of name.

    Args:
        folder: All of them.
        count: How many at most.
        seed: Any whole number.
    """
    if len(folder) <= count:
        return folder.files
    names = [file.relative_to(folder.path).as_posix() for file in folder.files]
    by_chance = sorted(range(len(names)), key=lambda k: _digest(seed, "choice", names[k]))
    return tuple(folder.files[k] for k in sorted(by_chance[:count]))


def draw_places(name: str, *, places: int, count: int, seed: int) -> Int[np.ndarray, " n"]:
    """Return random places of one photograph, none twice.

    Args:
        name: Of the photograph.
        places: How many there are on the map.
        count: How many to draw.
        seed: Any whole number.
    """
    generator = np.random.default_rng(int.from_bytes(_digest(seed, "places", name)[:16], "big"))
    return generator.permutation(places)[:count]


def _digest(seed: int, purpose: str, name: str) -> bytes:
    return hashlib.sha256(f"{seed}:{purpose}:{name}".encode(errors="surrogateescape")).digest()


def check_positions(site: Site, positions: int, *, model: str) -> int:
    """Return how many places the map of a site has.

    Raises:
        ConfigError: If more places are wanted than there are.
    """
    places = int(np.prod(site.map_size)) if site.map_size else 1
    if positions > places:
        shape = "x".join(map(str, site.map_size)) or "no map, one vector a photograph"
        raise ConfigError(
            f"{positions} positions of each photograph, but {site.name!r} in {model!r} has "
            f"{places} ({shape}); ask for {places} at most"
        )
    return places


@kept_memory()
def take_samples(sampling: Sampling, folder: Path, *, told: Callable[[int, int], None]) -> Samples:
    """Return the samples, from a folder where they were kept before or from the photographs.

    Args:
        sampling: What decides them.
        folder: Where they are kept, one folder below it for each identity.
        told: Called with how many photographs are done and how many there are.

    Raises:
        ConfigError: If more places are wanted than the map has.
        ModelError: If an activation is not finite.
        OutputError: If the folder cannot be written to.
        PictureError: If no photograph can be read.
    """
    check_positions(sampling.site, sampling.positions, model=sampling.model.name)
    kept = _Kept(folder / content_key(sampling.identity), sampling)
    total = len(sampling.files)
    told(kept.done, total)
    rest = sampling.files[kept.done :]
    try:
        for files, read in _batches(rest, sampling):
            kept.take(files, read)
            told(kept.done, total)
    finally:
        kept.flush()
    if len(kept.skipped) == total:
        name, reason = next(iter(kept.skipped.items()))
        raise PictureError(
            f"none of {total} photographs could be read; the first is {name!r}: {reason}"
        )
    return kept.samples()


_Read = tuple[dict[int, Tensor], dict[int, str]]


def _batches(files: Sequence[Path], sampling: Sampling) -> Iterator[tuple[Sequence[Path], _Read]]:
    """Give photographs that are read while the network looks at those before."""
    size, channels = sampling.model.spec.size, sampling.model.spec.channels
    if channels not in (1, 3):
        raise PictureError(
            f"photographs have 3 channels, or 1 if grey; {sampling.model.name!r} takes {channels}"
        )

    def read(file: Path) -> Tensor | str:
        try:
            return read_picture(file, size, channels=channels)
        except PictureError as error:
            return str(error)

    chunks = [files[k : k + sampling.batch] for k in range(0, len(files), sampling.batch)]
    with ThreadPoolExecutor(_READERS) as pool:
        waiting = [[pool.submit(read, file) for file in chunk] for chunk in chunks[:1]]
        for k, chunk in enumerate(chunks):
            if k + 1 < len(chunks):
                waiting.append([pool.submit(read, file) for file in chunks[k + 1]])
            found = dict(enumerate(future.result() for future in waiting.pop(0)))
            images = {row: image for row, image in found.items() if isinstance(image, Tensor)}
            yield chunk, (images, {r: why for r, why in found.items() if isinstance(why, str)})


class _Kept:
    """Arrays on disk that fill up, and how far they are."""

    def __init__(self, folder: Path, sampling: Sampling) -> None:
        self._folder, self._sampling = folder, sampling
        self._about = folder / "samples.json"
        self._arrays: dict[str, np.memmap[Any, Any]] = {}
        self._unsaved = 0
        self.done = 0
        self.skipped: dict[str, str] = {}
        make_folder(folder)
        self._read()

    def _read(self) -> None:
        """Take up what an earlier pass left, if it is whole."""
        try:
            about = json.loads(self._about.read_text(encoding="utf-8"))
            rows = len(self._sampling.files) * self._sampling.positions
            for name in about["arrays"]:
                array = np.lib.format.open_memmap(self._folder / f"{name}.npy", mode="r+")
                if array.ndim != 2 or len(array) != rows:
                    return
                self._arrays[str(name)] = array
            self.done, self.skipped = int(about["done"]), dict(about["skipped"])
        except (OSError, ValueError, KeyError, TypeError):
            self._arrays.clear()

    def take(self, files: Sequence[Path], read: _Read) -> None:
        """Add what the network does with the next photographs."""
        images, broken = read
        rows = sorted(images)
        # Without gaps for what could not be read, so that nothing need be copied to leave it out.
        begin = (self.done - len(self.skipped)) * self._sampling.positions
        if rows:
            found = _look(
                self._sampling, torch.stack([images[row] for row in rows]), [files[r] for r in rows]
            )
            for name, values in found.items():
                array = self._array(name, values.shape[-1])
                array[begin : begin + len(rows) * self._sampling.positions] = values.reshape(
                    -1, values.shape[-1]
                )
        self.skipped |= {self._sampling.name_of(files[row]): why for row, why in broken.items()}
        self.done += len(files)
        self._unsaved += len(files)
        if self._unsaved >= _FLUSH_PICTURES:
            self.flush()

    def _array(self, name: str, columns: int) -> "np.memmap[Any, Any]":
        if name not in self._arrays:
            shape = len(self._sampling.files) * self._sampling.positions, columns
            path = self._folder / f"{name}.npy"
            try:
                array = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
                _reserve(path, header=array.offset)
            except OSError as error:
                with contextlib.suppress(OSError):  # it may be what could not be made
                    path.unlink()
                raise OutputError(
                    f"cannot write {str(path)!r}: {error.strerror or error}; make room or choose "
                    "another folder"
                ) from error
            self._arrays[name] = array
        return self._arrays[name]

    def flush(self) -> None:
        """Write to disk what was added: first the numbers, then how many they are."""
        for array in self._arrays.values():
            array.flush()
        about = {
            "identity": self._sampling.identity,
            "done": self.done,
            "skipped": self.skipped,
            "arrays": sorted(self._arrays),
        }
        write_file(self._about, json.dumps(about, indent=1).encode())
        self._unsaved = 0

    def samples(self) -> Samples:
        """Return what there is, on disk as it lies."""
        pictures = len(self._sampling.files) - len(self.skipped)
        rows = pictures * self._sampling.positions
        kept = {name: array[:rows] for name, array in self._arrays.items()}
        return Samples(kept["activations"], kept.get("attributions"), self.skipped, pictures)


def _reserve(path: Path, *, header: int) -> None:
    """Take the room of a file on disk: a mapped page that finds none ends the process.

    Args:
        path: The file, zeros behind its header.
        header: Bytes of that.

    Raises:
        OSError: If there is not enough.
    """
    size = path.stat().st_size
    with path.open("r+b") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
            return
        file.seek(header)  # macOS has no such call
        for first in range(header, size, _BLOCK):
            file.write(bytes(min(_BLOCK, size - first)))


def _look(
    sampling: Sampling, images: Float[Tensor, "b c h w"], files: Sequence[Path]
) -> dict[str, Float[np.ndarray, "b n _"]]:
    """Return the activations at the places of photographs, and their attributions."""
    model, site = sampling.model, sampling.site
    names = [sampling.name_of(file) for file in files]
    places = check_positions(site, sampling.positions, model=model.name)
    count, seed = sampling.positions, sampling.seed
    at = np.stack([draw_places(name, places=places, count=count, seed=seed) for name in names])
    where = torch.from_numpy(at).to(model.device)
    shown = images.to(model.device)
    with torch.no_grad():
        values = model.record(shown, [site.name])[site.name].float()
    flat = values.flatten(2) if values.dim() > 2 else values[:, :, None]
    taken = flat.gather(2, where[:, None].expand(-1, flat.shape[1], -1)).transpose(1, 2)
    found = {"activations": taken.cpu().numpy()}
    given = attribute(model, site, shown, where) if sampling.classes else None
    if given is not None:
        found["attributions"] = given.cpu().numpy()
    for what, numbers in found.items():
        bad = ~np.isfinite(numbers).all((1, 2))
        if bad.any():
            raise ModelError(
                f"{what} of {site.name!r} in {model.name!r} are not finite for "
                f"{names[int(bad.argmax())]!r}; are its weights complete?"
            )
    return found
