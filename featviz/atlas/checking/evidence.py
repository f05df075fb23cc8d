"""What the evidence of units says that there must be: pictures of examples, accounts of passes."""

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from featviz.atlas.building.plan import read_plan
from featviz.atlas.canonical import is_key
from featviz.atlas.entries import Evidence, parse_entry
from featviz.atlas.examples.records import KeptExample, Ranking, read_examples
from featviz.atlas.layout import Layout
from featviz.atlas.log import read_lines
from featviz.errors import InputError, RecordError

_NAMES = ("examples", "neighbours")


@dataclass(frozen=True)
class Claimed:
    """What the evidence of a unit names.

    Attributes:
        unit: As people type it.
        log: Name of the log that it stands in.
        place: First byte of its line there.
        pictures: Keys of pictures of examples.
        passed: Key of the pass; None if it names none.
        wrong: Why it is not believed; empty if it is.
    """

    unit: str
    log: str
    place: int
    pictures: frozenset[str] = frozenset()
    passed: str | None = None
    wrong: str = ""


def claims(tables: sqlite3.Connection, layout: Layout) -> Iterator[Claimed]:
    """Give what the evidence names that counts: the last of each kind of a unit.

    Args:
        tables: Made of the logs.
        layout: Of the atlas.
    """
    rows = tables.execute(
        "SELECT logs.name, place FROM evidence JOIN logs ON logs.id = log "
        f"WHERE evidence.name IN ({', '.join('?' * len(_NAMES))}) ORDER BY logs.name, place",
        _NAMES,
    )
    for log, place in rows.fetchall():
        (line,) = read_lines(layout.log(log), [place])
        entry = parse_entry(line or {})
        if isinstance(entry, Evidence):
            yield _claimed(entry, log, place)


def _claimed(entry: Evidence, log: str, place: int) -> Claimed:
    unit = f"{entry.site}:{entry.channel}"
    value: Any = entry.value
    about = value.get("activation") if entry.name == "neighbours" else value
    passed = about.get("pass") if isinstance(about, dict) else None
    try:
        pictures = _pictures(value) if entry.name == "examples" else frozenset()
        if passed is not None and not is_key(passed):
            raise RecordError(f"{str(passed)[:80]!r} is no key of a pass")
    except RecordError as error:
        return Claimed(unit, log, place, wrong=str(error))
    return Claimed(unit, log, place, pictures, passed)


def _pictures(value: object) -> frozenset[str]:
    found = read_examples(value)
    rankings: list[Ranking] = [each for each in (found.maximum, found.mean) if each is not None]
    kept = [
        example
        for ranking in rankings
        for part in (ranking.top, ranking.bottom, *(each.examples for each in ranking.bins))
        for example in part
        if isinstance(example, KeptExample)
    ]
    keys = {key for example in kept for key in (example.picture, example.crop)}
    return frozenset(key for key in keys if key is not None)


def wrong_account(layout: Layout, key: str) -> str:
    """Return what is wrong with the account of a pass; empty if it is JSON, or behind a link."""
    path = layout.pass_record(key)
    if path.is_symlink() or layout.passes.is_symlink():
        return ""
    try:
        json.loads(path.read_bytes())
    except FileNotFoundError:
        return "is gone"
    except (OSError, ValueError, RecursionError) as error:
        return str(error)
    return ""


def wrong_requests(layout: Layout) -> Iterator[tuple[str, str]]:
    """Give the requests that cannot be read, below the folder of the atlas, each with the reason.

    Args:
        layout: Of the atlas.
    """
    for path in sorted(layout.requests.glob("*.json")):
        try:
            if not path.is_symlink():
                read_plan(path)
        except InputError as error:
            yield f"requests/{path.name}", str(error)
