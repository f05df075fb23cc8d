"""The index: an SQLite file of tables made of the logs, disposable, never in the way.

It is brought up to date when opened. One of another version, or damaged, or gone, is made anew,
also while others have it open; where the folder cannot be written to, it is made in memory. WAL is
not used: it does not work on network file systems.

A file is only replaced, and only written to, by who holds `index.lock`, so that nobody removes one
that is being written: SQLite finds its journal by name.
"""

import contextlib
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from featviz.atlas.entries import Entry, parse_entry
from featviz.atlas.layout import Layout
from featviz.atlas.lock_files import locked
from featviz.atlas.log import read_lines
from featviz.atlas.tables import is_current, update
from featviz.errors import RecordError

_WAIT_S = 60.0
# What says that the file cannot be written to, or not now. All else means that it is damaged:
# also SQLITE_ERROR, which is what SQLite says of a table that is not there.
_UNWRITABLE = {
    sqlite3.SQLITE_AUTH,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOLFS,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_READONLY,
}


class Rows(list[tuple[Any, ...]]):
    """All rows of a query; nothing is left to be read when the file is replaced."""

    def fetchall(self) -> list[tuple[Any, ...]]:
        """Return all rows."""
        return self

    def fetchone(self) -> Any:
        """Return the first row, None if there is none."""
        return self[0] if self else None


class _ReplacedError(Exception):
    """Another file has taken the place of the one that is open."""


class Index:
    """An index that says what the logs say, whatever happens to its file.

    May be used from several threads.

    Args:
        layout: Of the atlas.

    Raises:
        RecordError: If the logs cannot be read.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._lock = threading.RLock()
        self._file: tuple[int, int] | None = None
        self._connection = self._opened()

    def execute(self, query: str, values: Sequence[Any] = ()) -> Rows:
        """Return the rows of a query; where the file is damaged, from one that is made anew.

        Raises:
            RecordError: If the logs cannot be read.
        """
        with self._lock:
            try:
                return Rows(self._connection.execute(query, values).fetchall())
            except sqlite3.ProgrammingError:  # closed, or a query with too few values
                raise
            except sqlite3.DatabaseError as error:
                self._reopen(error)
            return Rows(self._connection.execute(query, values).fetchall())

    def entries(self, places: Sequence[tuple[int, int]]) -> list[Entry]:
        """Return what stands at places of logs, in their order.

        Args:
            places: Number of the log in the tables, and first byte of the line.

        Raises:
            RecordError: If a log cannot be read, or has something else there.
        """
        names: dict[int, str] = dict(self.execute("SELECT id, name FROM logs"))
        found: dict[tuple[int, int], Entry] = {}
        for log in {log for log, _ in places}:
            path = self._layout.log(names[log])
            wanted = sorted({place for other, place in places if other == log})
            try:
                lines = read_lines(path, wanted)
            except OSError as error:
                raise RecordError(f"cannot read {str(path)!r}: {error.strerror}") from error
            for place, line in zip(wanted, lines, strict=True):
                found[log, place] = parse_entry(line or {})
        return [found[place] for place in places]

    def refresh(self) -> bool:
        """Take in what the logs say that the index does not, and tell whether there was anything.

        Raises:
            RecordError: If a log cannot be read.
        """
        with self._lock:
            try:
                return self._updated(self._connection)
            except (sqlite3.DatabaseError, OSError, _ReplacedError) as error:
                self._reopen(error)
            return True

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def _reopen(self, error: Exception) -> None:
        """Open another file, or memory, after an error of this one."""
        if _is_damage(error):
            with contextlib.suppress(OSError):  # then it stays, and memory is used
                self._remove()
        self._connection.close()
        self._connection = self._opened()

    def _opened(self) -> sqlite3.Connection:
        """Return a connection that is up to date: in memory if there is no other way."""
        tries = 0 if self._layout.index.is_symlink() else 3  # a link leads to somebody else's file
        for k in range(tries):
            try:
                return self._opened_file()
            except _ReplacedError:
                continue
            except (sqlite3.DatabaseError, OSError) as error:
                if not _is_damage(error):
                    break
                if k + 1 == tries:
                    raise
        self._file = None
        return self._filled(_connected(":memory:"))

    def _opened_file(self) -> sqlite3.Connection:
        path = self._layout.index
        connection = _connected(path)
        self._file = _identity(path)
        return self._filled(connection)

    def _filled(self, connection: sqlite3.Connection) -> sqlite3.Connection:
        try:
            self._updated(connection)
        except BaseException as error:
            # Before it is closed: no other file can have its number as long as it is open.
            if _is_damage(error) and self._file is not None:
                self._remove()
            connection.close()
            raise
        return connection

    def _updated(self, connection: sqlite3.Connection) -> bool:
        if is_current(connection, self._layout):
            return False
        if self._file is None:
            return _in_one_go(connection, self._layout)
        with locked(self._layout.index_lock, wait_s=_WAIT_S):
            if _identity(self._layout.index) != self._file:
                raise _ReplacedError
            return _in_one_go(connection, self._layout)

    def _remove(self) -> None:
        """Remove a damaged file, unless another has taken its place already."""
        with locked(self._layout.index_lock, wait_s=_WAIT_S):
            if _identity(self._layout.index) == self._file:
                _unlink(self._layout)


def discard_index(layout: Layout) -> None:
    """Remove the index, which is made anew when next needed.

    Raises:
        OSError: If that is not possible.
    """
    with locked(layout.index_lock, wait_s=_WAIT_S):
        _unlink(layout)


def _unlink(layout: Layout) -> None:
    layout.index.unlink(missing_ok=True)
    # A journal of the old one would be played back into the new one.
    layout.index.with_name(f"{layout.index.name}-journal").unlink(missing_ok=True)


def _connected(path: Path | str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=_WAIT_S, isolation_level=None, check_same_thread=False
    )
    with contextlib.suppress(sqlite3.DatabaseError):  # the next statement meets it again
        connection.execute("PRAGMA journal_mode=DELETE")
    return connection


def _in_one_go(connection: sqlite3.Connection, layout: Layout) -> bool:
    connection.execute("BEGIN IMMEDIATE")
    try:
        changed = update(connection, layout)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return changed


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from another of the same name."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _is_damage(error: BaseException) -> bool:
    if not isinstance(error, sqlite3.DatabaseError):
        return False
    code = getattr(error, "sqlite_errorcode", None)  # extended; the reason is in the low byte
    return code is None or code & 0xFF not in _UNWRITABLE


def quick_check(layout: Layout) -> str | None:
    """Return what is wrong with the file of the index; None if nothing is, or there is none."""
    path = layout.index
    if path.is_symlink() or not path.is_file():
        return None
    try:
        with contextlib.closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        ) as connection:
            (said,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        return str(error) if _is_damage(error) else None
    return None if said == "ok" else str(said)
