"""Read an atlas: by model, site and unit, sorted and filtered by any metric.

with Atlas("atlas/") as atlas:
for entry in atlas.images("squeezenet1_1", "fire4", sort="score", descending=True):
atlas.image_path(entry)
"""

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from featviz.atlas.entries import Failure, ImageEntry, parse_entry
from featviz.atlas.index import open_index, refresh
from featviz.atlas.layout import open_layout
from featviz.errors import RecordError, did_you_mean

_COLUMNS = ("channel", "score", "label", "variant", "seconds")
Range = tuple[float | None, float | None]


class Atlas:
    """A folder of renders, read through its index.

    Args:
        root: The folder.

    Raises:
        RecordError: If it holds no atlas, or its records cannot be read.
    """

    def __init__(self, root: str | Path) -> None:
        self.layout = open_layout(root)
        self._index = open_index(self.layout)

    def refresh(self) -> bool:
        """Take in what was recorded since, and tell whether there was anything."""
        return refresh(self._index, self.layout)

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

    def counts(self, model: str, site: str | None = None) -> dict[str, int]:
        """Return how many images, units and dead images there are.

        Args:
            model: Name of the model.
            site: Of this site alone.
        """
        where, values = _place(model, site)
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
        condition, values = _place(model, site)
        for column, value in (("channel", channel), ("variant", variant)):
            if value is not None:
                condition += f" AND {column} = ?"
                values.append(value)
        joins: list[str] = []
        joined: list[Any] = []
        for k, (name, (least, largest)) in enumerate((where or {}).items()):
            expression = self._expression(name, f"w{k}", joins, joined)
            for sign, bound in ((">=", least), ("<=", largest)):
                condition += f" AND {expression} IS NOT NULL"
                if bound is not None:
                    condition += f" AND {expression} {sign} ?"
                    values.append(bound)
        order = self._expression(sort, "s", joins, joined)
        rows = self._index.execute(
            f"SELECT images.entry FROM images {' '.join(joins)} WHERE {condition} "
            f"ORDER BY {order} IS NULL, {order} {'DESC' if descending else 'ASC'}, "
            "images.site, images.channel, images.variant, images.image LIMIT ? OFFSET ?",
            [*joined, *values, -1 if limit is None else limit, offset],
        )
        return [_image(text) for (text,) in rows]

    def _expression(self, name: str, alias: str, joins: list[str], joined: list[Any]) -> str:
        """Return the SQL of a column or a metric, and join what it needs."""
        if name in _COLUMNS:
            return f"images.{name}"
        if name not in self.metrics():
            known = [*_COLUMNS, *self.metrics()]
            raise RecordError(
                f"the atlas has no metric {name!r}{did_you_mean(name, known)} it has "
                f"{', '.join(known)}"
            )
        joins.append(
            f"LEFT JOIN metrics {alias} ON {alias}.key = images.key AND {alias}.name = ? "
            f"LEFT JOIN unit_metrics u{alias} ON u{alias}.model = images.model "
            f"AND u{alias}.site = images.site AND u{alias}.channel = images.channel "
            f"AND u{alias}.name = ?"
        )
        joined += [name, name]
        return f"COALESCE({alias}.value, u{alias}.value)"

    def metrics(self) -> list[str]:
        """Return the names of the metrics, sorted."""
        rows = self._index.execute(
            "SELECT name FROM metrics UNION SELECT name FROM unit_metrics ORDER BY name"
        )
        return [str(name) for (name,) in rows]

    def image(self, key: str) -> ImageEntry:
        """Return the entry of a key.

        Raises:
            RecordError: If there is none.
        """
        row = self._index.execute("SELECT entry FROM images WHERE key = ?", (key,)).fetchone()
        if row is None:
            raise RecordError(f"the atlas has no image {key!r}")
        return _image(row[0])

    def measured(self, key: str) -> dict[str, float]:
        """Return all that was measured of an image, also later."""
        rows = self._index.execute(
            "SELECT name, value FROM metrics WHERE key = ? ORDER BY name", (key,)
        )
        return {str(name): float(value) for name, value in rows}

    def evidence(self, model: str, site: str, channel: int) -> dict[str, Any]:
        """Return what is known of a unit apart from its renders, by name."""
        rows = self._index.execute(
            "SELECT name, value FROM evidence WHERE model = ? AND site = ? AND channel = ?",
            (model, site, channel),
        )
        return {str(name): json.loads(text) for name, text in rows}

    def failures(self) -> list[Failure]:
        """Return the work that failed and was not done since."""
        rows = self._index.execute(
            "SELECT entry FROM failures WHERE job NOT IN (SELECT job FROM images) "
            "ORDER BY model, site, channel, variant"
        )
        found = [parse_entry(json.loads(text)) for (text,) in rows]
        return [entry for entry in found if isinstance(entry, Failure)]

    def jobs(self) -> set[str]:
        """Return the keys of the work that is done."""
        return {str(job) for (job,) in self._index.execute("SELECT DISTINCT job FROM images")}

    def keys(self) -> set[str]:
        """Return the keys of all images."""
        return {str(key) for (key,) in self._index.execute("SELECT key FROM images")}

    def record(self, entry: ImageEntry) -> dict[str, Any]:
        """Return the whole record of an image, as featviz/record.py has it.

        Raises:
            RecordError: If the part that it shares with others is missing.
        """
        row = self._index.execute(
            "SELECT record FROM settings WHERE id = ?", (entry.settings,)
        ).fetchone()
        if row is None:
            raise RecordError(
                f"the settings of {entry.label!r} are missing; 'featviz atlas verify' tells more"
            )
        return {**json.loads(row[0]), "image": dict(entry.record)}

    def problems(self) -> list[tuple[str, int, str]]:
        """Return lines that were not believed: log, first byte, reason."""
        rows = self._index.execute("SELECT log, place, reason FROM problems ORDER BY log, place")
        return [(str(log), int(place), str(reason)) for log, place, reason in rows]

    def image_path(self, entry: ImageEntry) -> Path:
        """Return where the picture lies."""
        return self.layout.image(entry.key, entry.kind)

    def thumb_path(self, entry: ImageEntry) -> Path:
        """Return where the small picture lies."""
        return self.layout.thumb(entry.key)

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


def _place(model: str, site: str | None) -> tuple[str, list[Any]]:
    if site is None:
        return "images.model = ?", [model]
    return "images.model = ? AND images.site = ?", [model, site]


def _image(text: str) -> ImageEntry:
    entry = parse_entry(json.loads(text))
    if not isinstance(entry, ImageEntry):
        raise RecordError("the index holds something else for an image; delete index.sqlite")
    return entry
