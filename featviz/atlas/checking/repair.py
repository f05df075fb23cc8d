"""Put right what can be put right in the folder of an atlas, without rendering.

Records are taken back by lines that say so, in a new log: no log is edited, so deleting that one
undoes it. What was taken back counts as not done, and `featviz atlas resume` renders it again.
An end that was cut short is noted, and told no more. Pictures without a record are moved into the
folder `lost`, below the same names: whoever finds the log that knew them puts them back.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from featviz.atlas.checking.verify import HOPELESS, Check, Checked, Problem
from featviz.atlas.entries import Entry, Forgotten, ImageEntry, parse_entry
from featviz.atlas.index import discard_index
from featviz.atlas.layout import THUMB_PX, Layout, open_layout, restore_layout
from featviz.atlas.lock_files import locked
from featviz.atlas.log import read_lines
from featviz.atlas.pictures import thumb_bytes
from featviz.atlas.store import Store, write_durably
from featviz.errors import OutputError, PictureError
from featviz.photographs import read_pixels

LOST = "lost"
"""Folder, within that of the atlas, of pictures without a record; nothing reads it."""


@dataclass(frozen=True)
class Repaired:
    """What was done.

    Attributes:
        before: What a check found.
        after: What a check finds now; it compares sizes only.
        forgotten: How many images were taken back, to be rendered again.
        thumbs: How many small pictures were made anew.
        lost: Pictures without a record that were moved into the folder `lost`.
        removed: Unfinished files that were removed.
        restored: Whether `atlas.json` was gone or torn, and was written again.
    """

    before: Checked
    after: Checked
    forgotten: int
    thumbs: int
    lost: tuple[str, ...]
    removed: tuple[str, ...]
    restored: bool = False


def repair(root: str | Path) -> Repaired:
    """Check an atlas and put right what can be put right.

    Images whose picture is gone or wrong, or whose settings are missing, are taken back; small
    pictures are made anew from the pictures; pictures without a record are moved into `lost`; files
    that were never finished are removed, and so is a damaged index. Symbolic links and files that
    are not the atlas's own are left alone, and so is what lies behind them. Where
    `atlas.json` is gone or torn, and there are records, it is written again.

    Args:
        root: The folder.

    Raises:
        RecordError: If there is no atlas, or its logs cannot be read.
        OutputError: If somebody is building there, or something cannot be written.
    """
    restored = restore_layout(root)
    layout = open_layout(root)
    try:
        with locked(layout.build_lock, wait_s=1.0):
            return replace(_repair(layout), restored=restored)
    except BlockingIOError as error:
        raise OutputError(
            f"somebody is building {str(root)!r}, so nothing was changed; wait until that has "
            "ended, or stop it"
        ) from error
    except OSError as error:
        raise OutputError(
            f"cannot repair {str(root)!r}: {error.strerror or error}; give access to the folder"
        ) from error


def _repair(layout: Layout) -> Repaired:
    before = Check(layout, alone=True).run()
    thumbs, hopeless = _new_thumbs(layout, before.problems)
    lines = {(p.log, p.place) for p in before.problems if p.kind in HOPELESS} | hopeless
    others = {(p.log, p.place) for p in before.problems if p.kind in ("line", "outdated", "torn")}
    reasons = {(p.log, p.place): p.kind for p in before.problems}
    with Store(layout.root) as store:
        taken: list[Entry] = [Forgotten(*line, reasons[line]) for line in sorted(lines | others)]
        store.note([*taken, *thumbs])
    # What was taken back leaves files behind.
    left = Check(layout, quick=True, alone=True).run()
    lost = tuple(p.path for p in left.problems if p.kind == "orphan")
    for path in lost:
        _move(layout.root, path)
    removed = tuple(p.path for p in left.problems if p.kind == "temporary")
    for path in removed:
        (layout.root / path).unlink(missing_ok=True)
    damaged = any(p.kind == "index" for p in before.problems)
    if damaged:
        discard_index(layout)
    after = Check(layout, quick=True, alone=True).run() if lost or removed or damaged else left
    made = sum(isinstance(entry, ImageEntry) for entry in thumbs)
    return Repaired(before, after, len(lines), made, lost, removed)


def _move(root: Path, path: str) -> None:
    """Move a file below the folder `lost`, whose own folders are no links."""
    target = root / LOST
    for name in (*Path(path).parent.parts, ""):
        if target.is_symlink():
            raise OutputError(f"{str(target)!r} is a link; remove it, then repair again")
        target.mkdir(exist_ok=True)
        target /= name
    (root / path).replace(target / Path(path).name)


def _new_thumbs(
    layout: Layout, problems: Sequence[Problem]
) -> tuple[list[Entry], set[tuple[str, int]]]:
    """Make small pictures from pictures that are right.

    Returns:
        Lines that take the place of those of the images; and lines of images whose picture is no
        picture, in spite of its hash.
    """
    wrong = {(p.log, p.place) for p in problems if p.kind in HOPELESS}
    lines: list[Entry] = []
    hopeless = set()
    side_px = _side_px(layout)
    for problem in problems:
        line = problem.log, problem.place
        if not problem.kind.startswith("thumb") or line in wrong:
            continue
        (document,) = read_lines(layout.log(problem.log), [problem.place])
        entry = parse_entry(document or {})
        if not isinstance(entry, ImageEntry):
            continue
        try:
            data = thumb_bytes(read_pixels(layout.image(entry.key, entry.kind)), side_px)
        except PictureError:
            hopeless.add(line)
            continue
        path = layout.thumb(entry.key)
        if path.is_dir():
            path.rmdir()
        write_durably(path, data)
        lines.append(Forgotten(*line, problem.kind))
        lines.append(replace(entry, thumb_sha256=hashlib.sha256(data).hexdigest()))
    return lines, hopeless


def _side_px(layout: Layout) -> int:
    """Return the longer side of the small pictures that are there."""
    for path in layout.thumbs.glob("[0-9a-f][0-9a-f]/*.webp"):
        if not path.is_symlink():
            try:
                with Image.open(path) as picture:
                    return max(picture.size)
            except (OSError, ValueError):
                continue
    return THUMB_PX
