"""Read an atlas: by model, site and unit, sorted and filtered by any metric.

with Atlas("atlas/") as atlas:
    for entry in atlas.images("squeezenet1_1", "fire4", sort="score", descending=True):
        atlas.image_path(entry)
"""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, TypeVar

from featviz.atlas.canonical import is_key
from featviz.atlas.entries import Entry, Evidence, Failure, ImageEntry, Settings
from featviz.atlas.image_query import IMAGE_SINCE, OF_UNIT, ImageQuery, Range, place_condition
from featviz.atlas.index import Index
from featviz.atlas.layout import open_layout
from featviz.atlas.store import is_own_thumb
from featviz.errors import RecordError, did_you_mean

_E = TypeVar("_E", bound=Entry)


class Work(NamedTuple):
    """What there is of one piece of work.

    Attributes:
        images: How many.
        dead: How many of them do not fire their unit.
        seconds: That they took together.
    """

    images: int
    dead: int
    seconds: float


class Atlas:
    """A folder of renders, read through its index.

    Args:
        root: The folder.

    Raises:
        RecordError: If it holds no atlas, or its records cannot be read.
    """

    def __init__(self, root: str | Path) -> None:
        self.layout = open_layout(root)
        self._index = Index(self.layout)

    def refresh(self) -> bool:
        """Take in what was recorded since, and tell whether there was anything."""
        return self._index.refresh()

    def models(self) -> list[str]:
        """Return the names of the models, sorted."""
        rows = self._index.execute("SELECT DISTINCT model FROM images ORDER BY model")
        return [str(name) for (name,) in rows]

    def sites(self, model: str) -> list[str]:
        """Return the sites of a model that have images, sorted.

        Raises:
            RecordError: If the atlas has no such model.
        """
        rows = self._index.execute(
            "SELECT DISTINCT site FROM images WHERE model = ? ORDER BY site", (model,)
        )
        found = [str(name) for (name,) in rows]
        if not found:
            known = self.models()
            raise RecordError(
                f"the atlas has no model {model!r}{did_you_mean(model, known)} it has "
                f"{', '.join(known) or 'no images at all'}"
            )
        return found

    def weights(self, model: str) -> list[str]:
        """Return the SHA-256 of each set of weights that made images of a model, sorted."""
        rows = self._index.execute(
            "SELECT DISTINCT weights FROM images WHERE model = ? ORDER BY weights", (model,)
        )
        return [weights.hex() for (weights,) in rows]

    def channels(self, model: str, site: str) -> list[int]:
        """Return the channels of a site that have images, sorted.

        Args:
            model: Name of the model.
            site: Name of the site.
        """
        rows = self._index.execute(
            "SELECT DISTINCT channel FROM images WHERE model = ? AND site = ? "
            "AND channel IS NOT NULL ORDER BY channel",
            (model, site),
        )
        return [int(channel) for (channel,) in rows]

    def variants(self, model: str, site: str) -> list[str]:
        """Return the variants of the images of a site: `positive` first, the others sorted.

        Args:
            model: Name of the model.
            site: Name of the site.
        """
        rows = self._index.execute(
            "SELECT DISTINCT variant FROM images WHERE model = ? AND site = ? "
            "ORDER BY variant <> 'positive', variant",
            (model, site),
        )
        return [str(variant) for (variant,) in rows]

    def counts(self, model: str, site: str | None = None) -> dict[str, int]:
        """Return how many images, units and dead images there are.

        Args:
            model: Name of the model.
            site: Of this site alone.
        """
        where, values = place_condition(model, site)
        row = self._index.execute(
            "SELECT COUNT(*), COUNT(DISTINCT site || ':' || channel), COALESCE(SUM(dead), 0) "
            f"FROM images WHERE {where}",
            values,
        ).fetchone()
        return dict(zip(("images", "units", "dead"), map(int, row), strict=True))

    def images(
        self,
        model: str,
        site: str | None = None,
        *,
        channel: int | None = None,
        variant: str | None = None,
        sort: str = "channel",
        descending: bool = False,
        where: Mapping[str, Range] | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[ImageEntry]:
        """Return images, sorted and filtered.

        Args:
            model: Name of the model.
            site: Of this site alone.
            channel: Of this channel alone.
            variant: Of this variant alone.
            sort: `channel`, `score`, `label`, `variant`, `seconds`, or a metric; images without
                it come last.
            descending: Largest first.
            where: Least and largest value, None for no bound, by `score` or metric; images
                without it are left out.
            limit: Images at most.
            offset: Images to leave out first.

        Raises:
            RecordError: If a metric is unknown.
        """
        numbers: dict[str, int] = dict(
            self._index.execute("SELECT name, id FROM names ORDER BY name")
        )
        query = ImageQuery(model, site, numbers)
        query.only("channel", channel)
        query.only("variant", variant)
        for name, bounds in (where or {}).items():
            query.between(name, bounds)
        page = query.page(sort=sort, descending=descending, limit=limit, offset=offset)
        rows = self._index.execute(*page)
        return [_of(entry, ImageEntry) for entry in self._index.entries(rows.fetchall())]

    def metrics(self) -> list[str]:
        """Return the names of the metrics, sorted."""
        rows = self._index.execute("SELECT name FROM names ORDER BY name")
        return [str(name) for (name,) in rows]

    def image(self, key: str) -> ImageEntry:
        """Return the entry of a key.

        Raises:
            RecordError: If there is none.
        """
        rows = self._index.execute(
            "SELECT log, place FROM images WHERE key = ?", (_raw(key),)
        ).fetchall()
        if not rows:
            raise RecordError(f"the atlas has no image {key!r}")
        return _of(self._index.entries(rows)[0], ImageEntry)

    def measured(self, key: str) -> dict[str, float]:
        """Return all that was measured of an image, also later."""
        found: dict[str, float] = {}
        for source in (
            "metrics AS m JOIN images AS i ON i.id = m.image WHERE i.key = ?",
            "later_metrics AS m WHERE m.key = ?",
        ):
            rows = self._index.execute(
                "SELECT (SELECT name FROM names WHERE names.id = m.name), m.value FROM " + source,
                (_raw(key),),
            )
            found |= {str(name): float(value) for name, value in rows}
        return dict(sorted(found.items()))

    def measured_unit(
        self, model: str, site: str, channel: int, *, weights: str | None = None
    ) -> dict[str, float]:
        """Return what was measured of a unit apart from its renders; for weights see `evidence`."""
        rows = self._index.execute(
            "SELECT (SELECT name FROM names WHERE names.id = u.name), value "
            f"FROM unit_metrics AS u {OF_UNIT}",
            (model, site, channel, *[weights and _raw(weights)] * 2),
        )
        found = {str(name): float(value) for name, value in rows}
        return dict(sorted(found.items()))

    def evidence(
        self, model: str, site: str, channel: int, *, weights: str | None = None
    ) -> dict[str, Any]:
        """Return what is known of a unit apart from its renders, by name.

        Args:
            model: Name of the model.
            site: Name of the site.
            channel: Index of the unit.
            weights: SHA-256: only what is of these weights; None for what was recorded last.
        """
        rows = self._index.execute(
            f"SELECT log, place FROM evidence AS u {OF_UNIT}",
            (model, site, channel, *[weights and _raw(weights)] * 2),
        )
        found = [_of(entry, Evidence) for entry in self._index.entries(rows)]
        return {entry.name: entry.value for entry in found}

    def failures(self, *, also_done: bool = False) -> list[Failure]:
        """Return the last failure of each piece of work of which no image was recorded since.

        Args:
            also_done: Also of those of which there was one.
        """
        rows = self._index.execute(
            f"SELECT log, place FROM failures WHERE ? OR NOT EXISTS ({IMAGE_SINCE}) "
            "ORDER BY model, site, channel, variant",
            (also_done,),
        )
        return [_of(entry, Failure) for entry in self._index.entries(rows)]

    def jobs(self) -> set[str]:
        """Return the keys of the work that is done."""
        return {job.hex() for (job,) in self._index.execute("SELECT DISTINCT job FROM images")}

    def work(self) -> dict[str, Work]:
        """Return what there is of the work that was begun, by its key."""
        rows = self._index.execute(
            "SELECT job, COUNT(*), SUM(dead), SUM(seconds) FROM images GROUP BY job"
        )
        return {
            job.hex(): Work(int(images), int(dead), float(seconds))
            for job, images, dead, seconds in rows
        }

    def keys(self) -> set[str]:
        """Return the keys of all images."""
        return {key.hex() for (key,) in self._index.execute("SELECT key FROM images")}

    def record(self, entry: ImageEntry) -> dict[str, Any]:
        """Return the whole record of an image, as featviz/record.py has it.

        Raises:
            RecordError: If the part that it shares with others is missing.
        """
        rows = self._index.execute(
            "SELECT log, place FROM settings WHERE id = ?", (_raw(entry.settings),)
        ).fetchall()
        if not rows:
            raise RecordError(
                f"the settings of {entry.label!r} are missing; 'featviz atlas verify' tells more"
            )
        shared = _of(self._index.entries(rows)[0], Settings).record
        whole = {**shared, "image": dict(entry.record)}
        if isinstance(shared.get("request"), dict):
            # Images of many objectives share the rest of what was asked for.
            objective = entry.record.get("objective", entry.label)
            asked = {k: v for k, v in shared["request"].items() if k != "objectives" or v}
            whole["request"] = {"objectives": [objective], **asked}
        return whole

    def problems(self) -> list[tuple[str, int, str]]:
        """Return lines that were not believed: log, first byte, reason."""
        rows = self._index.execute("SELECT log, place, reason FROM problems ORDER BY log, place")
        return [(str(log), int(place), str(reason)) for log, place, reason in rows]

    def image_path(self, entry: ImageEntry) -> Path:
        """Return where the picture lies."""
        return self.layout.image(entry.key, entry.kind)

    def thumb_path(self, entry: ImageEntry) -> Path:
        """Return where the small picture lies: the picture itself where that is small."""
        return self.image_path(entry) if is_own_thumb(entry) else self.layout.thumb(entry.key)

    def close(self) -> None:
        """Close the index."""
        self._index.close()

    def __enter__(self) -> "Atlas":
        """Return the atlas."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the index."""
        self.close()


def _raw(key: str) -> bytes:
    return bytes.fromhex(key) if is_key(key) else b""


def _of(entry: Entry, kind: type[_E]) -> _E:
    if not isinstance(entry, kind):
        raise RecordError("the index does not fit the logs; delete index.sqlite")
    return entry
