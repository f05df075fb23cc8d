"""Queries behind `Atlas`: SQL of a filter, an order and a page; values stay values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from featviz.errors import RecordError, did_you_mean

COLUMNS = ("channel", "score", "label", "variant", "seconds")
"""What images can be sorted by beside metrics."""

Range = tuple[float | None, float | None]
"""Least and largest value; None: no bound."""

OF_UNIT = (
    "JOIN logs ON logs.id = u.log WHERE u.model = ? AND u.site = ? AND u.channel = ? "
    "AND (? IS NULL OR u.weights = ?) ORDER BY generation, logs.name, u.place"
)
"""Lines on a unit; of all weights where none are given. What was recorded last comes last."""

IMAGE_SINCE = (
    "SELECT 1 FROM images JOIN logs ON logs.id = images.log WHERE images.job = failures.job AND "
    "(generation, logs.name, images.place) > "
    "(SELECT generation, name, failures.place FROM logs WHERE id = failures.log)"
)
"""Images of the work that failed, recorded after it did."""


@dataclass
class ImageQuery:
    """Images of a model or a site, narrowed down part by part.

    Attributes:
        model: Name of the model.
        site: Of this site alone; None: of all.
        metrics: Name of each metric that the index has -> its number there.
    """

    model: str
    site: str | None
    metrics: Mapping[str, int]
    _joins: list[str] = field(default_factory=list, init=False)
    _conditions: list[str] = field(default_factory=list, init=False)
    _values: list[Any] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        """Begin with the place."""
        condition, self._values = place_condition(self.model, self.site)
        self._conditions.append(condition)

    def only(self, column: str, value: object) -> None:
        """Leave out images that have another value in a column; None: leave out nothing."""
        if value is not None:
            self._conditions.append(f"images.{column} = ?")
            self._values.append(value)

    def between(self, name: str, bounds: Range) -> None:
        """Leave out images without a score or metric, or with one out of bounds.

        Raises:
            RecordError: If there is no such metric.
        """
        expression = self._expression(name, f"w{len(self._joins)}")
        self._conditions.append(f"{expression} IS NOT NULL")
        for sign, bound in zip((">=", "<="), bounds, strict=True):
            if bound is not None:
                self._conditions.append(f"{expression} {sign} ?")
                self._values.append(bound)

    def page(
        self, *, sort: str, descending: bool, limit: int | None, offset: int
    ) -> tuple[str, list[Any]]:
        """Return the query of a page, and its values; images without what is sorted by come last.

        Args:
            sort: One of `COLUMNS`, or a metric.
            descending: Largest first.
            limit: Images at most.
            offset: Images to leave out first.

        Raises:
            RecordError: If there is no such metric.
        """
        order = self._expression(sort, "s")
        query = (
            f"SELECT images.log, images.place FROM images {' '.join(self._joins)} "
            f"WHERE {' AND '.join(self._conditions)} "
            f"ORDER BY {order} IS NULL, {order} {'DESC' if descending else 'ASC'}, "
            "images.site, images.channel, images.variant, images.image LIMIT ? OFFSET ?"
        )
        return query, [*self._values, -1 if limit is None else limit, offset]

    def _expression(self, name: str, alias: str) -> str:
        """Return the SQL of a column or a metric, and join what it needs."""
        if name in COLUMNS:
            return f"images.{name}"
        if name not in self.metrics:
            known = [*COLUMNS, *self.metrics]
            raise RecordError(
                f"the atlas has no metric {name!r}{did_you_mean(name, known)} it has "
                f"{', '.join(known)}"
            )
        number = self.metrics[name]
        self._joins.append(
            f"LEFT JOIN later_metrics l{alias} ON l{alias}.key = images.key "
            f"AND l{alias}.name = {number} "
            f"LEFT JOIN metrics {alias} ON {alias}.image = images.id AND {alias}.name = {number} "
            f"LEFT JOIN unit_metrics u{alias} ON u{alias}.model = images.model "
            f"AND u{alias}.site = images.site AND u{alias}.channel = images.channel "
            f"AND u{alias}.weights = images.weights AND u{alias}.name = {number}"
        )
        return f"COALESCE(l{alias}.value, {alias}.value, u{alias}.value)"


def place_condition(model: str, site: str | None) -> tuple[str, list[Any]]:
    """Return the SQL of what is of a model, or of a site of it, and its values."""
    if site is None:
        return "images.model = ?", [model]
    return "images.model = ? AND images.site = ?", [model, site]
