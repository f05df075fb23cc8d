"""Ask the network of an atlas whether it knows its units by their images, and keep the answers.

Of each image two metrics are noted, see `featviz.metrics.self_identification`, and the number of
photographs that they were counted by. Pictures are taken as they lie in the folder: WebP has lost
a little.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from featviz.atlas.entries import ImageEntry, Metrics
from featviz.atlas.exporting.outgoing import chosen_sites
from featviz.atlas.reading import Atlas
from featviz.atlas.store import Store
from featviz.borrowing import own_settings
from featviz.errors import PictureError, RecordError, WeightsError
from featviz.images import to_image
from featviz.kept_memory import kept_memory
from featviz.metrics.measures import self_identification
from featviz.metrics.pictures import PictureFolder
from featviz.metrics.reference import Reference
from featviz.models.model import Model
from featviz.models.weights import digest
from featviz.params.alpha import over_grey
from featviz.photographs import read_pixels

Loader: TypeAlias = Callable[[Sequence[str]], Model]
"""Loads a model from the words that load it on the command line, name first."""

RANK, Z, PHOTOGRAPHS = "self_rank", "self_z", "self_photographs"
"""Names of the metrics: place of the unit among all of its site on its own image, 1 is first; how
many standard deviations over photographs it is excited; by how many photographs."""

_SITES = 16
_BATCH = 32


@own_settings()
@kept_memory()
@torch.no_grad()
def measure_self(
    root: str | Path,
    photographs: PictureFolder,
    *,
    load_recorded: Loader,
    progress: Callable[[int, int], None] | None = None,
    skipped: Callable[[Path, PictureError], None] | None = None,
) -> int:
    """Measure self-identification of the images that lack it, and note it in the atlas.

    Images that are to silence their unit, and those of no single channel, are left out. What is
    measured is kept batch by batch, so that a call that was cut short is gone on with.

    Args:
        root: Folder of the atlas.
        photographs: What the units are counted by; hundreds are enough. Those that cannot be read
            are left out.
        load_recorded: Loads the network that a record names.
        progress: Called with how many images are done, and how many there are.
        skipped: Called with each photograph that is left out, and why.

    Returns:
        How many images were measured.

    Raises:
        InputError: If a network cannot be loaded or is not the one that made the images, a
            picture of the atlas or all but one photograph cannot be read, or the atlas cannot be
            written to.
    """
    done = 0
    with Atlas(root) as atlas, Store(root) as store:
        lacking = _lacking(atlas)
        total = sum(len(entries) for of_model in lacking for _, entries in of_model)
        if lacking:
            photographs = photographs.readable(skipped)
        for of_model in lacking:
            model = _load(atlas, of_model[0][1][0], load_recorded)
            for first in range(0, len(of_model), _SITES):
                some = of_model[first : first + _SITES]
                # A pass over the photographs keeps activations of these sites at a time.
                reference = Reference(model, photographs)
                reference.gather([site for site, _ in some])
                for site, entries in some:
                    for batch in _batches(entries):
                        store.note(_measured(atlas, reference, site, batch))
                        done += len(batch)
                        if progress is not None:
                            progress(done, total)
    return done


def _lacking(atlas: Atlas) -> list[list[tuple[str, list[ImageEntry]]]]:
    """Return sites and images that lack the metrics, for each network apart.

    One name may stand for several: a build with other weights goes into the same atlas.
    """
    found: dict[tuple[str, str], dict[str, list[ImageEntry]]] = {}
    for name, site in chosen_sites(atlas):
        for entry in atlas.images(name, site):
            if _is_lacking(atlas, entry):
                found.setdefault((name, entry.weights), {}).setdefault(site, []).append(entry)
    return [list(sites.items()) for sites in found.values()]


def _is_lacking(atlas: Atlas, entry: ImageEntry) -> bool:
    counts = entry.channel is not None and entry.variant != "negative"
    return counts and PHOTOGRAPHS not in atlas.measured(entry.key)


def _load(atlas: Atlas, entry: ImageEntry, load_recorded: Loader) -> Model:
    arguments = atlas.record(entry).get("request", {}).get("arguments")
    if not arguments:
        raise RecordError(f"no record of {entry.model!r} says how to load it")
    model = load_recorded(arguments)
    found = digest(model.module)
    if found != entry.weights:
        raise WeightsError(
            f"{model.name!r} has other weights (sha256 {found[:12]}...) than those that made "
            f"{entry.label!r} ({entry.weights[:12]}...); put the file of then back in place"
        )
    return model


def _batches(entries: Sequence[ImageEntry]) -> Iterator[list[ImageEntry]]:
    """Give images of one size and one set of weights together."""

    def kind(entry: ImageEntry) -> tuple[str, int, int]:
        return entry.settings, entry.height, entry.width

    for _, group in groupby(sorted(entries, key=kind), key=kind):
        some = list(group)
        yield from (some[first : first + _BATCH] for first in range(0, len(some), _BATCH))


def _measured(
    atlas: Atlas, reference: Reference, site: str, entries: Sequence[ImageEntry]
) -> list[Metrics]:
    images = torch.stack([_image(atlas, entry, reference.model) for entry in entries])
    channels = [entry.channel or 0 for entry in entries]
    found = self_identification(reference.model, site, channels, images, reference.moments(site))
    count = float(len(reference.folder))
    return [
        Metrics(
            entry.key,
            # A unit that is the same on all photographs has no rank.
            {PHOTOGRAPHS: count, **({RANK: float(rank), Z: z} if rank else {})},
        )
        for entry, rank, z in zip(entries, found.rank.tolist(), found.z.tolist(), strict=True)
    ]


def _image(atlas: Atlas, entry: ImageEntry, model: Model) -> Float[Tensor, "c h w"]:
    record = atlas.record(entry)
    h, w = record["ran"]["size"]
    alpha = record["config"].get("alpha") is not None
    picture = read_pixels(atlas.image_path(entry))
    if not alpha:
        # WebP knows no grey pictures, and other numbers of channels lie side by side in grey.
        picture = picture.convert("RGB" if model.spec.channels == 3 else "L")
    image = to_image(picture, (h, w), alpha=alpha)
    return over_grey(image[None])[0] if alpha else image
