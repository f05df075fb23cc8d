"""An atlas as a smaller atlas: units that fire, their pictures small, to be shipped and browsed.

    atlas.json, records/0000.jsonl ..., images/ab/KEY.webp    an atlas like any other, a log a site
    export.json                                               how many images, SHA-256 of each log

Keys, labels, scores, measurements and settings stay, so a picture can be rendered again as it was;
sizes and hashes are those of the small pictures. One file stands for picture and small picture.
The hash of export.json stands for all: it has those of the logs, which have those of the pictures.
Evidence stays behind, since it names other pictures. The same atlas gives the same bytes.
"""

import hashlib
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from PIL import Image

from featviz.atlas.entries import ImageEntry
from featviz.atlas.exporting.arrival import MARK
from featviz.atlas.exporting.export import Sites
from featviz.atlas.exporting.outgoing import Outgoing
from featviz.atlas.layout import Layout
from featviz.atlas.pictures import small_picture, webp_bytes
from featviz.atlas.store import DERIVED, NewImage, Store
from featviz.errors import RecordError

SIDE_PX = 80
QUALITY = 60


def write_preview(folder: Path, sites: Sites) -> tuple[int, int]:
    """Write an atlas into a folder.

    Args:
        folder: An empty one.
        sites: What is to be in it; units that do not fire are left out.

    Returns:
        How many images it has, and bytes of their files.
    """
    images = size = 0
    for number, (_, _, some) in enumerate(sites):
        kept = _write_site(folder, some, name=f"{number:04d}.jsonl")
        images += len(kept)
        size += sum(entry.bytes for entry in kept)
    logs = {log.name: hashlib.sha256(log.read_bytes()).hexdigest() for log in Layout(folder).logs()}
    document = {"format": "preview", "images": images, "logs": logs}
    (folder / MARK).write_text(json.dumps(document) + "\n", encoding="ascii")
    return images, size


def _write_site(folder: Path, images: Iterable[Outgoing], *, name: str) -> list[ImageEntry]:
    """Write the images of a site and their log, and return their entries."""
    before = set(Layout(folder).logs())
    with Store(folder) as store:
        kept = store.add([_small(image) for image in images if not image.entry.dead])
    # A log has a random name, since several may write; here nobody else does.
    for log in set(store.layout.logs()) - before:
        log.rename(store.layout.log(name))
    return kept


def _small(image: Outgoing) -> NewImage:
    try:
        with Image.open(io.BytesIO(image.picture)) as opened:
            picture = small_picture(opened, SIDE_PX)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise RecordError(
            f"cannot take {image.entry.label!r} along: its picture cannot be read ({error}); "
            "'featviz atlas verify FOLDER --repair' puts the atlas right"
        ) from error
    data = webp_bytes(picture, quality=QUALITY)
    parts: dict[str, Any] = {
        name: value for name, value in vars(image.entry).items() if name not in DERIVED
    }
    parts |= {
        "kind": "webp",
        "height": picture.height,
        "width": picture.width,
        "metrics": dict(image.metrics),
    }
    return NewImage(parts, data, data, image.shared)
