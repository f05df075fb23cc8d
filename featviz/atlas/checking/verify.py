"""Check the folder of an atlas against its records, and put right what can be.

The logs are believed, the index is not: one is made for the check, in a file that the system
removes. Pictures are read one at a time. Nothing outside the folder is looked at or touched, and no
symbolic link is followed: what lies behind one is neither checked nor given up.
"""

import hashlib
import itertools
import sqlite3
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from featviz.atlas.checking.evidence import claims, wrong_account, wrong_requests
from featviz.atlas.checking.walk import walk
from featviz.atlas.entries import ImageEntry, parse_entry
from featviz.atlas.index import quick_check
from featviz.atlas.layout import Layout, open_layout
from featviz.atlas.lock_files import locked
from featviz.atlas.log import read_lines, read_log
from featviz.atlas.store import is_own_thumb
from featviz.atlas.tables import is_current, update
from featviz.errors import RecordError

PROBLEMS = {
    "missing": "a record has no picture",
    "truncated": "a picture is shorter than its record says",
    "changed": "a picture is not the one that its record describes",
    "thumb missing": "a record has no small picture",
    "thumb changed": "a small picture is not the one that its record describes",
    "settings": "the part of a record that it shares with others is missing",
    "line": "a line of a log is not believed",
    "evidence": "the evidence of a unit is not believed",
    "example missing": "the evidence of a unit has no picture",
    "example changed": "a picture of an example is not the one that its name says",
    "request": "what was asked for cannot be read, so nothing goes on; delete it and build again",
    "pass": "what a pass over photographs was cannot be read",
    "orphan": "a picture has no record",
    "unreadable": "a file or folder cannot be read",
    "index": "the index is damaged; it is made anew when next needed",
}
"""Kinds of problems, worst first."""

LEFTOVERS = {
    "temporary": "a file that was never finished",
    "unfinished": "a pass over photographs that was stopped; the same command goes on",
    "unused": "a picture of an example that no evidence names any more",
    "outdated": "a record of an image that another record describes as it is",
    "torn": "the end of a log that was cut short: what it said counts as not done, and 'resume' "
    "renders it again; told until --repair",
    "foreign": "a file that is not the atlas's own; it is left alone",
    "link": "a symbolic link; it is left alone, and what lies behind it is not checked",
}
"""Kinds of what a crash, or somebody else, left: told, and no problem."""

HOPELESS = ("missing", "truncated", "changed", "settings")
"""Kinds that only rendering again can put right."""

OF_PASSES = ("evidence", "example missing", "example changed", "pass")
"""Kinds that only another pass over the photographs can put right."""

_CHUNK = 2**20
_TOGETHER = 500


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        kind: Key of `PROBLEMS` or `LEFTOVERS`.
        path: Of the file, below the folder of the atlas.
        said: More about it.
        place: First byte of the line that it is about, in a log; the last byte of a torn one, where
            no line begins should the log ever be whole again.
        log: Name of that log; empty: it is about no line.
    """

    kind: str
    path: str
    said: str = ""
    place: int = 0
    log: str = ""

    @property
    def harmless(self) -> bool:
        """Whether it is a leftover only."""
        return self.kind in LEFTOVERS


@dataclass(frozen=True)
class Checked:
    """What a check found.

    Attributes:
        images: How many images are recorded.
        bytes: Of the pictures that were read.
        problems: What is wrong, leftovers included.
    """

    images: int
    bytes: int
    problems: tuple[Problem, ...]

    @property
    def clean(self) -> bool:
        """Whether there is nothing but leftovers."""
        return all(problem.harmless for problem in self.problems)

    @property
    def counts(self) -> dict[str, int]:
        """How many there are of each kind, worst first."""
        found = Counter(problem.kind for problem in self.problems)
        return {kind: found[kind] for kind in (*PROBLEMS, *LEFTOVERS) if found[kind]}


def verify(root: str | Path, *, quick: bool = False) -> Checked:
    """Check every record, picture and line of an atlas.

    While images are being added, files that have no record yet are not reported.

    Args:
        root: The folder.
        quick: Compare sizes only, and read no picture.

    Raises:
        RecordError: If there is no atlas, or its logs cannot be read.
    """
    return Check(open_layout(root), quick=quick).run()


class Check:
    """One check of a folder, with tables of its own.

    Args:
        layout: Of the atlas.
        quick: See `verify`.
        alone: Whether the caller holds the lock of the builders.
    """

    def __init__(self, layout: Layout, *, quick: bool = False, alone: bool = False) -> None:
        self.layout = layout
        self._quick = quick
        self._alone = alone
        self._bytes = 0

    def run(self) -> Checked:
        """Return what there is to say."""
        self._need(self.layout.records)
        self._need(self.layout.images)
        busy = self._is_busy()
        # An empty name is a file that is removed when it is closed.
        with closing(sqlite3.connect("", isolation_level=None)) as tables:
            tables.execute("BEGIN")
            update(tables, self.layout)
            tables.execute("CREATE TABLE expected (path TEXT PRIMARY KEY) WITHOUT ROWID")
            (images,) = tables.execute("SELECT COUNT(*) FROM images").fetchone()
            problems = [*self._lines(tables), *self._records(tables), *self._evidence(tables)]
            files = list(self._files(tables))
            busy = busy or self._is_busy() or not is_current(tables, self.layout)
        problems += [p for p in files if not (busy and p.kind in ("orphan", "temporary"))]
        damage = quick_check(self.layout)
        if damage is not None:
            problems.append(Problem("index", self.layout.index.name, damage))
        return Checked(images, self._bytes, tuple(problems))

    def _need(self, folder: Path) -> None:
        """Refuse to take a folder that is not there for one whose files are gone."""
        if not folder.is_dir():
            raise RecordError(
                f"there is no folder {str(folder)!r}; is a disk missing? Put it back, or make it, "
                "empty, if what was in it is gone for good"
            )

    def _is_busy(self) -> bool:
        """Tell whether somebody adds images right now."""
        if self._alone or self.layout.build_lock.is_symlink():
            return False
        try:
            with locked(self.layout.build_lock):
                return False
        except BlockingIOError:
            return True
        except OSError:  # a folder that cannot be written to: nobody builds there
            return False

    def _lines(self, tables: sqlite3.Connection) -> Iterator[Problem]:
        """Tell of lines that say nothing, and of what is superseded."""
        for name, place, reason in tables.execute("SELECT * FROM problems ORDER BY log, place"):
            yield Problem("line", f"records/{name}", reason, place, name)
        noted = set(tables.execute("SELECT log, place FROM forgotten"))
        for name, end, size in tables.execute("SELECT name, read, seen FROM logs ORDER BY name"):
            if end >= size or (name, size - 1) in noted:
                continue
            if any(line.torn for line in read_log(self.layout.log(name), end)):
                yield Problem("torn", f"records/{name}", f"{size - end} bytes", size - 1, name)

    def _records(self, tables: sqlite3.Connection) -> Iterator[Problem]:
        """Look for the files of each record; of several of one image, one must be right."""
        known = {key.hex() for (key,) in tables.execute("SELECT id FROM settings")}
        rows = tables.execute(
            "SELECT logs.name, images.place FROM images JOIN logs ON logs.id = images.log "
            "WHERE key NOT IN (SELECT key FROM spares) ORDER BY logs.name, images.place"
        )
        while some := rows.fetchmany(_TOGETHER):
            for name, place, entry in self._entries(some):
                yield from self._of(tables, name, place, entry, known)
        several = tables.execute(
            "SELECT key, logs.name, place FROM "
            "(SELECT key, log, place FROM spares UNION SELECT key, log, place FROM images "
            "WHERE key IN (SELECT key FROM spares)) JOIN logs ON logs.id = log ORDER BY 1, 2, 3"
        )
        for _, group in itertools.groupby(several.fetchall(), key=lambda row: row[0]):
            found = [
                list(self._of(tables, name, place, entry, known))
                for name, place, entry in self._entries([row[1:] for row in group])
            ]
            right = not all(found)
            for problem in itertools.chain(*found):
                yield replace(problem, kind="outdated") if right else problem

    def _entries(self, lines: Sequence[tuple[str, int]]) -> Iterator[tuple[str, int, ImageEntry]]:
        for name, group in itertools.groupby(lines, key=lambda line: line[0]):
            places = [place for _, place in group]
            found = read_lines(self.layout.log(name), places)
            for place, line in zip(places, found, strict=True):
                entry = parse_entry(line or {})
                if isinstance(entry, ImageEntry):
                    yield name, place, entry

    def _of(
        self,
        tables: sqlite3.Connection,
        log: str,
        place: int,
        entry: ImageEntry,
        known: set[str],
    ) -> Iterator[Problem]:
        image, thumb = _image(entry), _thumb(entry)
        tables.executemany("INSERT OR IGNORE INTO expected VALUES (?)", [(image,), (thumb,)])
        if entry.settings not in known:
            yield Problem("settings", image, entry.label, place, log)
        files: list[tuple[str, int | None, str, tuple[str, str, str]]] = [
            (image, entry.bytes, entry.sha256, ("missing", "truncated", "changed"))
        ]
        if not is_own_thumb(entry):
            self._need(self.layout.thumbs)
            small = ("thumb missing", "thumb changed", "thumb changed")
            files.append((thumb, None, entry.thumb_sha256, small))
        for path, size, digest, kinds in files:
            wrong = self._wrong(path, size, digest)
            if wrong is not None:
                number, said = wrong
                kind = "unreadable" if number < 0 else kinds[number]
                yield Problem(kind, path, f"{entry.label}{': ' * bool(said)}{said}", place, log)

    def _evidence(self, tables: sqlite3.Connection) -> Iterator[Problem]:
        """Look for the files that the evidence of units names, each once."""
        passes: set[str] = set()
        for claim in claims(tables, self.layout):
            line = (claim.place, claim.log)
            if claim.wrong:
                yield Problem("evidence", f"records/{claim.log}", claim.wrong, *line)
            for key in sorted(claim.pictures):
                path = f"examples/{key[:2]}/{key}.webp"
                first = tables.execute("INSERT OR IGNORE INTO expected VALUES (?)", (path,))
                wrong = self._wrong(path, None, key) if first.rowcount else None
                if wrong is not None:
                    kinds = ("example missing", "example changed", "example changed", "unreadable")
                    said = f"{claim.unit}{': ' * bool(wrong[1])}{wrong[1]}"
                    yield Problem(kinds[wrong[0]], path, said, *line)
            if claim.passed is not None and claim.passed not in passes:
                passes.add(claim.passed)
                said = wrong_account(self.layout, claim.passed)
                if said:
                    yield Problem("pass", f"passes/{claim.passed}.json", said, *line)

    def _wrong(self, path: str, size: int | None, digest: str) -> tuple[int, str] | None:
        """Tell what is wrong with a file: gone, too short, other; None behind a link or if good."""
        if self._is_behind_link(path):
            return None
        try:
            found = (self.layout.root / path).lstat()
            if not stat.S_ISREG(found.st_mode):
                return 2, "not a file"
            if size is not None and found.st_size != size:
                return 1 if found.st_size < size else 2, f"{found.st_size} of {size} bytes"
            if self._quick:
                return None if found.st_size else (1, "empty")
            with (self.layout.root / path).open("rb") as file:
                hashed = hashlib.sha256()
                while part := file.read(_CHUNK):
                    hashed.update(part)
                    self._bytes += len(part)
            return None if hashed.hexdigest() == digest else (2, "other bytes")
        except FileNotFoundError:
            return 0, ""
        except OSError as error:
            return -1, error.strerror or str(error)

    def _is_behind_link(self, path: str) -> bool:
        parts = Path(path).parts
        return any(
            (self.layout.root / Path(*parts[: k + 1])).is_symlink() for k in range(len(parts))
        )

    def _files(self, tables: sqlite3.Connection) -> Iterator[Problem]:
        """Look for files that no record needs."""
        yield from (Problem("request", *wrong) for wrong in wrong_requests(self.layout))
        for path, kind in walk(self.layout):
            if kind == "file":
                row = tables.execute("SELECT 1 FROM expected WHERE path = ?", (path,)).fetchone()
                if row is None:
                    yield Problem("unused" if path.startswith("examples/") else "orphan", path)
            else:
                yield Problem(kind, path)


def _image(entry: ImageEntry) -> str:
    return f"images/{entry.key[:2]}/{entry.key}.{entry.kind}"


def _thumb(entry: ImageEntry) -> str:
    return f"thumbs/{entry.key[:2]}/{entry.key}.webp"
