"""The atlases that the app shows, and the models that it may load.

The launcher fills the library before the server starts; all sessions share it, read-only. What a
URL names is looked up here and never becomes a path or an import.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from featviz.atlas.entries import ImageEntry
from featviz.atlas.layout import open_layout
from featviz.atlas.reading import Atlas
from featviz.atlas.store import is_own_thumb
from featviz.errors import ConfigError, RecordError, did_you_mean

FILES = "/atlasfiles"
"""Where the pictures of atlases are served."""


@dataclass
class Library:
    """Atlases by the names that URLs use.

    Attributes:
        roots: Folder of each atlas, in the order given.
        models: Networks beyond the registered ones that the launcher loaded.
        renders: Name and folder of the atlas that renders of the app go to, which need not be one
            yet; None: they are not kept.
    """

    roots: dict[str, Path] = field(default_factory=dict)
    models: tuple[str, ...] = ()
    renders: tuple[str, Path] | None = None

    @property
    def first(self) -> str:
        """Name of the atlas that is shown where a URL names none.

        Raises:
            RecordError: If there is none.
        """
        if not self.roots:
            raise RecordError("no atlas is open; start with 'featviz app FOLDER'")
        return next(iter(self.roots))

    def root(self, name: str) -> Path:
        """Return the folder of an atlas.

        Raises:
            RecordError: If there is no such atlas here.
        """
        if name not in self.roots:
            raise RecordError(
                f"no atlas {name!r} is open{did_you_mean(name, list(self.roots))} "
                f"open are {', '.join(self.roots) or 'none'}"
            )
        return self.roots[name]

    @contextmanager
    def atlas(self, name: str) -> Iterator[Atlas]:
        """Open an atlas for a while; each run of a page opens its own, for threads share none.

        Args:
            name: Of the atlas, as URLs have it.

        Raises:
            RecordError: If there is no such atlas, or it cannot be read.
        """
        with Atlas(self.root(name)) as atlas:
            atlas.refresh()
            yield atlas


LIBRARY = Library()
"""What this process shows."""


def picture_url(name: str, path: Path) -> str:
    """Return the URL of a picture of an atlas.

    Args:
        name: Of the atlas.
        path: As its layout gives it, such as `ROOT/thumbs/ab/KEY.webp`.
    """
    return "/".join((FILES, name, *path.parts[-3:]))


def thumb_url(name: str, atlas: Atlas, entry: ImageEntry) -> str:
    """Return the URL of a small picture of an atlas; faster than by its path where it can be.

    Args:
        name: Of the atlas.
        atlas: The atlas.
        entry: Of the image.
    """
    if is_own_thumb(entry):
        return picture_url(name, atlas.thumb_path(entry))
    return f"{FILES}/{name}/thumbs/{entry.key[:2]}/{entry.key}.webp"


def unit_thumb(name: str, atlas: Atlas, model: str, site: str, channel: int) -> str:
    """Return the URL of the small picture of what excites a unit; empty if there is none.

    Args:
        name: Of the atlas.
        atlas: The atlas.
        model: Name of the network.
        site: A site of it in the atlas.
        channel: Of the unit.
    """
    found = atlas.images(model, site, channel=channel, variant="positive", limit=1)
    return picture_url(name, atlas.thumb_path(found[0])) if found else ""


def open_library(
    roots: Sequence[str | Path],
    *,
    models: Sequence[str] = (),
    renders: str | Path | None = None,
) -> Library:
    """Return the library of some folders, each checked.

    Args:
        roots: Folders of atlases; two of the same name become `name` and `name-2`.
        models: Networks beyond the registered ones that may be loaded.
        renders: Folder of the atlas that renders of the app go to; it is made when the first is
            kept. None: they are not kept.

    Raises:
        RecordError: If a folder holds no atlas.
        ConfigError: If a folder is named twice.
    """
    found: dict[str, Path] = {}
    for root in roots:
        path = open_layout(root).root.resolve()
        if path in found.values():
            raise ConfigError(f"the atlas {str(root)!r} is named twice; name it once")
        found[_free_name(path.name, found)] = path
    if renders is None:
        return Library(found, tuple(models))
    path = Path(renders).expanduser().resolve()
    name = next((name for name, root in found.items() if root == path), None)
    if name is None:
        name = _free_name("renders", found)
        if (path / "atlas.json").is_file():
            found[name] = open_layout(path).root
    return Library(found, tuple(models), (name, path))


def _free_name(name: str, taken: dict[str, Path]) -> str:
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "atlas"
    number = 1
    while (plain if number == 1 else f"{plain}-{number}") in taken:
        number += 1
    return plain if number == 1 else f"{plain}-{number}"
