"""What leaves an atlas: images one at a time, with files that were checked and all that is known.

Memory holds the entries of one site and the files of one image.
"""

import hashlib
import stat
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from featviz.atlas.canonical import canonical_json
from featviz.atlas.entries import ImageEntry
from featviz.atlas.reading import Atlas
from featviz.errors import RecordError


@dataclass(frozen=True)
class Outgoing:
    """One image, and all that the atlas knows of it.

    Attributes:
        entry: What was recorded.
        picture: The file.
        thumb: The small picture, WebP.
        metrics: Of the image, also later ones, and of its unit.
        record: How it was made, see featviz/record.py.
        evidence: What is known of its unit apart from its renders, by name.
    """

    entry: ImageEntry
    picture: bytes
    thumb: bytes
    metrics: Mapping[str, float]
    record: Mapping[str, Any]
    evidence: Mapping[str, Any]

    @property
    def shared(self) -> dict[str, Any]:
        """The part of the record that it has in common with others, as `Store` takes it."""
        shared = {name: value for name, value in self.record.items() if name != "image"}
        if isinstance(shared.get("request"), dict):
            own = {name: v for name, v in shared["request"].items() if name != "objectives"}
            shared["request"] = own
        return shared

    @property
    def document(self) -> dict[str, Any]:
        """All but the files, as JSON has it."""
        return {
            **asdict(self.entry),
            "metrics": dict(self.metrics),
            "record": dict(self.record),
            "evidence": dict(self.evidence),
        }

    def text(self, value: object) -> str:
        """Return JSON of a part of it.

        Raises:
            RecordError: If a number in it is not finite.
        """
        try:
            return canonical_json(value)
        except ValueError as error:
            raise RecordError(
                f"the record of {self.entry.label!r} cannot be written as JSON: {error}; was it "
                "edited?"
            ) from error


def chosen_sites(
    atlas: Atlas, model: str | None = None, site: str | None = None
) -> list[tuple[str, str]]:
    """Return models and sites of an atlas, sorted.

    Args:
        atlas: The atlas.
        model: This one alone.
        site: This one alone.

    Raises:
        RecordError: If the atlas has no such model or site, or no images at all.
    """
    models = atlas.models() if model is None else [model]
    found = [(name, place) for name in models for place in atlas.sites(name)]
    kept = [pair for pair in found if site is None or pair[1] == site]
    if not found:
        raise RecordError(
            f"{str(atlas.layout.root)!r} has no images yet; 'featviz atlas build' makes some"
        )
    if not kept:
        known = ", ".join(dict.fromkeys(place for _, place in found))
        raise RecordError(f"the atlas has no images of site {site!r}; it has {known}")
    return kept


def outgoing(atlas: Atlas, model: str, site: str) -> Iterator[Outgoing]:
    """Give the images of a site, by channel and variant.

    Args:
        atlas: The atlas.
        model: Name of the model.
        site: The site.

    Raises:
        RecordError: If a file is not the one that was recorded, or a record is not whole.
    """
    unit: tuple[int | None, str] | None = None
    evidence: dict[str, Any] = {}
    of_unit: dict[str, float] = {}
    for entry in atlas.images(model, site):
        if entry.channel is None:
            evidence, of_unit = {}, {}
        elif (entry.channel, entry.weights) != unit:
            place = (model, site, entry.channel)
            evidence = atlas.evidence(*place, weights=entry.weights)
            of_unit = atlas.measured_unit(*place, weights=entry.weights)
        unit = entry.channel, entry.weights
        yield Outgoing(
            entry,
            read_checked(atlas.image_path(entry), entry.sha256, entry),
            read_checked(atlas.thumb_path(entry), entry.thumb_sha256, entry),
            of_unit | atlas.measured(entry.key),
            atlas.record(entry),
            evidence,
        )


def read_checked(path: Path, sha256: str, entry: ImageEntry) -> bytes:
    """Return the bytes of a file of an atlas.

    Args:
        path: The file.
        sha256: What it must hash to.
        entry: What it belongs to.

    Raises:
        RecordError: If it is not there, or another one.
    """
    try:
        # Looked at first: opening a pipe would wait for ever.
        data = path.read_bytes() if stat.S_ISREG(path.stat().st_mode) else b""
        wrong = "" if hashlib.sha256(data).hexdigest() == sha256 else "is not the one recorded"
    except OSError as error:
        data, wrong = b"", error.strerror or str(error)
    if wrong:
        raise RecordError(
            f"cannot take {entry.label!r} along: {str(path)!r}: {wrong}; "
            "'featviz atlas verify FOLDER --repair' puts the atlas right"
        )
    return data
