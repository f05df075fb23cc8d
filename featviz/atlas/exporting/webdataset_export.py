"""An atlas as WebDataset: plain tar files of samples that readers can stream.

    shard-000000.tar    KEY.webp or KEY.png, KEY.json, KEY.thumb.webp; KEY.webp ...
    export.json         how many there are

Files of one sample have one name up to the first dot and lie together. The same atlas gives the
same bytes.
"""

import io
import json
import tarfile
from pathlib import Path

from featviz.atlas.exporting.arrival import MARK
from featviz.atlas.exporting.export import Sites
from featviz.atlas.exporting.outgoing import Outgoing

SHARD_IMAGES = 10_000
SHARD_BYTES = 2**28


def write_webdataset(
    folder: Path, sites: Sites, *, most_images: int = SHARD_IMAGES, most_bytes: int = SHARD_BYTES
) -> None:
    """Write tar files into a folder.

    Args:
        folder: An empty one.
        sites: What is to be in it.
        most_images: Of one tar file.
        most_bytes: Of one tar file, about: one is closed when it has as many.
    """
    counts: list[int] = []
    shard: tarfile.TarFile | None = None
    try:
        for _, _, images in sites:
            for image in images:
                if shard is None or counts[-1] >= most_images or shard.offset >= most_bytes:
                    if shard is not None:
                        shard.close()
                    name = folder / f"shard-{len(counts):06d}.tar"
                    shard = tarfile.open(name, "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115 - several
                    counts.append(0)
                _add(shard, image)
                counts[-1] += 1
    finally:
        if shard is not None:
            shard.close()
    document = {"format": "webdataset", "images": sum(counts), "shards": counts}
    (folder / MARK).write_text(json.dumps(document) + "\n", encoding="ascii")


def _add(shard: tarfile.TarFile, image: Outgoing) -> None:
    key = image.entry.key
    for name, data in (
        (f"{key}.{image.entry.kind}", image.picture),
        (f"{key}.json", image.text(image.document).encode()),
        (f"{key}.thumb.webp", image.thumb),
    ):
        member = tarfile.TarInfo(name)
        member.size = len(data)
        shard.addfile(member, io.BytesIO(data))
