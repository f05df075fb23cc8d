"""The tables of the index, filled from the logs; nothing is in here that the logs do not say.

Rows name the line of a log that they are from. Which log is read first makes no difference to what
counts: a line that was taken back is left out whether its taking back was read before or after it,
and of several lines on the same the one recorded last counts, by the generation of its log, then
the log's name (of those without a generation, and of those copied from elsewhere), then its place.
"""

import contextlib
import sqlite3

from featviz.atlas.entries import (
    Entry,
    Evidence,
    Failure,
    Forgotten,
    ImageEntry,
    Metrics,
    Settings,
    parse_entry,
)
from featviz.atlas.layout import Layout
from featviz.atlas.log import generation, read_lines, read_log
from featviz.errors import RecordError

VERSION = 3
_TABLES = """
CREATE TABLE logs (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, read INTEGER NOT NULL,
    seen INTEGER NOT NULL, generation INTEGER NOT NULL);
CREATE TABLE images (
    id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, job BLOB NOT NULL, model TEXT NOT NULL,
    weights BLOB NOT NULL, site TEXT NOT NULL, channel INTEGER, variant TEXT NOT NULL,
    image INTEGER NOT NULL, label TEXT NOT NULL, score REAL, dead INTEGER NOT NULL,
    seconds REAL NOT NULL, log INTEGER NOT NULL, place INTEGER NOT NULL
);
CREATE INDEX by_unit ON images (model, site, channel, variant, image);
CREATE INDEX by_job ON images (job);
CREATE UNIQUE INDEX by_line ON images (log, place);
CREATE TABLE spares (
    log INTEGER NOT NULL, place INTEGER NOT NULL, key BLOB NOT NULL, PRIMARY KEY (log, place)
) WITHOUT ROWID;
CREATE TABLE forgotten (
    log TEXT NOT NULL, place INTEGER NOT NULL, PRIMARY KEY (log, place)
) WITHOUT ROWID;
CREATE TABLE names (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE metrics (
    image INTEGER NOT NULL, name INTEGER NOT NULL, value REAL NOT NULL, PRIMARY KEY (image, name)
) WITHOUT ROWID;
CREATE TABLE unit_metrics (
    model TEXT NOT NULL, site TEXT NOT NULL, channel INTEGER NOT NULL, weights BLOB NOT NULL,
    name INTEGER NOT NULL, value REAL NOT NULL, log INTEGER NOT NULL, place INTEGER NOT NULL,
    PRIMARY KEY (model, site, channel, weights, name)
) WITHOUT ROWID;
CREATE TABLE later_metrics (
    key BLOB NOT NULL, name INTEGER NOT NULL, value REAL NOT NULL, log INTEGER NOT NULL,
    place INTEGER NOT NULL, PRIMARY KEY (key, name)
) WITHOUT ROWID;
CREATE TABLE failures (
    job BLOB PRIMARY KEY, model TEXT NOT NULL, site TEXT NOT NULL, channel INTEGER,
    variant TEXT NOT NULL, attempt INTEGER NOT NULL, log INTEGER NOT NULL, place INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE evidence (
    model TEXT NOT NULL, site TEXT NOT NULL, channel INTEGER NOT NULL, weights BLOB NOT NULL,
    name TEXT NOT NULL, log INTEGER NOT NULL, place INTEGER NOT NULL,
    PRIMARY KEY (model, site, channel, weights, name)
) WITHOUT ROWID;
CREATE TABLE settings (
    id BLOB PRIMARY KEY, log INTEGER NOT NULL, place INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE problems (
    log TEXT NOT NULL, place INTEGER NOT NULL, reason TEXT NOT NULL, PRIMARY KEY (log, place)
) WITHOUT ROWID
"""

_NEWER = (
    "(SELECT generation, name, excluded.place FROM logs WHERE id = excluded.log) > "
    "(SELECT generation, name, {0}.place FROM logs WHERE id = {0}.log)"
)
_AT = "log = excluded.log, place = excluded.place"
_LAST_METRIC = (
    f"ON CONFLICT DO UPDATE SET value = excluded.value, {_AT} "
    f"WHERE {_NEWER.format('later_metrics')}"
)
_LAST_UNIT_METRIC = (
    f"ON CONFLICT DO UPDATE SET value = excluded.value, {_AT} WHERE {_NEWER.format('unit_metrics')}"
)
_LAST_EVIDENCE = f"ON CONFLICT DO UPDATE SET {_AT} WHERE {_NEWER.format('evidence')}"
_LAST_SETTINGS = f"ON CONFLICT DO UPDATE SET {_AT} WHERE {_NEWER.format('settings')}"
# Attempts are counted, so the largest is the last wherever it stands.
_LAST_FAILURE = (
    f"ON CONFLICT DO UPDATE SET attempt = excluded.attempt, {_AT} "
    "WHERE excluded.attempt > failures.attempt OR excluded.attempt = failures.attempt "
    f"AND {_NEWER.format('failures')}"
)


def is_current(connection: sqlite3.Connection, layout: Layout) -> bool:
    """Tell whether the tables say what the logs say now."""
    if _version(connection) != VERSION:
        return False
    seen = dict(connection.execute("SELECT name, seen FROM logs"))
    return seen == _sizes(layout)


def update(connection: sqlite3.Connection, layout: Layout) -> bool:
    """Read on in each log, from the start if one went away or became shorter.

    Args:
        connection: In a transaction.
        layout: Of the atlas.

    Returns:
        Whether there was anything.

    Raises:
        RecordError: If a log cannot be read.
    """
    sizes, read = _sizes(layout), {}
    if _version(connection) == VERSION:
        read = dict(connection.execute("SELECT name, read FROM logs"))
    fresh = _version(connection) != VERSION or any(sizes.get(n, -1) < read[n] for n in read)
    if fresh:
        _make_tables(connection)
        read = {}
    changed = fresh
    for name, size in sizes.items():
        try:
            end = _read_on(connection, layout, name, read.get(name, 0))
        except OSError as error:
            raise RecordError(
                f"cannot read {name!r} in {str(layout.records)!r}: {error}"
            ) from error
        changed |= end != read.get(name, -1)
        # What was seen may have grown since; then it is looked at again.
        connection.execute(
            "UPDATE logs SET read = ?, seen = ? WHERE name = ?", (end, max(size, end), name)
        )
    return changed


def _sizes(layout: Layout) -> dict[str, int]:
    sizes = {}
    for path in layout.logs():
        with contextlib.suppress(FileNotFoundError):  # taken away a moment ago
            sizes[path.name] = path.stat().st_size
    return sizes


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _read_on(connection: sqlite3.Connection, layout: Layout, name: str, start: int) -> int:
    """Take in the lines of a log behind a place and return the place behind them."""
    row = connection.execute(
        "INSERT INTO logs (name, read, seen, generation) VALUES (?, 0, 0, 0) "
        "ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id",
        (name,),
    ).fetchone()
    log = int(row[0])
    skipped = {
        place
        for (place,) in connection.execute("SELECT place FROM forgotten WHERE log = ?", (name,))
    }
    end = start
    for line in read_log(layout.log(name), start):
        end = line.end
        if line.place == 0 and not line.torn:
            connection.execute(
                "UPDATE logs SET generation = ? WHERE id = ?", (generation(line.document), log)
            )
        if line.torn or line.place in skipped:
            continue
        try:
            if line.document is None:
                raise RecordError(
                    "other bytes than were written" if line.edited else "no JSON object"
                )
            entry = parse_entry(line.document)
        except RecordError as error:
            connection.execute(
                "INSERT INTO problems VALUES (?, ?, ?)", (name, line.place, str(error))
            )
            continue
        if isinstance(entry, Forgotten):
            _forget(connection, layout, entry)
            if entry.log == name:
                skipped.add(entry.place)
        else:
            _take(connection, entry, (log, line.place))
    return end


def _forget(connection: sqlite3.Connection, layout: Layout, entry: Forgotten) -> None:
    """Leave out a line; where another says the same of the image, that one counts."""
    at = (entry.log, entry.place)
    connection.execute("INSERT OR IGNORE INTO forgotten VALUES (?, ?)", at)
    connection.execute("DELETE FROM problems WHERE log = ? AND place = ?", at)
    line = "log = (SELECT id FROM logs WHERE name = ?) AND place = ?"
    connection.execute(f"DELETE FROM spares WHERE {line}", at)
    row = connection.execute(f"SELECT id, key FROM images WHERE {line}", at).fetchone()
    if row is None:
        return
    connection.execute("DELETE FROM metrics WHERE image = ?", row[:1])
    connection.execute("DELETE FROM images WHERE id = ?", row[:1])
    spare = connection.execute(
        "DELETE FROM spares WHERE (log, place) IN (SELECT log, place FROM spares JOIN logs "
        "ON logs.id = log WHERE key = ? ORDER BY generation DESC, logs.name DESC, place DESC "
        "LIMIT 1) RETURNING log, place, (SELECT name FROM logs WHERE logs.id = spares.log)",
        row[1:],
    ).fetchone()
    if spare is not None:
        (document,) = read_lines(layout.log(spare[2]), [spare[1]])
        _take(connection, parse_entry(document or {}), spare[:2])


def _make_tables(connection: sqlite3.Connection) -> None:
    names = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    ).fetchall()
    for (name,) in names:
        connection.execute(f'DROP TABLE "{name}"')
    for statement in _TABLES.split(";"):
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {VERSION}")


def _take(connection: sqlite3.Connection, entry: Entry, at: tuple[int, int]) -> None:
    match entry:
        case ImageEntry():
            _take_image(connection, entry, at)
        case Failure():
            connection.execute(
                f"INSERT INTO failures VALUES (?, ?, ?, ?, ?, ?, ?, ?) {_LAST_FAILURE}",
                (
                    bytes.fromhex(entry.job), entry.model, entry.site, entry.channel,
                    entry.variant, entry.attempt, *at,
                ),
            )  # fmt: skip
        case Metrics():
            connection.executemany(
                f"INSERT INTO later_metrics VALUES (?, ?, ?, ?, ?) {_LAST_METRIC}",
                [
                    (bytes.fromhex(entry.key), _name_id(connection, name), number, *at)
                    for name, number in entry.metrics.items()
                ],
            )
        case Evidence():
            unit = (entry.model, entry.site, entry.channel, bytes.fromhex(entry.weights))
            connection.execute(
                f"INSERT INTO evidence VALUES (?, ?, ?, ?, ?, ?, ?) {_LAST_EVIDENCE}",
                (*unit, entry.name, *at),
            )
            connection.executemany(
                f"INSERT INTO unit_metrics VALUES (?, ?, ?, ?, ?, ?, ?, ?) {_LAST_UNIT_METRIC}",
                [
                    (*unit, _name_id(connection, name), number, *at)
                    for name, number in entry.metrics.items()
                ],
            )
        case Settings():
            connection.execute(
                f"INSERT INTO settings VALUES (?, ?, ?) {_LAST_SETTINGS}",
                (bytes.fromhex(entry.id), *at),
            )


def _take_image(connection: sqlite3.Connection, entry: ImageEntry, at: tuple[int, int]) -> None:
    key = bytes.fromhex(entry.key)
    values = (
        bytes.fromhex(entry.job), entry.model, bytes.fromhex(entry.weights), entry.site,
        entry.channel, entry.variant, entry.image, entry.label, entry.score, entry.dead,
        entry.seconds, *at,
    )  # fmt: skip
    row = connection.execute(
        "INSERT INTO images (job, model, weights, site, channel, variant, image, label, score, "
        "dead, seconds, log, place, key) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (key) DO NOTHING RETURNING id",
        (*values, key),
    ).fetchone()
    if row is None:
        # The same image was recorded again: the last one recorded counts, and the id stays.
        row = connection.execute("SELECT id FROM images WHERE key = ?", (key,)).fetchone()
        newer = connection.execute(
            "SELECT (SELECT generation, name, ? FROM logs WHERE id = ?) > "
            "(SELECT generation, logs.name, place FROM images JOIN logs ON logs.id = log "
            "WHERE images.id = ?)",
            (at[1], at[0], *row),
        ).fetchone()[0]
        if not newer:
            connection.execute("INSERT OR IGNORE INTO spares VALUES (?, ?, ?)", (*at, key))
            return
        connection.execute(
            "INSERT OR IGNORE INTO spares SELECT log, place, key FROM images WHERE id = ?", row
        )
        connection.execute(
            "UPDATE images SET job = ?, model = ?, weights = ?, site = ?, channel = ?, "
            "variant = ?, image = ?, label = ?, score = ?, dead = ?, seconds = ?, log = ?, "
            "place = ? WHERE id = ?",
            (*values, *row),
        )
        connection.execute("DELETE FROM metrics WHERE image = ?", row)
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
