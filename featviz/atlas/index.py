"""The index: SQLite tables made of the logs, brought up to date when opened, disposable.

Nothing is in here that the logs do not say; rows of what is large name its line in a log. An index
of another version, or one that is damaged, is made anew; where the folder cannot be written to, it
is made in memory. WAL is not used: it does not work on network file systems.
"""

import sqlite3
from pathlib import Path

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
CREATE TABLE logs (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, read INTEGER NOT NULL);
CREATE TABLE images (
    id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, job BLOB NOT NULL, model TEXT NOT NULL,
    site TEXT NOT NULL, channel INTEGER, variant TEXT NOT NULL, image INTEGER NOT NULL,
    label TEXT NOT NULL, score REAL, dead INTEGER NOT NULL, seconds REAL NOT NULL,
    log INTEGER NOT NULL, place INTEGER NOT NULL
);
CREATE INDEX by_unit ON images (model, site, channel, variant, image);
CREATE INDEX by_job ON images (job);
CREATE TABLE names (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE metrics (
    image INTEGER NOT NULL, name INTEGER NOT NULL, value REAL NOT NULL, PRIMARY KEY (image, name)
) WITHOUT ROWID;
CREATE TABLE unit_metrics (
    model TEXT NOT NULL, site TEXT NOT NULL, channel INTEGER NOT NULL, name INTEGER NOT NULL,
    value REAL NOT NULL, PRIMARY KEY (model, site, channel, name)
) WITHOUT ROWID;
CREATE TABLE later_metrics (
    key BLOB NOT NULL, name INTEGER NOT NULL, value REAL NOT NULL, PRIMARY KEY (key, name)
) WITHOUT ROWID;
CREATE TABLE failures (
    job BLOB PRIMARY KEY, model TEXT NOT NULL, site TEXT NOT NULL, channel INTEGER,
    variant TEXT NOT NULL, log INTEGER NOT NULL, place INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE evidence (
    model TEXT NOT NULL, site TEXT NOT NULL, channel INTEGER NOT NULL, name TEXT NOT NULL,
    log INTEGER NOT NULL, place INTEGER NOT NULL, PRIMARY KEY (model, site, channel, name)
) WITHOUT ROWID;
CREATE TABLE settings (
    id BLOB PRIMARY KEY, log INTEGER NOT NULL, place INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE problems (log TEXT NOT NULL, place INTEGER NOT NULL, reason TEXT NOT NULL)
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
        log = _log_id(connection, path.name, part.end)
        for place in part.bad:
            _problem(connection, path, place, "no JSON object")
        for place, line in part.lines:
            try:
                _take(connection, parse_entry(line), (log, place))
            except RecordError as error:
                _problem(connection, path, place, str(error))
    return changed


def _log_id(connection: sqlite3.Connection, name: str, read: int) -> int:
    row = connection.execute(
        "INSERT INTO logs (name, read) VALUES (?, ?) "
        "ON CONFLICT (name) DO UPDATE SET read = excluded.read RETURNING id",
        (name, read),
    ).fetchone()
    return int(row[0])


def _make_tables(connection: sqlite3.Connection) -> None:
    names = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    ).fetchall()
    for (name,) in names:
        connection.execute(f'DROP TABLE "{name}"')
    for statement in _TABLES.split(";"):
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {VERSION}")


def _problem(connection: sqlite3.Connection, path: Path, place: int, reason: str) -> None:
    connection.execute("INSERT INTO problems VALUES (?, ?, ?)", (path.name, place, reason))


def _take(connection: sqlite3.Connection, entry: Entry, at: tuple[int, int]) -> None:
    match entry:
        case ImageEntry():
            _take_image(connection, entry, at)
        case Failure():
            connection.execute(
                "REPLACE INTO failures VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    bytes.fromhex(entry.job), entry.model, entry.site, entry.channel,
                    entry.variant, *at,
                ),
            )  # fmt: skip
        case Metrics():
            connection.executemany(
                "REPLACE INTO later_metrics VALUES (?, ?, ?)",
                [
                    (bytes.fromhex(entry.key), _name_id(connection, name), number)
                    for name, number in entry.metrics.items()
                ],
            )
        case Evidence():
            unit = (entry.model, entry.site, entry.channel)
            connection.execute(
                "REPLACE INTO evidence VALUES (?, ?, ?, ?, ?, ?)", (*unit, entry.name, *at)
            )
            connection.executemany(
                "REPLACE INTO unit_metrics VALUES (?, ?, ?, ?, ?)",
                [
                    (*unit, _name_id(connection, name), number)
                    for name, number in entry.metrics.items()
                ],
            )
        case Settings():
            connection.execute(
                "REPLACE INTO settings VALUES (?, ?, ?)", (bytes.fromhex(entry.id), *at)
            )


def _take_image(connection: sqlite3.Connection, entry: ImageEntry, at: tuple[int, int]) -> None:
    # The id stays when the same image is recorded again.
    row = connection.execute(
        "INSERT INTO images (key, job, model, site, channel, variant, image, label, score, dead, "
        "seconds, log, place) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (key) DO UPDATE SET log = excluded.log, place = excluded.place RETURNING id",
        (
            bytes.fromhex(entry.key), bytes.fromhex(entry.job), entry.model, entry.site,
            entry.channel, entry.variant, entry.image, entry.label, entry.score, entry.dead,
            entry.seconds, *at,
        ),
    ).fetchone()  # fmt: skip
    connection.executemany(
        "REPLACE INTO metrics VALUES (?, ?, ?)",
        [(row[0], _name_id(connection, name), n) for name, n in entry.metrics.items()],
    )


def _name_id(connection: sqlite3.Connection, name: str) -> int:
    row = connection.execute("SELECT id FROM names WHERE name = ?", (name,)).fetchone()
    if row is None:
        row = connection.execute(
            "INSERT INTO names (name) VALUES (?) RETURNING id", (name,)
        ).fetchone()
    return int(row[0])
