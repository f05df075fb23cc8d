"""Hand an atlas on: as Parquet, WebDataset shards, web pages, a smaller atlas; whole or not at all.

A format is a module with a function, named in `EXPORTS`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from featviz.atlas.exporting.arrival import arriving, check_arrival
from featviz.atlas.exporting.outgoing import Outgoing, chosen_sites, outgoing
from featviz.atlas.reading import Atlas
from featviz.errors import ConfigError

Sites = Iterable[tuple[str, str, Iterable[Outgoing]]]
"""Model, site and images of the site."""

EXPORTS = {
    "html": "html_export:write_html",
    "parquet": "parquet_export:write_parquet",
    "preview": "preview_export:write_preview",
    "webdataset": "webdataset_export:write_webdataset",
}
"""Name of a format -> `module:function` in this package.

The function takes a path and `Sites`; if it leaves images out or changes them, it returns how many
it wrote, and bytes of their files.
"""

PAGE_SUFFIXES = (".html", ".htm")


@dataclass(frozen=True)
class Exported:
    """What was handed on.

    Attributes:
        path: The file or folder.
        images: How many images are in it.
        bytes: Of their files.
    """

    path: Path
    images: int
    bytes: int


def export_atlas(
    root: str | Path,
    path: str | Path,
    *,
    form: str,
    model: str | None = None,
    site: str | None = None,
    overwrite: bool = False,
) -> Exported:
    """Write the images of an atlas, their records, measurements and evidence elsewhere.

    Each file is compared with its hash on the way. Photographs that evidence names stay behind, and
    with them the evidence in a preview.

    Args:
        root: Folder of the atlas.
        path: A file for `parquet`; a folder of shards for `webdataset`; for `html` one page with
            everything inside if it ends in .html, else a folder of pages and files; for `preview`
            a folder.
        form: `parquet`, `webdataset`, `html` or `preview`.
        model: Of this model alone.
        site: Of this site alone.
        overwrite: Whether to replace an earlier export.

    Raises:
        ConfigError: If there is no such format, or it needs something that is not installed, or
            the images do not fit into one page.
        OutputError: If the place is taken, or cannot be written to.
        RecordError: If there is no atlas or nothing in it, or a file is not the one recorded.
    """
    target = Path(path)
    if form not in EXPORTS:
        raise ConfigError(f"unknown format {form!r}; there are {', '.join(EXPORTS)}")
    module, _, function = EXPORTS[form].partition(":")
    writer: Callable[[Path, Sites], tuple[int, int] | None] = getattr(
        import_module(f"featviz.atlas.exporting.{module}"), function
    )
    one_file = form == "parquet" or (form == "html" and target.suffix.lower() in PAGE_SUFFIXES)
    with Atlas(root) as atlas:
        sites = chosen_sites(atlas, model, site)
        check_arrival(target, folder=not one_file, outside=Path(root), overwrite=overwrite)
        tally = _Tally()
        with arriving(target, folder=not one_file) as made:
            written = writer(made, ((m, s, tally.counted(outgoing(atlas, m, s))) for m, s in sites))
    images, size = written or (tally.images, tally.bytes)
    return Exported(target, images, size)


class _Tally:
    """Counts what goes by."""

    def __init__(self) -> None:
        self.images = 0
        self.bytes = 0

    def counted(self, images: Iterable[Outgoing]) -> Iterable[Outgoing]:
        for image in images:
            self.images += 1
            self.bytes += len(image.picture) + len(image.thumb)
            yield image
