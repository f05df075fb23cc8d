"""The index: SQLite tables made of the logs, brought up to date when opened, disposable.

Nothing is in here that the logs do not say. An index of another version, or one that is damaged,
is made anew; where the folder cannot be written to, it is made in memory. WAL is not used: it does
not work on network file systems.
"""

import contextlib
import json
import sqlite3
from pathlib import Path

from featviz.atlas.canonical import canonical_json
from featviz.atlas.entries import (
    Entry,
    Evidence,
    Failure,
    ImageEntry,
    Metrics,
    Settings,
    parse_entry,
)
from featviz.atlas.layout import Layout
from featviz.atlas.log import read_log
from featviz.errors import RecordError

VERSION = 1
_WAIT_S = 60.0
_TABLES = """
CREATE TABLE logs (name TEXT PRIMARY KEY, read INTEGER NOT NULL);
CREATE TABLE images (
    key TEXT PRIMARY KEY, job TEXT NOT NULL, model TEXT NOT NULL, weights TEXT NOT NULL,
    site TEXT NOT NULL, channel INTEGER, variant TEXT NOT NULL, image INTEGER NOT NULL,
    label TEXT NOT NULL, score REAL, dead INTEGER NOT NULL, failed INTEGER NOT NULL,
    seconds REAL NOT NULL, entry TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX by_unit ON images (model, site, channel, variant, image);
CREATE INDEX by_score ON images (model, site, variant, score);
CREATE INDEX by_job ON images (job);
CREATE TABLE metrics (
    key TEXT NOT NULL, name TEXT NOT NULL, value REAL NOT NULL, PRIMARY KEY (key, name)
) WITHOUT ROWID;
CREATE TABLE failures (
    job TEXT PRIMARY KEY, model TEXT NOT NULL, site TEXT NOT NULL, channel INTEGER,
    variant TEXT NOT NULL, entry TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE evidence (
    model TEXT NOT NULL, site TEXT NOT NULL, channel INTEGER NOT NULL, name TEXT NOT NULL,
    value TEXT NOT NULL, PRIMARY KEY (model, site, channel, name)
) WITHOUT ROWID;
CREATE TABLE unit_metrics (
    model TEXT NOT NULL, site TEXT NOT NULL, channel INTEGER NOT NULL, name TEXT NOT NULL,
    value REAL NOT NULL, PRIMARY KEY (model, site, channel, name)
) WITHOUT ROWID;
CREATE TABLE settings (id TEXT PRIMARY KEY, record TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE problems (log TEXT NOT NULL, place INTEGER NOT NULL, reason TEXT NOT NULL);
"""


def open_index(layout: Layout) -> sqlite3.Connection:
    """Return an index that says what the logs say now.

    Args:
        layout: Of the atlas.

    Raises:
        RecordError: If the logs cannot be read.
    """
    try:
        return _opened(layout, layout.index)
    except sqlite3.OperationalError:
        # No place to write to: look with an index of our own.
        return _opened(layout, None)
    except sqlite3.DatabaseError:
        layout.index.unlink(missing_ok=True)
        return _opened(layout, layout.index)


def _opened(layout: Layout, path: Path | None) -> sqlite3.Connection:
    connection = sqlite3.connect(
        ":memory:" if path is None else path,
        timeout=_WAIT_S,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        connection.execute("PRAGMA journal_mode=DELETE")
        refresh(connection, layout)
    except BaseException:
        connection.close()
        raise
    return connection


def refresh(connection: sqlite3.Connection, layout: Layout) -> bool:
    """Take in what the logs say that the index does not, and tell whether there was anything.

    Args:
        connection: From `open_index`.
        layout: Of the atlas.

    Raises:
        RecordError: If a log cannot be read.
    """
    sizes = {path.name: path.stat().st_size for path in layout.logs()}
    if _version(connection) == VERSION and _read(connection) == sizes:
        return False
    connection.execute("BEGIN IMMEDIATE")
    try:
        changed = _update(connection, layout)
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
    return changed


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _read(connection: sqlite3.Connection) -> dict[str, int]:
    return dict(connection.execute("SELECT name, read FROM logs"))


def _update(connection: sqlite3.Connection, layout: Layout) -> bool:
    """Read on in each log; from the start where a log went away or became shorter."""
    fresh = _version(connection) != VERSION
    if not fresh:
        read = _read(connection)
        sizes = {path.name: path.stat().st_size for path in layout.logs()}
        fresh = any(sizes.get(name, -1) < done for name, done in read.items())
    if fresh:
        _make_tables(connection)
        read = {}
    changed = fresh
    for path in layout.logs():
        try:
            part = read_log(path, read.get(path.name, 0))
        except OSError as error:
            raise RecordError(f"cannot read {str(path)!r}: {error.strerror}") from error
        if part.end == read.get(path.name, -1):
            continue
        changed = True
        for place in part.bad:
            _problem(connection, path, place, "no JSON object")
        for place, line in part.lines:
            try:
                _take(connection, parse_entry(line))
            except RecordError as error:
                _problem(connection, path, place, str(error))
        connection.execute(
            "INSERT INTO logs VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET read = excluded.read",
            (path.name, part.end),
        )
    return changed


def _make_tables(connection: sqlite3.Connection) -> None:
    names = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    ).fetchall()
    for (name,) in names:
        connection.execute(f'DROP TABLE "{name}"')
    for statement in _TABLES.split(";"):
        with contextlib.suppress(sqlite3.Warning):
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {VERSION}")


def _problem(connection: sqlite3.Connection, path: Path, place: int, reason: str) -> None:
    connection.execute("INSERT INTO problems VALUES (?, ?, ?)", (path.name, place, reason))


def _take(connection: sqlite3.Connection, entry: Entry) -> None:
    match entry:
        case ImageEntry():
            _take_image(connection, entry)
        case Failure():
            line = canonical_json(entry.to_line())
            place = (entry.job, entry.model, entry.site, entry.channel, entry.variant)
            connection.execute("REPLACE INTO failures VALUES (?, ?, ?, ?, ?, ?)", (*place, line))
        case Metrics():
            _take_metrics(connection, entry.key, dict(entry.metrics))
        case Evidence():
            unit = (entry.model, entry.site, entry.channel)
            value = json.dumps(entry.value, allow_nan=False)
            connection.execute(
                "REPLACE INTO evidence VALUES (?, ?, ?, ?, ?)", (*unit, entry.name, value)
            )
            connection.executemany(
                "REPLACE INTO unit_metrics VALUES (?, ?, ?, ?, ?)",
                [(*unit, name, number) for name, number in entry.metrics.items()],
            )
        case Settings():
            record = canonical_json(dict(entry.record))
            connection.execute("REPLACE INTO settings VALUES (?, ?)", (entry.id, record))


def _take_image(connection: sqlite3.Connection, entry: ImageEntry) -> None:
    connection.execute(
        "REPLACE INTO images VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            entry.key, entry.job, entry.model, entry.weights, entry.site, entry.channel,
            entry.variant, entry.image, entry.label, entry.score, entry.dead, entry.failed,
            entry.seconds, canonical_json(entry.to_line()),
        ),
    )  # fmt: skip
    _take_metrics(connection, entry.key, dict(entry.metrics))


def _take_metrics(connection: sqlite3.Connection, key: str, metrics: dict[str, float]) -> None:
    connection.executemany(
        "REPLACE INTO metrics VALUES (?, ?, ?)",
        [(key, name, number) for name, number in metrics.items()],
    )
